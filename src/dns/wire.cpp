#include "dns/wire.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "base/text.h"

// Last, as it defines min and max.
#include <ldns/ldns.h>
#undef min
#undef max

namespace relevo::dns {

namespace {

constexpr std::uint16_t fudge_s = 300;  // how far clocks may be apart: everybody's number
constexpr std::size_t header_bytes = 12;
constexpr std::size_t mac_field = 3, error_field = 5;  // of a TSIG record's data

struct FreePacket {
    void operator()(ldns_pkt* packet) const { ldns_pkt_free(packet); }
};
struct FreeRecord {
    void operator()(ldns_rr* record) const { ldns_rr_free(record); }
};
struct FreeList {
    void operator()(ldns_rr_list* list) const { ldns_rr_list_deep_free(list); }
};
struct FreeData {
    void operator()(ldns_rdf* data) const { ldns_rdf_deep_free(data); }
};
using Packet = std::unique_ptr<ldns_pkt, FreePacket>;
using RecordPtr = std::unique_ptr<ldns_rr, FreeRecord>;
using List = std::unique_ptr<ldns_rr_list, FreeList>;
using Data = std::unique_ptr<ldns_rdf, FreeData>;

std::string dotted(std::string_view name) {
    std::string text(name);
    if (!text.ends_with('.')) text.push_back('.');
    return text;
}

Data name_data(std::string_view name) {
    return Data(ldns_rdf_new_frm_str(LDNS_RDF_TYPE_DNAME, dotted(name).c_str()));
}

// What ldns prints, in memory of C's.
std::string text_of(const ldns_rdf* data) {
    char* text = ldns_rdf2str(data);
    std::string copy = text ? text : "";
    std::free(text);  // NOLINT(cppcoreguidelines-no-malloc): ldns allocates with malloc
    return copy;
}

std::string bytes_of(const ldns_pkt* packet) {
    std::uint8_t* bytes = nullptr;
    std::size_t size = 0;
    if (ldns_pkt2wire(&bytes, packet, &size) != LDNS_STATUS_OK) return {};
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): bytes are bytes
    std::string copy(reinterpret_cast<const char*>(bytes), size);
    std::free(bytes);  // NOLINT(cppcoreguidelines-no-malloc)
    return copy;
}

const std::uint8_t* octets(std::string_view bytes) {
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): bytes are bytes
    return reinterpret_cast<const std::uint8_t*>(bytes.data());
}

Packet packet_of(std::string_view bytes) {
    ldns_pkt* packet = nullptr;
    if (bytes.size() < header_bytes) return nullptr;
    if (ldns_wire2pkt(&packet, octets(bytes), bytes.size()) != LDNS_STATUS_OK) return nullptr;
    return Packet(packet);
}

std::string code_name(ldns_pkt_rcode code) {
    switch (static_cast<int>(code)) {
        case LDNS_RCODE_FORMERR: return "it could not read the message (FORMERR)";
        case LDNS_RCODE_SERVFAIL:
            return "it failed (SERVFAIL); its log says why: often it may not write its zone file";
        case LDNS_RCODE_NOTIMPL: return "it does not know dynamic updates (NOTIMP)";
        case LDNS_RCODE_REFUSED:
            return "it refused (REFUSED): the key must be allowed to update this zone "
                   "(allow-update or update-policy in BIND, acl in Knot)";
        case LDNS_RCODE_NOTAUTH:
            return "it is not the primary server of this zone, or does not know the key (NOTAUTH)";
        case LDNS_RCODE_NOTZONE: return "a name is outside the zone (NOTZONE)";
        default: break;
    }
    return fmt::format("it answered with code {}", static_cast<int>(code));
}

// TSIG's own errors (RFC 8945, 5.2).
std::string signature_problem(const ldns_rr* tsig) {
    const ldns_rdf* error = tsig ? ldns_rr_rdf(tsig, error_field) : nullptr;
    if (!error || ldns_rdf_get_type(error) != LDNS_RDF_TYPE_INT16) return {};
    switch (ldns_rdf2native_int16(error)) {
        case 16: return "the key's secret is not the server's (BADSIG)";
        case 17: return "the server does not know the key by this name and algorithm (BADKEY)";
        case 18: return "the clocks are more than 5 minutes apart (BADTIME): look at NTP on both";
        default: return {};
    }
}

}  // namespace

