// What must hold for any bytes that a stranger sends to the responder, or a name server sends back.
// Run by the mutation test always, and by libFuzzer where the build says -DRELEVO_FUZZ=ON.
#pragma once

#include <string>
#include <string_view>

#include "base/assert.h"
#include "dns/key.h"
#include "dns/responder.h"
#include "dns/update.h"

namespace relevo::dns::testing {

inline void fuzz_one(std::string_view bytes) {
    const Names names{
        .primary = "primary.pg.test", .replica = "replica.pg.test", .ttl_s = 1, .addresses = {}};
    const Wanted known{
        .term = 7, .member = "a", .primary = {"10.0.0.1"}, .replicas = {"10.0.0.2", "fd00::2"}};
    for (const bool tcp : {false, true}) {
        for (const bool in_doubt : {false, true}) {
            const auto reply = respond(bytes, tcp, "pg.test", names,
                                       in_doubt ? std::nullopt : std::optional(known));
            RLV_ASSERT(reply.empty() || reply.size() >= 12);
            RLV_ASSERT(tcp || reply.size() <= 1232);
            if (reply.empty()) continue;
            // An answer, to this question, and nothing that could be taken for another question.
            RLV_ASSERT(bytes.size() >= 12 && reply[0] == bytes[0] && reply[1] == bytes[1]);
            RLV_ASSERT((static_cast<unsigned char>(reply[2]) & 0x80) != 0);
            const auto records = read_answer(reply);
            RLV_ASSERT(!in_doubt || !records || records->empty() ||
                       records->front().type == Type::soa);
            RLV_ASSERT(!read_query(reply));
        }
    }
    static_cast<void>(read_answer(bytes));
    const Key key{"k.", "hmac-sha256.", "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"};
    const Signed sent{std::string(bytes.substr(0, 2)), std::string("\0\4abcd", 6)};
    RLV_ASSERT(!read_update_answer(bytes, sent, key));  // nobody else can sign
    const auto parsed = parse_key(bytes);
    RLV_ASSERT(!parsed || (parsed->name.ends_with('.') && parsed->algorithm.ends_with('.')));
    static_cast<void>(term_of(bytes));
}

}  // namespace relevo::dns::testing
