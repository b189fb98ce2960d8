#include "cluster/member_json.h"

#include <fmt/core.h>

#include <algorithm>
#include <limits>

#include "base/text.h"
#include "cluster/json.h"
#include "cluster/member.h"
#include "cluster/plain_json.h"

namespace relevo::cluster {
namespace {

using json::Fields;
using json::Json;
using json::Ordered;

// A text of ours as the JSON value that it was; one that is none stands as a string.
Ordered tag_json(const TagValue& value) {
    auto parsed = json::parse_ordered(value.json);
    if (!parsed) return Ordered(value.json);
    return *std::move(parsed);
}

void read_tags(Fields& fields, Tags& tags) {
    const Json* const value = fields.find("tags");
    if (value == nullptr) return;
    if (!value->is_object()) return fields.wrong("tags", "an object");
    for (const auto& [name, tag] : value->items())
        tags.published[name] = TagValue{json::compact(tag)};
}

void read_pending_restart_reason(Fields& fields, MemberRecord& member) {
    const Json* const value = fields.find("pending_restart_reason");
    if (value == nullptr) return;
    if (!value->is_object()) return fields.wrong("pending_restart_reason", "an object");
    for (const auto& [parameter, change] : value->items()) {
        if (!change.is_object())
            return fields.wrong("pending_restart_reason", "an object of objects");
        Fields inner(change);
        PendingRestartReason& reason = member.pending_restart_reason[parameter];
        inner.scalar("old_value", reason.old_value);
        inner.scalar("new_value", reason.new_value);
        if (!inner.status())
            return fields.wrong("pending_restart_reason", "an object of old and new values");
    }
}

void read_scheduled_restart(Fields& fields, MemberRecord& member) {
    const Json* const value = fields.find("scheduled_restart");
    if (value == nullptr) return;
    if (!value->is_object()) return fields.wrong("scheduled_restart", "an object");
    if (value->empty()) return;
    Fields inner(*value);
    ScheduledRestart restart;
    inner.text("schedule", restart.schedule);
    inner.text("postmaster_start_time", restart.postmaster_start_time);
    inner.text("role", restart.role);
    inner.scalar("postgres_version", restart.postgres_version);
    inner.scalar("timeout", restart.timeout);
    // Its presence counts, whatever its value (contract 5.7).
    restart.restart_pending = inner.find("restart_pending") != nullptr;
    if (!inner.status())
        return fields.wrong("scheduled_restart", "a schedule with its conditions as texts");
    member.scheduled_restart = std::move(restart);
}

void read_wal_tail(Fields& fields, std::optional<WalTail>& tail) {
    const Json* const value = fields.find("wal_tail");
    if (value == nullptr) return;
    if (!value->is_object()) return fields.wrong("wal_tail", "an object");
    Fields inner(*value);
    WalTail read;
    std::optional<Lsn> end;
    inner.whole("timeline", read.timeline);
    inner.lsn("end", end);
    if (!inner.status() || read.timeline == 0 || !end)
        return fields.wrong("wal_tail", "a timeline and where it ends");
    read.end = *end;
    tail = read;
}

void read_state_and_role(Fields& fields, MemberRecord& member) {
    std::string state;
    fields.text("state", state);
    if (const auto known = parse_state(state)) {
        member.state = *known;
    } else {
        member.state_text = state;
    }
    std::string role;
    fields.text("role", role);
    // A role that we do not know yet is neither a primary nor a candidate.
    member.role = parse_role(role).value_or(Role::uninitialized);
}

int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

std::string percent_decoded(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '%' && i + 2 < text.size() && hex_value(text[i + 1]) >= 0 &&
            hex_value(text[i + 2]) >= 0) {
            out += static_cast<char>(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
            i += 2;
        } else {
            out += text[i];
        }
    }
    return out;
}

// postgres://host:port/db?application_name=<api_url>: how agents before 1.0 wrote themselves.
MemberRecord parse_legacy(MemberName name, std::string_view text) {
    MemberRecord member;
    member.name = std::move(name);
    const std::size_t question = text.find('?');
    member.conn_url = text.substr(0, question);
    if (question == std::string_view::npos) return member;
    for (const std::string& pair : split(text.substr(question + 1), '&')) {
        constexpr std::string_view key = "application_name=";
        if (pair.starts_with(key))
            member.api_url = percent_decoded(std::string_view(pair).substr(key.size()));
    }
    return member;
}

}  // namespace

