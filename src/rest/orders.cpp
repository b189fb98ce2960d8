#include "rest/orders.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text.h"

namespace relevo::rest {
namespace {

using nlohmann::json;

std::unexpected<Refusal> refuse(int status, std::string reason) {
    return std::unexpected(Refusal{status, std::move(reason)});
}

Parsed<json> parse(std::string_view body) {
    if (json_nesting(body) > nesting_max) return refuse(400, "the body is nested too deeply");
    auto value = json::parse(body, nullptr, false);
    if (value.is_discarded()) return refuse(400, "the body is not valid JSON");
    if (!value.is_object()) return refuse(400, "the body must be a JSON object");
    return value;
}

// An optional body: none at all reads as {}.
Parsed<json> parse_optional(std::string_view body) {
    if (trim(body).empty()) return json::object();
    return parse(body);
}

// What was sent, cut short, as it can be shown: the answer must be UTF-8, the body need not have
// been.
std::string shown(const json& value) {
    auto text = value.dump(-1, ' ', true, json::error_handler_t::replace);
    if (text.size() > 64) text.resize(64);
    return text;
}

// Absent and null are empty.
Parsed<std::string> text_of(const json& object, const char* key) {
    const auto at = object.find(key);
    if (at == object.end() || at->is_null()) return std::string{};
    if (!at->is_string())
        return refuse(400, fmt::format("{} must be a text, not {}", key, shown(*at)));
    return at->get<std::string>();
}

Parsed<bool> flag_of(const json& object, const char* key) {
    const auto at = object.find(key);
    if (at == object.end() || at->is_null()) return false;
    if (at->is_boolean()) return at->get<bool>();
    const auto text = at->is_string() ? at->get<std::string>() : shown(*at);
    if (const auto value = parse_bool(text)) return *value;
    return refuse(400, fmt::format("{} must be true or false, not {}", key, shown(*at)));
}

Parsed<WallTime> due_time(const std::string& text, WallTime wall) {
    const auto parsed = parse_iso(text);
    if (!parsed) {
        return refuse(422,
                      "Unable to parse scheduled timestamp. It should be in an unambiguous "
                      "format, e.g. ISO 8601: 2026-01-02T03:04:05+00:00");
    }
    if (!parsed->has_zone) {
        return refuse(400, "Timezone information is mandatory for the scheduled timestamp");
    }
    if (parsed->time < wall) return refuse(422, "Cannot schedule in the past");
    return parsed->time;
}

// X.Y or X.Y.Z, digits only.
bool is_version(std::string_view text) {
    const auto parts = split(text, '.');
    if (parts.size() < 2 || parts.size() > 3) return false;
    for (const auto& part : parts) {
        if (part.empty() || part.size() > 4) return false;
        if (part.find_first_not_of("0123456789") != part.npos) return false;
    }
    return true;
}

Parsed<Duration> timeout_of(const json& value) {
    const auto text = value.is_string() ? value.get<std::string>() : shown(value);
    const auto seconds = parse_int(text, "s");
    // A day is longer than any restart; the bound keeps the arithmetic of the waiting side sane.
    if (!seconds || *seconds <= 0 || *seconds > 86'400) {
        return refuse(400,
                      fmt::format("timeout must be a number of seconds from 1 to 86400, with or "
                                  "without a unit, not {}",
                                  shown(value)));
    }
    return std::chrono::seconds{*seconds};
}

}  // namespace

Parsed<std::string> parse_object_body(std::string_view body) {
    RLV_TRY(const auto object, parse(body));
    if (object.empty()) return refuse(400, "the body is an empty JSON object");
    return std::string(body);
}

Parsed<cluster::Pulse> parse_pulse(std::string_view body) {
    const auto object = parse(body);
    if (!object) return std::unexpected(object.error());
    const auto from = text_of(*object, "from");
    const auto system_id = text_of(*object, "system_id");
    if (!from || !system_id) return std::unexpected(from ? system_id.error() : from.error());
    cluster::Pulse pulse{*from, *system_id, 0};
    if (pulse.from.empty()) return refuse(400, "from must be the name of the member that asks");
    const auto at = object->find("follows");
    if (at == object->end() || at->is_null()) return pulse;
    if (!at->is_number_unsigned() || !std::in_range<cluster::Revision>(at->get<std::uint64_t>()))
        return refuse(400, fmt::format("follows must be a term, not {}", shown(*at)));
    pulse.follows = static_cast<cluster::Revision>(at->get<std::uint64_t>());
    return pulse;
}

Parsed<cluster::TailAsk> parse_tail_ask(std::string_view body) {
    RLV_TRY(const auto object, parse(body));
    cluster::TailAsk ask;
    RLV_TRY(ask.from, text_of(object, "from"));
    RLV_TRY(ask.system_id, text_of(object, "system_id"));
    RLV_TRY(const auto lsn, text_of(object, "lsn"));
    if (ask.from.empty()) return refuse(400, "from must be the name of the member that asks");
    RLV_TRY(ask.proof, text_of(object, "proof"));
    if (ask.system_id.empty()) return refuse(400, "system_id must be that of the data");
    const auto at = cluster::parse_lsn(lsn);
    if (!at || !*at) return refuse(400, "lsn must be a position in the WAL, like 0/3000148");
    const auto timeline = object.find("timeline");
    if (timeline == object.end() || !timeline->is_number_unsigned() ||
        timeline->get<std::uint64_t>() == 0 || timeline->get<std::uint64_t>() > UINT32_MAX)
        return refuse(400, "timeline must be the number of one");
    ask.timeline = static_cast<cluster::Timeline>(timeline->get<std::uint64_t>());
    ask.at = *at;
    return ask;
}

Parsed<ports::SwitchoverOrder> parse_switchover(std::string_view body, bool failover, bool paused,
                                                WallTime wall) {
    RLV_TRY(const auto object, parse(body));
    if (object.empty()) return refuse(400, "the body is an empty JSON object");
    ports::SwitchoverOrder order;
    RLV_TRY(order.leader, text_of(object, "leader"));
    RLV_TRY(order.candidate, text_of(object, "candidate"));
    if (order.candidate.empty()) {
        RLV_TRY(order.candidate, text_of(object, "member"));
    }
    RLV_TRY(order.scheduled_at_text, text_of(object, "scheduled_at"));

    if (failover && order.candidate.empty()) {
        return refuse(400, "Failover could be performed only to a specific candidate");
    }
    order.failover = failover && order.leader.empty();
    if (!failover && order.leader.empty()) {
        return refuse(400, "Switchover could be performed only from a specific leader");
    }
    if (!order.scheduled_at_text.empty()) {
        if (order.failover) return refuse(400, "Failover can't be scheduled");
        if (paused) return refuse(400, "Can't schedule switchover in the paused state");
        RLV_TRY(order.scheduled_at, due_time(order.scheduled_at_text, wall));
    }
    if (paused && order.candidate.empty()) {
        return refuse(400, "Switchover is possible only to a specific candidate in a paused state");
    }
    if (order.leader == order.candidate) {
        return refuse(400, "Switchover target and source are the same");
    }
    return order;
}

Parsed<ports::RestartOrder> parse_restart(std::string_view body, bool paused, WallTime wall) {
    RLV_TRY(const auto object, parse_optional(body));
    ports::RestartOrder order;
    for (const auto& [key, value] : object.items()) {
        if (key != "schedule" && key != "role" && key != "postgres_version" && key != "timeout" &&
            key != "restart_pending") {
            return refuse(400, fmt::format("Unknown filter condition: {}", shown(json(key))));
        }
        if (key == "timeout" && !value.is_null()) {
            RLV_TRY(order.timeout, timeout_of(value));
        }
    }
    RLV_TRY(order.schedule_text, text_of(object, "schedule"));
    RLV_TRY(order.role, text_of(object, "role"));
    RLV_TRY(order.postgres_version, text_of(object, "postgres_version"));
    order.restart_pending = object.contains("restart_pending");  // its presence counts
    if (!order.role.empty() && order.role != "primary" && order.role != "standby_leader" &&
        order.role != "replica") {
        return refuse(400, "role must be primary, standby_leader or replica");
    }
    if (!order.postgres_version.empty() && !is_version(order.postgres_version)) {
        return refuse(400, "PostgreSQL version should be in the first.major.minor format");
    }
    if (!order.schedule_text.empty()) {
        RLV_TRY(order.schedule, due_time(order.schedule_text, wall));
        if (paused) return refuse(500, "Can't schedule restart in the paused state");
    }
    return order;
}

Parsed<ReinitializeOrder> parse_reinitialize(std::string_view body) {
    RLV_TRY(const auto object, parse_optional(body));
    ReinitializeOrder order;
    RLV_TRY(order.force, flag_of(object, "force"));
    RLV_TRY(order.from_leader, flag_of(object, "from_leader"));
    return order;
}

Parsed<ports::BackupOrder> parse_backup(std::string_view body) {
    RLV_TRY(const auto object, parse_optional(body));
    RLV_TRY(const auto type, text_of(object, "type"));
    ports::BackupOrder order;
    if (type.empty()) return order;
    const auto what = cluster::parse_job_what(type);
    if (!what || *what == cluster::JobWhat::expire)
        return refuse(400, fmt::format("type must be full, diff, incr, verify or proof, not {}",
                                       shown(json(type))));
    order.what = *what;
    RLV_TRY(order.cancel, flag_of(object, "cancel"));
    if (order.cancel && order.what != cluster::JobWhat::proof)
        return refuse(400, "only a proof can be cancelled: a backup is ended with its agent");
    return order;
}

Parsed<ports::BackupOrder> parse_expire(std::string_view body) {
    RLV_TRY(const auto object, parse_optional(body));
    ports::BackupOrder order{cluster::JobWhat::expire, false};
    RLV_TRY(order.dry_run, flag_of(object, "dry_run"));
    return order;
}

Parsed<ports::RestoreOrder> parse_restore(std::string_view body) {
    RLV_TRY(const auto object, parse(body));
    constexpr std::string_view known[] = {"to",        "to_lsn",    "to_xid",   "latest",
                                          "immediate", "exclusive", "timeline", "action",
                                          "backup",    "into",      "dry_run",  "in_place"};
    // A target that is misspelt must not become another one.
    for (const auto& [key, value] : object.items())
        if (std::ranges::find(known, key) == std::end(known))
            return refuse(400, fmt::format("a restore has no {}", shown(json(key))));
    cluster::TargetWords words;
    RLV_TRY(words.time, text_of(object, "to"));
    RLV_TRY(words.lsn, text_of(object, "to_lsn"));
    RLV_TRY(words.xid, text_of(object, "to_xid"));
    RLV_TRY(words.latest, flag_of(object, "latest"));
    RLV_TRY(words.immediate, flag_of(object, "immediate"));
    RLV_TRY(words.exclusive, flag_of(object, "exclusive"));
    RLV_TRY(words.timeline, text_of(object, "timeline"));
    RLV_TRY(words.action, text_of(object, "action"));
    const auto target = cluster::target_of(words);
    if (!target) return refuse(400, target.error().message);
    ports::RestoreOrder order;
    order.target = *target;
    RLV_TRY(auto backup, text_of(object, "backup"));
    if (!backup.empty()) order.backup = std::move(backup);
    RLV_TRY(order.into, text_of(object, "into"));
    RLV_TRY(order.in_place, flag_of(object, "in_place"));
    if (order.in_place && !order.into.empty())
        return refuse(400, "a restore is either in place or into a directory");
    if (order.in_place && order.target.action != cluster::TargetAction::promote)
        return refuse(400, "in place the restored server is promoted: leave the action out");
    RLV_TRY(order.dry_run, flag_of(object, "dry_run"));
    return order;
}

std::string spaced(std::string_view json_text) {
    std::string out;
    out.reserve(json_text.size() + json_text.size() / 4);
    bool in_string = false;
    for (std::size_t i = 0; i < json_text.size(); ++i) {
        const char c = json_text[i];
        if (in_string) {
            out += c;
            if (c == '\\' && i + 1 < json_text.size()) out += json_text[++i];
            if (c == '"') in_string = false;
        } else if (c != ' ' && c != '\n' && c != '\t' && c != '\r') {
            out += c;
            if (c == ',' || c == ':') out += ' ';
            in_string = c == '"';
        }
    }
    return out;
}

}  // namespace relevo::rest