std::string question(std::string_view name, Type type) {
    auto data = name_data(name);
    if (!data) return {};
    const Packet packet(
        ldns_pkt_query_new(data.release(), static_cast<ldns_rr_type>(type), LDNS_RR_CLASS_IN, 0));
    if (!packet) return {};
    ldns_pkt_set_random_id(packet.get());
    return bytes_of(packet.get());
}

Result<std::vector<Record>> read_answer(std::string_view bytes) {
    const auto packet = packet_of(bytes);
    if (!packet || !ldns_pkt_qr(packet.get()))
        return fail(ErrorCode::unavailable, "what came back is no answer of a name server");
    const auto code = ldns_pkt_get_rcode(packet.get());
    if (code != LDNS_RCODE_NOERROR && code != LDNS_RCODE_NXDOMAIN)
        return fail(ErrorCode::failed, code_name(code));
    std::vector<Record> records;
    const auto* list = ldns_pkt_answer(packet.get());
    for (std::size_t i = 0; i < ldns_rr_list_rr_count(list); ++i) {
        const auto* row = ldns_rr_list_rr(list, i);
        if (ldns_rr_rd_count(row) != 1 && ldns_rr_get_type(row) != LDNS_RR_TYPE_TXT) continue;
        std::string text;
        for (std::size_t n = 0; n < ldns_rr_rd_count(row); ++n)
            text += (n == 0 ? "" : " ") + text_of(ldns_rr_rdf(row, n));
        records.push_back({lower(text_of(ldns_rr_owner(row))),
                           static_cast<Type>(ldns_rr_get_type(row)), std::move(text)});
    }
    return records;
}

namespace {

RecordPtr record(std::string_view name, std::uint32_t ttl_s, const char* type,
                 const std::string& text) {
    const auto line = fmt::format("{} {} IN {} {}", dotted(name), ttl_s, type, text);
    ldns_rr* made = nullptr;
    if (ldns_rr_new_frm_str(&made, line.c_str(), 0, nullptr, nullptr) != LDNS_STATUS_OK)
        return nullptr;
    return RecordPtr(made);
}

// A record without data: "the set exists not", "delete the set".
RecordPtr empty_record(std::string_view name, ldns_rr_type type, ldns_rr_class klass) {
    auto owner = name_data(name);
    if (!owner) return nullptr;
    RecordPtr made(ldns_rr_new());
    if (!made) return nullptr;
    ldns_rr_set_owner(made.get(), owner.release());
    ldns_rr_set_type(made.get(), type);
    ldns_rr_set_class(made.get(), klass);
    ldns_rr_set_ttl(made.get(), 0);
    return made;
}

bool push(ldns_rr_list* list, RecordPtr made) {
    if (!made || !ldns_rr_list_push_rr(list, made.get())) return false;
    static_cast<void>(made.release());  // the list's now
    return true;
}

bool add_guard(const Update& update, ldns_rr_list* before) {
    if (update.guard_then.empty())
        return push(before, empty_record(update.guard, LDNS_RR_TYPE_TXT, LDNS_RR_CLASS_NONE));
    for (const auto& text : update.guard_then)
        if (!push(before, record(update.guard, 0, "TXT", text))) return false;
    return true;
}

bool add_changes(const Update& update, ldns_rr_list* changes) {
    if (!update.term_before.empty()) {
        auto old = record(update.guard, 0, "TXT", update.term_before);
        if (!old) return false;
        ldns_rr_set_class(old.get(), LDNS_RR_CLASS_NONE);  // this one record
        if (!push(changes, std::move(old))) return false;
    }
    for (const auto& [name, all] : update.names) {
        for (const auto type : {LDNS_RR_TYPE_A, LDNS_RR_TYPE_AAAA})
            if (!push(changes, empty_record(name, type, LDNS_RR_CLASS_ANY))) return false;
        for (const auto& address : all) {
            const char* type = address.contains(':') ? "AAAA" : "A";
            if (!push(changes, record(name, update.ttl_s, type, address))) return false;
        }
    }
    return push(changes, record(update.guard, update.ttl_s, "TXT", '"' + update.term_after + '"'));
}

}  // namespace