bool Tags::flag(std::string_view name) const {
    const auto value = text(name);
    return value && parse_bool(*value).value_or(false);
}

std::optional<std::string> Tags::text(std::string_view name) const {
    const auto found =  // a handful, mostly none
        std::ranges::find(published, name,
                          [](const auto& tag) { return std::string_view(tag.first); });
    if (found == published.end() || found->second.json == "null") return std::nullopt;
    const std::string& written = found->second.json;
    if (!written.starts_with('"')) return written;
    const auto parsed = json::parse(written);
    return parsed && parsed->is_string() ? parsed->get<std::string>() : written;
}

namespace {

// A priority as Patroni reads it: 1 unless given, never negative.
int priority(const Tags& tags, std::string_view name) {
    const auto text = tags.text(name);
    const auto number = text ? parse_int(*text) : std::nullopt;
    if (!number) return 1;
    constexpr std::int64_t most = 1'000'000'000;
    return static_cast<int>(std::clamp<std::int64_t>(*number, 0, most));
}

// The no-tag wins over the priority when both are given (contract 2.5).
bool excluded(const Tags& tags, std::string_view no_tag, std::string_view priority_tag) {
    const auto text = tags.text(no_tag);
    const auto said = text ? parse_bool(*text) : std::nullopt;
    return said ? *said : priority(tags, priority_tag) == 0;
}

}  // namespace

bool Tags::nofailover() const { return excluded(*this, "nofailover", "failover_priority"); }
bool Tags::nosync() const { return excluded(*this, "nosync", "sync_priority"); }
int Tags::failover_priority() const {
    return nofailover() ? 0 : priority(*this, "failover_priority");
}
int Tags::sync_priority() const { return nosync() ? 0 : priority(*this, "sync_priority"); }
std::string Tags::replicatefrom() const { return text("replicatefrom").value_or(""); }

json::Ordered tags_json(const Tags& tags) {
    Ordered out = Ordered::object();
    for (const auto& [name, value] : tags.published) out[name] = tag_json(value);
    return out;
}

json::Ordered pending_restart_reason_json(
    const std::map<std::string, PendingRestartReason>& reasons) {
    Ordered out = Ordered::object();
    for (const auto& [parameter, reason] : reasons) {
        out[parameter] = {{"old_value", reason.old_value}, {"new_value", reason.new_value}};
    }
    return out;
}

json::Ordered scheduled_restart_json(const ScheduledRestart& restart, bool with_start_time) {
    Ordered out = {{"schedule", restart.schedule}};
    if (with_start_time && !restart.postmaster_start_time.empty()) {
        out["postmaster_start_time"] = restart.postmaster_start_time;
    }
    if (!restart.role.empty()) out["role"] = restart.role;
    if (!restart.postgres_version.empty()) out["postgres_version"] = restart.postgres_version;
    if (restart.restart_pending) out["restart_pending"] = true;
    if (const auto seconds = parse_decimal(restart.timeout)) {
        out["timeout"] = *seconds;
    } else if (!restart.timeout.empty()) {
        out["timeout"] = restart.timeout;
    }
    return out;
}

