#include "cluster/stream.h"

#include <fmt/format.h>

#include "cluster/json.h"

namespace relevo::cluster {
namespace {

using json::Fields;
using json::Json;
using json::Ordered;
using std::chrono::milliseconds;

// What a reader takes from outside: more than any cluster has.
constexpr std::size_t members_max = 1000, blockers_max = 100, text_max = 4096;
constexpr std::int64_t ms_max = 24LL * 3600 * 1000;

void read_ms(Fields& fields, const char* key, milliseconds& out) {
    std::uint64_t number = static_cast<std::uint64_t>(out.count());
    fields.whole(key, number);
    out = milliseconds(std::min<std::uint64_t>(number, ms_max));
}

void read_text(Fields& fields, const char* key, std::string& out) {
    fields.text(key, out);
    if (out.size() <= text_max) return;
    // Not in the middle of a character.
    out.resize(text_max);
    const auto byte = [&] { return static_cast<unsigned char>(out.back()); };
    while (!out.empty() && (byte() & 0xC0U) == 0x80U) out.pop_back();
    if (!out.empty() && byte() >= 0xC0U) out.pop_back();
}

// The objects of a list; what is none is left out.
template <class Read>
void each_object(Fields& fields, const char* key, std::size_t most, Read read) {
    const auto* list = fields.find(key);
    if (list == nullptr) return;
    if (!list->is_array()) return fields.wrong(key, "a list");
    for (const auto& item : *list)
        if (item.is_object() && most-- > 0) read(item);
}

Ordered hold_json(const PoolerHold& hold) {
    return {{"id", hold.id}, {"drain_ms", hold.drain.count()}};
}

void write_self(Ordered& out, const MemberStream& s) {
    out["term"] = s.term;
    out["serves_for_ms"] = s.serves_for.count();
    if (s.hold) out["hold"] = hold_json(*s.hold);
    if (s.suspects != 0) out["suspects"] = s.suspects;
    out["primary"] = s.primary;
    out["standby"] = s.standby;
    out["streaming"] = s.streaming;
    if (s.noloadbalance) out["noloadbalance"] = true;
    out["timeline"] = s.timeline;
    out["leader_timeline"] = s.leader_timeline;
    out["lag_bytes"] = s.lag_bytes;
    out["lag_ms"] = s.lag_ms.count();
    out["host"] = s.host;
    out["port"] = s.port;
}

Status read_self(Fields& fields, MemberStream& s) {
    fields.whole("term", s.term);
    read_ms(fields, "serves_for_ms", s.serves_for);
    fields.whole("suspects", s.suspects);
    fields.flag("primary", s.primary);
    fields.flag("standby", s.standby);
    fields.flag("streaming", s.streaming);
    fields.flag("noloadbalance", s.noloadbalance);
    fields.whole("timeline", s.timeline);
    fields.whole("leader_timeline", s.leader_timeline);
    fields.whole("lag_bytes", s.lag_bytes);
    read_ms(fields, "lag_ms", s.lag_ms);
    read_text(fields, "host", s.host);
    fields.whole("port", s.port);
    const auto* hold = fields.find("hold");
    if (hold == nullptr) return fields.status();
    if (!hold->is_object()) return fail(ErrorCode::invalid, "hold is not an object");
    Fields of(*hold);
    PoolerHold read;
    of.whole("id", read.id);
    read_ms(of, "drain_ms", read.drain);
    if (read.id != 0) s.hold = read;
    RLV_CHECK(of.status());
    return fields.status();
}

Ordered blocker_json(const Blocker& b) {
    return {{"pid", b.pid},       {"user", b.user},   {"database", b.database},
            {"client", b.client}, {"query", b.query}, {"age_ms", b.age.count()}};
}

const char* word(GatewayReport::Outcome outcome) {
    switch (outcome) {
        case GatewayReport::Outcome::under_way: return "under way";
        case GatewayReport::Outcome::held: return "held";
        case GatewayReport::Outcome::blocked: return "blocked";
    }
    return "?";
}

}  // namespace

bool MemberStream::same_news(const MemberStream& other) const {
    auto mine = *this;
    mine.sequence = other.sequence;
    // That the right ends is news, how long it still lasts is not.
    if (serves() == other.serves()) mine.serves_for = other.serves_for;
    mine.lag_bytes = other.lag_bytes;
    mine.lag_ms = other.lag_ms;
    return mine == other;
}

std::string to_json(const MemberStream& s) {
    Ordered out{{"sequence", s.sequence}, {"scope", s.scope}, {"name", s.name}};
    if (!s.system_id.empty()) out["system_id"] = s.system_id;
    if (s.seen) out["seen"] = {{"leader", s.seen->leader}, {"term", s.seen->term}};
    write_self(out, s);
    out["members"] = Ordered::array();
    for (const auto& m : s.members)
        out["members"].push_back(
            {{"name", m.name}, {"api_url", m.api_url}, {"host", m.host}, {"port", m.port}});
    return json::compact(out);
}

Result<MemberStream> parse_stream(std::string_view text) {
    RLV_TRY(const auto object, json::parse_object(text));
    MemberStream s;
    Fields fields(object);
    fields.whole("sequence", s.sequence);
    read_text(fields, "scope", s.scope);
    read_text(fields, "name", s.name);
    read_text(fields, "system_id", s.system_id);
    RLV_CHECK(read_self(fields, s));
    if (const auto* seen = fields.find("seen"); seen != nullptr && seen->is_object()) {
        Fields of(*seen);
        s.seen = SeenLeader{};
        read_text(of, "leader", s.seen->leader);
        of.whole("term", s.seen->term);
        RLV_CHECK(of.status());
    }
    each_object(fields, "members", members_max, [&](const Json& item) {
        Fields of(item);
        StreamedMember m;
        read_text(of, "name", m.name);
        read_text(of, "api_url", m.api_url);
        read_text(of, "host", m.host);
        of.whole("port", m.port);
        if (of.status() && !m.name.empty()) s.members.push_back(std::move(m));
    });
    RLV_CHECK(fields.status());
    if (s.name.empty()) return fail(ErrorCode::invalid, "the stream does not say whose it is");
    return s;
}

std::string describe(const Blocker& b) {
    std::string text = fmt::format("pid {}, user {}, database {}", b.pid, b.user, b.database);
    if (!b.client.empty()) text += ", from " + b.client;
    if (b.age.count() > 0)
        text += fmt::format(", for {:.1f} s", static_cast<double>(b.age.count()) / 1000);
    if (!b.query.empty()) text += ": " + b.query;
    return text;
}

std::string to_json(const GatewayReport& r) {
    Ordered out{{"name", r.name}, {"since", r.since}, {"wait_ms", r.wait.count()}};
    if (r.positions) out["positions"] = true;
    if (r.hold != 0) {
        out["hold"] = r.hold;
        out["outcome"] = word(r.outcome);
        out["blockers"] = Ordered::array();
        for (const auto& b : r.blockers) out["blockers"].push_back(blocker_json(b));
    }
    return json::compact(out);
}

Result<GatewayReport> parse_gateway_report(std::string_view text) {
    RLV_TRY(const auto object, json::parse_object(text));
    GatewayReport r;
    Fields fields(object);
    read_text(fields, "name", r.name);
    fields.whole("since", r.since);
    read_ms(fields, "wait_ms", r.wait);
    fields.flag("positions", r.positions);
    fields.whole("hold", r.hold);
    std::string outcome;
    fields.text("outcome", outcome);
    using Outcome = GatewayReport::Outcome;
    for (const auto one : {Outcome::held, Outcome::blocked})
        if (outcome == word(one)) r.outcome = one;
    each_object(fields, "blockers", blockers_max, [&](const Json& item) {
        Fields of(item);
        Blocker b;
        of.whole("pid", b.pid);
        read_text(of, "user", b.user);
        read_text(of, "database", b.database);
        read_text(of, "client", b.client);
        read_text(of, "query", b.query);
        read_ms(of, "age_ms", b.age);
        if (of.status()) r.blockers.push_back(std::move(b));
    });
    RLV_CHECK(fields.status());
    if (r.name.empty()) return fail(ErrorCode::invalid, "a gateway must say its name");
    return r;
}

}  // namespace relevo::cluster
