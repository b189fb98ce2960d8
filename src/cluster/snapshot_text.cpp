// The texts of the cluster's keys, both ways (contract 4.2).
#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"
#include "cluster/json.h"
#include "cluster/plain_json.h"
#include "cluster/snapshot.h"

namespace relevo::cluster {
namespace {

using json::Fields;
using json::Json;
using json::Ordered;

// "leader:candidate", from before there was JSON. Both may be empty.
Result<FailoverRequest> parse_legacy_failover(std::string_view text) {
    const std::vector<std::string> parts = split(text, ':');
    const bool plain = text.find_first_of("{}[]\"") == std::string_view::npos;
    if (parts.size() != 2 || !plain)
        return fail(ErrorCode::invalid, "neither a JSON object nor leader:candidate");
    FailoverRequest request;
    request.leader = trim(parts[0]);
    request.member = trim(parts[1]);
    return request;
}

// A schedule without a zone could mean hours earlier than its author thought: not understood.
Status read_schedule(FailoverRequest& request) {
    if (request.scheduled_at_text.empty()) return {};
    const auto time = parse_iso(request.scheduled_at_text);
    if (!time || !time->has_zone) {
        return fail(ErrorCode::invalid, "\"scheduled_at\" must be an ISO time with a time zone");
    }
    request.scheduled_at = time->time;
    return {};
}

Result<std::vector<MemberName>> parse_voters(std::string_view text) {
    std::vector<MemberName> voters;
    for (const std::string& part : split(text, ',')) {
        if (!trim(part).empty()) voters.emplace_back(trim(part));
    }
    std::sort(voters.begin(), voters.end());
    voters.erase(std::unique(voters.begin(), voters.end()), voters.end());
    return voters;
}

Result<HistoryLine> parse_history_line(const Json& item) {
    const auto wrong = [] {
        return fail(ErrorCode::invalid,
                    "each entry must be [timeline, lsn, reason, timestamp, member]");
    };
    if (!item.is_array() || item.size() < 3 || item.size() > 5) return wrong();
    const auto timeline = json::whole_number<Timeline>(item[0]);
    const auto switch_point = json::whole_number<std::uint64_t>(item[1]);
    // The last timeline that there can be has no next one.
    if (!timeline || *timeline == 0 || *timeline == std::numeric_limits<Timeline>::max())
        return wrong();
    if (!switch_point) return wrong();
    HistoryLine line{*timeline, Lsn{*switch_point}, {}, {}, {}};
    const std::array<std::string*, 3> texts = {&line.reason, &line.timestamp, &line.member};
    for (std::size_t i = 2; i < item.size(); ++i) {
        if (item[i].is_null()) continue;
        if (!item[i].is_string()) return wrong();
        *texts[i - 2] = item[i].get<std::string>();
    }
    return line;
}

}  // namespace

std::string to_json(const FailoverRequest& request) {
    Ordered out = Ordered::object();
    if (!request.leader.empty()) out["leader"] = request.leader;
    if (!request.member.empty()) out["member"] = request.member;
    if (!request.scheduled_at_text.empty()) {
        out["scheduled_at"] = request.scheduled_at_text;
    } else if (request.scheduled_at) {
        out["scheduled_at"] = to_iso(*request.scheduled_at);
    }
    return json::compact(out);
}

std::string to_json(const SyncState& sync) {
    std::vector<MemberName> voters = sync.voters;
    std::sort(voters.begin(), voters.end());
    Ordered out = {{"leader", nullptr},
                   {"quorum", sync.active() ? sync.quorum : 0},
                   {"sync_standby", nullptr}};
    if (sync.active()) out["leader"] = sync.leader;
    if (!voters.empty()) out["sync_standby"] = join(voters, ",");
    return json::compact(out);
}

std::string to_json(const StatusKey& status) {
    plain_json::Object out;
    out.number("optime", status.optime.value);
    if (!status.slots.empty()) {
        plain_json::Object slots;
        for (const auto& [name, lsn] : status.slots) slots.number(name, lsn.value);
        out.json("slots", slots.take());
    }
    if (!status.retain_slots.empty()) {
        std::vector<std::string> names = status.retain_slots;
        std::sort(names.begin(), names.end());
        std::string list;
        for (const auto& name : names)
            list += (list.empty() ? "[" : ",") + plain_json::quoted(name);
        out.json("retain_slots", list + "]");
    }
    return out.take();
}

std::string to_json(const Deposed& deposed) {
    Ordered out;
    out["term"] = deposed.term;
    out["leader"] = deposed.leader;
    out["by"] = deposed.by;
    return out.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string to_json(const std::vector<HistoryLine>& history) {
    Ordered out = Ordered::array();
    for (const HistoryLine& line : history) {
        Ordered item = Ordered::array({line.timeline, line.switch_point.value, line.reason});
        if (!line.timestamp.empty() || !line.member.empty()) item.push_back(line.timestamp);
        if (!line.member.empty()) item.push_back(line.member);
        out.push_back(std::move(item));
    }
    return json::compact(out);
}

std::string failsafe_json(const std::map<MemberName, std::string>& members) {
    Ordered out = Ordered::object();
    for (const auto& [name, url] : members) out[name] = url;
    return json::compact(out);
}

Result<FailoverRequest> parse_failover(std::string_view text) {
    const std::string_view trimmed = trim(text);
    if (trimmed.empty() || trimmed == "null") return FailoverRequest{};
    if (!trimmed.starts_with('{')) return parse_legacy_failover(trimmed);
    RLV_TRY(const Json object, json::parse_object(trimmed));
    FailoverRequest request;
    Fields fields(object);
    fields.text("leader", request.leader);
    fields.text("member", request.member);
    fields.text("scheduled_at", request.scheduled_at_text);
    RLV_CHECK(fields.status());
    RLV_CHECK(read_schedule(request));
    return request;
}

Result<SyncState> parse_sync(std::string_view text) {
    const std::string_view trimmed = trim(text);
    if (trimmed.empty() || trimmed == "null") return SyncState{};
    RLV_TRY(const Json object, json::parse_object(trimmed));
    SyncState sync;
    Fields fields(object);
    std::string standbys;
    fields.text("leader", sync.leader);
    fields.whole("quorum", sync.quorum);
    fields.text("sync_standby", standbys);
    RLV_CHECK(fields.status());
    if (!sync.active()) return SyncState{};
    RLV_TRY(sync.voters, parse_voters(standbys));
    return sync;
}

Result<StatusKey> parse_status(std::string_view text) {
    RLV_TRY(const Json value, json::parse(text));
    StatusKey status;
    if (const auto bare = json::whole_number<std::uint64_t>(value)) {  // what optime/leader held
        status.optime = Lsn{*bare};
        return status;
    }
    if (!value.is_object()) return fail(ErrorCode::invalid, "neither a JSON object nor a position");
    Fields fields(value);
    fields.whole("optime", status.optime.value);
    if (const Json* const slots = fields.find("slots")) {
        if (!slots->is_object()) return fail(ErrorCode::invalid, "\"slots\" must be an object");
        for (const auto& [name, lsn] : slots->items()) {
            const auto position = json::whole_number<std::uint64_t>(lsn);
            if (!position) return fail(ErrorCode::invalid, "\"slots\" must hold whole numbers");
            status.slots[name] = Lsn{*position};
        }
    }
    if (const Json* const retained = fields.find("retain_slots")) {
        if (!retained->is_array())
            return fail(ErrorCode::invalid, "\"retain_slots\" must be a list");
        for (const Json& name : *retained) {
            if (!name.is_string())
                return fail(ErrorCode::invalid, "\"retain_slots\" must hold texts");
            status.retain_slots.push_back(name.get<std::string>());
        }
    }
    RLV_CHECK(fields.status());
    return status;
}

Result<std::vector<HistoryLine>> parse_history(std::string_view text) {
    RLV_TRY(const Json value, json::parse(text));
    if (!value.is_array()) return fail(ErrorCode::invalid, "a JSON list is expected");
    std::vector<HistoryLine> history;
    for (const Json& item : value) {
        RLV_TRY(HistoryLine line, parse_history_line(item));
        history.push_back(std::move(line));
    }
    return history;
}

Result<TimelineKey> parse_timeline(std::string_view text) {
    RLV_TRY(const Json object, json::parse_object(text));
    // PostgreSQL's own is an unsigned 32-bit number that never wraps.
    const auto valid = [](const Json& value) {
        return value.is_number_unsigned() && value.get<std::uint64_t>() >= 1 &&
               value.get<std::uint64_t>() < std::numeric_limits<Timeline>::max();
    };
    const auto number = object.find("timeline");
    if (number == object.end() || !valid(*number))
        return fail(ErrorCode::invalid, "timeline must be a number from 1");
    TimelineKey key;
    key.number = number->get<Timeline>();
    const auto from = object.find("from");
    const auto left = object.find("from_timeline");
    if (from != object.end() || left != object.end()) {
        if (from == object.end() || left == object.end() || !from->is_number_unsigned() ||
            !valid(*left))
            return fail(ErrorCode::invalid,
                        "from must be a position in the WAL, and from_timeline its timeline");
        key.from = Lsn{from->get<std::uint64_t>()};
        key.from_timeline = left->get<Timeline>();
    }
    const auto line = object.find("line");
    const auto settled = object.find("settled");
    if (line == object.end() && settled == object.end()) return key;
    if (line == object.end() || settled == object.end() || !valid(*line) || !valid(*settled))
        return fail(ErrorCode::invalid, "line and settled must be numbers from 1");
    key.line = line->get<Timeline>();
    key.settled = settled->get<Timeline>();
    return key;
}

Result<Deposed> parse_deposed(std::string_view text) {
    RLV_TRY(const Json object, json::parse_object(text));
    const auto name = [&object](const char* key) {
        const auto at = object.find(key);
        return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
    };
    const auto term = object.find("term");
    Deposed deposed{0, name("leader"), name("by")};
    const bool numbered = term != object.end() && term->is_number_unsigned() &&
                          std::in_range<Revision>(term->get<std::uint64_t>());
    if (numbered) deposed.term = static_cast<Revision>(term->get<std::uint64_t>());
    if (deposed.term == 0 || deposed.leader.empty())
        return fail(ErrorCode::invalid, "term must be a number from 1, leader a name");
    return deposed;
}

Result<std::map<MemberName, std::string>> parse_failsafe(std::string_view text) {
    RLV_TRY(const Json object, json::parse_object(text));
    std::map<MemberName, std::string> members;
    for (const auto& [name, url] : object.items()) {
        if (!url.is_string()) return fail(ErrorCode::invalid, "each member's URL must be a text");
        members[name] = url.get<std::string>();
    }
    return members;
}

Result<std::string> parse_config(std::string_view text) {
    RLV_TRY(const Ordered object, json::parse_ordered_object(text));
    return json::compact(object);
}

Result<std::vector<HistoryLine>> parse_history_file(std::string_view text) {
    std::vector<HistoryLine> history;
    for (const std::string& raw : split(text, '\n')) {
        const std::string_view line = trim(raw);
        if (line.empty() || line.front() == '#') continue;
        const std::size_t first = line.find('\t');
        const std::size_t second =
            first == std::string_view::npos ? first : line.find('\t', first + 1);
        const auto timeline = parse_decimal(line.substr(0, first));
        const auto lsn = first == std::string_view::npos
                             ? std::nullopt
                             : parse_lsn(line.substr(first + 1, second - first - 1));
        if (!timeline || *timeline < 1 || *timeline >= std::numeric_limits<Timeline>::max() ||
            !lsn) {
            return fail(ErrorCode::invalid, fmt::format("no timeline history line: {}", line));
        }
        HistoryLine entry{static_cast<Timeline>(*timeline), *lsn, {}, {}, {}};
        if (second != std::string_view::npos) entry.reason = line.substr(second + 1);
        history.push_back(std::move(entry));
    }
    return history;
}

}  // namespace relevo::cluster