std::string to_json(const MemberRecord& member) {
    plain_json::Object out;
    out.text("conn_url", member.conn_url);
    out.text("api_url", member.api_url);
    const bool foreign_state = member.state == State::unknown && !member.state_text.empty();
    out.text("state", foreign_state ? std::string_view(member.state_text)
                                    : std::string_view(to_string(member.state)));
    out.text("role", to_string(member.role));
    out.text("version", member.version);
    if (!member.relevo.empty()) out.text("relevo", member.relevo);
    if (!member.proxy_url.empty()) out.text("proxy_url", member.proxy_url);
    if (member.checkpoint_after_promote)
        out.flag("checkpoint_after_promote", *member.checkpoint_after_promote);
    if (!member.tags.published.empty()) out.json("tags", json::compact(tags_json(member.tags)));
    if (member.pending_restart) out.flag("pending_restart", true);
    if (!member.pending_restart_reason.empty()) {
        out.json("pending_restart_reason",
                 json::compact(pending_restart_reason_json(member.pending_restart_reason)));
    }
    if (member.xlog_location) out.number("xlog_location", member.xlog_location->value);
    if (member.replay_lsn) out.number("replay_lsn", member.replay_lsn->value);
    if (member.receive_lsn) out.number("receive_lsn", member.receive_lsn->value);
    if (!member.replication_state.empty()) out.text("replication_state", member.replication_state);
    if (member.timeline != 0) out.number("timeline", member.timeline);
    if (member.scheduled_restart) {
        out.json("scheduled_restart",
                 json::compact(scheduled_restart_json(*member.scheduled_restart, true)));
    }
    if (member.pause) out.flag("pause", true);
    if (!member.admission.empty()) out.text("admission", member.admission);
    if (member.wal_tail)
        out.json("wal_tail", fmt::format(R"({{"timeline":{},"end":{}}})", member.wal_tail->timeline,
                                         member.wal_tail->end.value));
    if (member.leaves_votes) out.flag("leaves_votes", true);
    if (member.voteless) out.flag("voteless", true);
    if (member.restores_in_place) out.flag("restores_in_place", true);
    if (!member.lowered_commits.empty())
        out.text("lowered_synchronous_commit", member.lowered_commits);
    if (member.disk != DiskState::ok) out.text("disk", to_string(member.disk));
    if (!member.disk_note.empty()) out.text("disk_note", member.disk_note);
    if (member.refuses_writes) out.flag("refuses_writes", true);
    if (member.corrupted) out.flag("corrupted", true);
    if (!member.corruption_note.empty()) out.text("corruption_note", member.corruption_note);
    if (!member.archive_note.empty()) out.text("archive_note", member.archive_note);
    return out.take();
}