Result<Signed> update_message(const Update& update, const Key& key) {
    const List before(ldns_rr_list_new()), changes(ldns_rr_list_new());
    auto zone = name_data(update.zone);
    if (!zone || !before || !changes || !add_guard(update, before.get()) ||
        !add_changes(update, changes.get()))
        return fail(ErrorCode::invalid,
                    fmt::format("the names or addresses for {} can't be written as DNS records",
                                update.guard));
    const Packet packet(
        ldns_update_pkt_new(zone.get(), LDNS_RR_CLASS_IN, before.get(), changes.get(), nullptr));
    if (!packet) return fail(ErrorCode::invalid, "the update can't be written");
    static_cast<void>(zone.release());  // the packet's now
    ldns_pkt_set_random_id(packet.get());
    if (ldns_pkt_tsig_sign(packet.get(), key.name.c_str(), key.secret.c_str(), fudge_s,
                           key.algorithm.c_str(), nullptr) != LDNS_STATUS_OK)
        return fail(ErrorCode::invalid, "the update can't be signed with this TSIG key");
    Signed made;
    made.bytes = bytes_of(packet.get());
    const auto* mac = ldns_rr_rdf(ldns_pkt_tsig(packet.get()), mac_field);
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): bytes are bytes
    made.mac.assign(reinterpret_cast<const char*>(ldns_rdf_data(mac)), ldns_rdf_size(mac));
    if (made.bytes.empty()) return fail(ErrorCode::invalid, "the update can't be written");
    return made;
}

Status read_update_answer(std::string_view bytes, const Signed& sent, const Key& key) {
    const auto packet = packet_of(bytes);
    const bool ours = packet && ldns_pkt_qr(packet.get()) && sent.bytes.size() >= 2 &&
                      std::memcmp(bytes.data(), sent.bytes.data(), 2) == 0;
    if (!ours) return fail(ErrorCode::outcome_unknown, "what came back is no answer to the update");
    const auto code = ldns_pkt_get_rcode(packet.get());
    if (code == LDNS_RCODE_NOTAUTH) {
        const auto why = signature_problem(ldns_pkt_tsig(packet.get()));
        return fail(ErrorCode::denied, why.empty() ? code_name(code) : why);
    }
    const Data mac(
        ldns_rdf_new_frm_data(LDNS_RDF_TYPE_INT16_DATA, sent.mac.size(), sent.mac.data()));
    if (code == LDNS_RCODE_REFUSED && !ldns_pkt_tsig(packet.get()))
        return fail(ErrorCode::denied, code_name(code));
    if (!mac || !ldns_pkt_tsig_verify(packet.get(), octets(bytes), bytes.size(), key.name.c_str(),
                                      key.secret.c_str(), mac.get()))
        return fail(ErrorCode::outcome_unknown,
                    "the answer is not signed with our key; it is not believed");
    switch (static_cast<int>(code)) {
        case LDNS_RCODE_NOERROR: return {};
        case LDNS_RCODE_NXRRSET:
        case LDNS_RCODE_YXRRSET:
        case LDNS_RCODE_NXDOMAIN:
        case LDNS_RCODE_YXDOMAIN:
            return fail(ErrorCode::conflict, "somebody else changed the name meanwhile");
        case LDNS_RCODE_REFUSED: return fail(ErrorCode::denied, code_name(code));
        default: return fail(ErrorCode::failed, code_name(code));
    }
}

