// DNS messages as bytes and back: the one place that knows ldns. Pure: no socket, and no clock but
// for the time that TSIG signs.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "dns/key.h"

namespace relevo::dns {

enum class Type : std::uint16_t { a = 1, soa = 6, txt = 16, aaaa = 28, any = 255 };

// A name's addresses, IPv4 and IPv6 together.
struct Addresses {
    std::string name;
    std::set<std::string> all;  // "10.0.0.1", "fd00::1"
    bool operator==(const Addresses&) const = default;
};

std::string question(std::string_view name, Type type);

// One record of an answer, with what it holds as a zone file writes it.
struct Record {
    std::string name;  // lower case, with its dot
    Type type{};
    std::string text;
};
// failed: the server's refusal as a sentence. unavailable: not a DNS message. A name that does not
// exist is an answer without records.
Result<std::vector<Record>> read_answer(std::string_view bytes);

// Everything of one change: it happens as a whole or not at all (RFC 2136).
struct Update {
    std::string zone;
    std::string guard;                    // the name whose TXT records are compared
    std::vector<std::string> guard_then;  // they must be these now, as read_answer gave them
    std::string term_before;              // the one of them that is replaced; "": none
    std::string term_after;               // and by what, unquoted
    std::vector<Addresses> names;         // what A and AAAA records they have afterwards
    std::uint32_t ttl_s = 2;
};

struct Signed {
    std::string bytes;
    std::string mac;  // what the answer's signature is computed over; opaque
};
// invalid: a name, an address or the key can't be written.
Result<Signed> update_message(const Update& update, const Key& key);

// ok; conflict: the guard was not as expected; denied: the key or its rights; failed: anything
// else, as a sentence that says what to look at.
Status read_update_answer(std::string_view bytes, const Signed& sent, const Key& key);

// ------------------------------------------------------------------------------- for a responder

struct Query {
    std::uint16_t id = 0;
    std::string name;  // lower case, with its dot
    std::uint16_t type = 0, klass = 0;
    bool recursion_desired = false, edns = false;
    std::size_t size_max = 512;  // what the asker can take over UDP
};
enum class Code : std::uint8_t {
    no_error = 0,
    malformed = 1,
    server_failure = 2,
    no_such_name = 3,
    not_implemented = 4,
    refused = 5
};
// nullopt: not a question that deserves an answer (an answer itself, or no header). A message that
// can't be understood, or asks for something else than one question, has `problem` set.
struct Asked {
    Query query;
    std::optional<Code> problem;
    std::string header;  // of the message, for a problem's answer
};
std::optional<Asked> read_query(std::string_view bytes);

struct Answer {
    Code code = Code::no_error;
    bool authoritative = true;
    std::set<std::string> addresses;  // of the wanted family only
    std::string alias;                // a CNAME in their place
    std::string zone;                 // for the SOA: answer to SOA, or authority of an empty answer
    bool soa = false;                 // the SOA is the answer
    std::uint32_t serial = 1, ttl_s = 0;
};
// "" when it can't be written. Cut short (TC) when longer than the asker takes.
std::string answer_message(const Asked& asked, const Answer& answer, bool tcp);

}  // namespace relevo::dns