namespace {

bool read_plain_text(std::string_view key, std::string_view text, MemberRecord& member) {
    if (key == "conn_url")
        member.conn_url = text;
    else if (key == "api_url")
        member.api_url = text;
    else if (key == "proxy_url")
        member.proxy_url = text;
    else if (key == "version")
        member.version = text;
    else if (key == "relevo")
        member.relevo = text;
    else if (key == "replication_state")
        member.replication_state = text;
    else if (key == "admission")
        member.admission = text;
    else if (key == "lowered_synchronous_commit")
        member.lowered_commits = text;
    else if (key == "disk")
        member.disk = parse_disk_state(text).value_or(DiskState::ok);
    else if (key == "disk_note")
        member.disk_note = text;
    else if (key == "corruption_note")
        member.corruption_note = text;
    else if (key == "archive_note")
        member.archive_note = text;
    else if (key == "role")
        member.role = parse_role(text).value_or(Role::uninitialized);
    else if (key == "state") {
        const auto known = parse_state(text);
        member.state = known.value_or(State::unknown);
        member.state_text = known ? std::string_view{} : text;
    } else
        return false;
    return true;
}

bool read_plain_number(std::string_view key, std::uint64_t number, MemberRecord& member) {
    if (key == "xlog_location")
        member.xlog_location = Lsn{number};
    else if (key == "replay_lsn")
        member.replay_lsn = Lsn{number};
    else if (key == "receive_lsn")
        member.receive_lsn = Lsn{number};
    else if (key == "timeline" && number <= std::numeric_limits<Timeline>::max())
        member.timeline = static_cast<Timeline>(number);
    else
        return false;
    return true;
}

bool read_plain_flag(std::string_view key, bool flag, MemberRecord& member) {
    if (key == "checkpoint_after_promote")
        member.checkpoint_after_promote = flag;
    else if (key == "pending_restart")
        member.pending_restart = flag;
    else if (key == "pause")
        member.pause = flag;
    else if (key == "leaves_votes")
        member.leaves_votes = flag;
    else if (key == "voteless")
        member.voteless = flag;
    else if (key == "restores_in_place")
        member.restores_in_place = flag;
    else if (key == "refuses_writes")
        member.refuses_writes = flag;
    else if (key == "corrupted")
        member.corrupted = flag;
    else
        return false;
    return true;
}

bool read_plain_tags(std::string_view key, std::string_view object, MemberRecord& member) {
    if (key != "tags") return false;
    member.tags.published.clear();  // of a key that is there twice the last counts
    plain_json::Reader reader(object);
    plain_json::Value value;
    while (reader.next(key, value))
        member.tags.published[std::string(key)] = TagValue{std::string(value.json)};
    return reader.done();
}

// nullopt: there is more in it than members mostly write.
std::optional<MemberRecord> parse_plain(const MemberName& name, std::string_view text) {
    using plain_json::Value;
    MemberRecord member;
    member.name = name;
    plain_json::Reader reader(text);
    std::string_view key;
    Value value;
    while (reader.next(key, value)) {
        bool known = false;
        switch (value.kind) {
            case Value::Kind::text: known = read_plain_text(key, value.text, member); break;
            case Value::Kind::number: known = read_plain_number(key, value.number, member); break;
            case Value::Kind::flag: known = read_plain_flag(key, value.flag, member); break;
            case Value::Kind::object: known = read_plain_tags(key, value.json, member); break;
        }
        if (!known) return std::nullopt;
    }
    return reader.done() ? std::optional(std::move(member)) : std::nullopt;
}

}  // namespace

Result<MemberRecord> parse_member(MemberName name, std::string_view text) {
    if (text.starts_with("postgres://") || text.starts_with("postgresql://")) {
        return parse_legacy(std::move(name), text);
    }
    if (auto member = parse_plain(name, text)) return *std::move(member);
    RLV_TRY(const Json object, json::parse_object(text));
    Fields fields(object);
    MemberRecord member;
    member.name = std::move(name);
    fields.text("conn_url", member.conn_url);
    fields.text("api_url", member.api_url);
    fields.text("proxy_url", member.proxy_url);
    read_state_and_role(fields, member);
    fields.scalar("version", member.version);
    fields.text("relevo", member.relevo);
    if (fields.find("checkpoint_after_promote") != nullptr) {
        fields.flag("checkpoint_after_promote", member.checkpoint_after_promote.emplace());
    }
    read_tags(fields, member.tags);
    fields.flag("pending_restart", member.pending_restart);
    read_pending_restart_reason(fields, member);
    fields.lsn("xlog_location", member.xlog_location);
    fields.lsn("replay_lsn", member.replay_lsn);
    fields.lsn("receive_lsn", member.receive_lsn);
    fields.text("replication_state", member.replication_state);
    fields.whole("timeline", member.timeline);
    read_scheduled_restart(fields, member);
    fields.flag("pause", member.pause);
    fields.text("admission", member.admission);
    read_wal_tail(fields, member.wal_tail);
    fields.flag("leaves_votes", member.leaves_votes);
    fields.flag("voteless", member.voteless);
    fields.flag("restores_in_place", member.restores_in_place);
    fields.text("lowered_synchronous_commit", member.lowered_commits);
    std::string disk;
    fields.text("disk", disk);
    member.disk = parse_disk_state(disk).value_or(DiskState::ok);
    fields.text("disk_note", member.disk_note);
    fields.flag("refuses_writes", member.refuses_writes);
    fields.flag("corrupted", member.corrupted);
    fields.text("corruption_note", member.corruption_note);
    fields.text("archive_note", member.archive_note);
    RLV_CHECK(fields.status());
    return member;
}

}  // namespace relevo::cluster