std::optional<Asked> read_query(std::string_view bytes) {
    if (bytes.size() < header_bytes) return std::nullopt;
    const auto* raw = octets(bytes);
    if ((raw[2] & 0x80) != 0) return std::nullopt;  // an answer: never answer those
    Asked asked;
    asked.header = std::string(bytes.substr(0, header_bytes));
    asked.query.id = static_cast<std::uint16_t>(raw[0] << 8 | raw[1]);
    asked.query.recursion_desired = (raw[2] & 1) != 0;
    if (((raw[2] >> 3) & 15) != 0) {
        asked.problem = Code::not_implemented;
        return asked;
    }
    const auto packet = packet_of(bytes);
    if (!packet || ldns_pkt_qdcount(packet.get()) != 1) {
        asked.problem = Code::malformed;
        return asked;
    }
    const auto* row = ldns_rr_list_rr(ldns_pkt_question(packet.get()), 0);
    asked.query.name = lower(text_of(ldns_rr_owner(row)));
    asked.query.type = static_cast<std::uint16_t>(ldns_rr_get_type(row));
    asked.query.klass = static_cast<std::uint16_t>(ldns_rr_get_class(row));
    asked.query.edns = ldns_pkt_edns(packet.get());
    if (asked.query.edns)
        asked.query.size_max = std::clamp<std::size_t>(ldns_pkt_edns_udp_size(packet.get()), 512,
                                                       1232);  // above, packets get fragmented
    return asked;
}

namespace {

std::string header_only(const Asked& asked, Code code, bool truncated) {
    std::string bytes = asked.header;
    bytes[2] = static_cast<char>((static_cast<unsigned char>(bytes[2]) & 0x79) | 0x80 |
                                 (truncated ? 2 : 0));
    bytes[3] = static_cast<char>(code);
    std::fill(bytes.begin() + 4, bytes.end(), '\0');
    return bytes;
}

RecordPtr soa(const Answer& answer) {
    return record(answer.zone, answer.ttl_s, "SOA",
                  fmt::format("ns.{0} hostmaster.{0} {1} 5 5 5 {2}", dotted(answer.zone),
                              answer.serial, answer.ttl_s));
}

bool fill(const Asked& asked, const Answer& answer, ldns_pkt* packet) {
    const auto add = [&](ldns_pkt_section where, RecordPtr made) {
        return made && ldns_pkt_push_rr(packet, where, made.release());
    };
    const auto& name = asked.query.name;
    if (!answer.alias.empty() &&
        !add(LDNS_SECTION_ANSWER, record(name, answer.ttl_s, "CNAME", dotted(answer.alias))))
        return false;
    for (const auto& address : answer.addresses)
        if (!add(LDNS_SECTION_ANSWER,
                 record(name, answer.ttl_s, address.contains(':') ? "AAAA" : "A", address)))
            return false;
    if (answer.soa) return add(LDNS_SECTION_ANSWER, soa(answer));
    // An answer without data says how long that may be believed.
    const bool empty = answer.addresses.empty() && answer.alias.empty();
    const bool negative = answer.code == Code::no_error || answer.code == Code::no_such_name;
    return !empty || !negative || answer.zone.empty() || add(LDNS_SECTION_AUTHORITY, soa(answer));
}

}  // namespace

std::string answer_message(const Asked& asked, const Answer& answer, bool tcp) {
    if (asked.problem) return header_only(asked, *asked.problem, false);
    auto name = name_data(asked.query.name);
    if (!name) return header_only(asked, Code::malformed, false);
    const Packet packet(ldns_pkt_query_new(name.release(),
                                           static_cast<ldns_rr_type>(asked.query.type),
                                           static_cast<ldns_rr_class>(asked.query.klass), 0));
    if (!packet) return header_only(asked, Code::server_failure, false);
    ldns_pkt_set_id(packet.get(), asked.query.id);
    ldns_pkt_set_qr(packet.get(), true);
    ldns_pkt_set_aa(packet.get(), answer.authoritative);
    ldns_pkt_set_rd(packet.get(), asked.query.recursion_desired);
    ldns_pkt_set_rcode(packet.get(), static_cast<std::uint8_t>(answer.code));
    if (asked.query.edns) ldns_pkt_set_edns_udp_size(packet.get(), 1232);
    if (!fill(asked, answer, packet.get())) return header_only(asked, Code::server_failure, false);
    auto bytes = bytes_of(packet.get());
    if (bytes.empty()) return header_only(asked, Code::server_failure, false);
    if (!tcp && bytes.size() > asked.query.size_max) return header_only(asked, answer.code, true);
    return bytes;
}

}  // namespace relevo::dns
