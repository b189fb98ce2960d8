#include "cluster/recovery_target.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>

#include "base/text.h"

namespace relevo::cluster {
namespace {

constexpr std::size_t shown_max = 60;  // of what somebody gave

std::string shown(std::string_view text) {
    std::string out(text.substr(0, shown_max));
    for (char& c : out)
        if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) c = '?';
    return out;
}

std::optional<std::uint64_t> whole_number(std::string_view text) {
    std::uint64_t value = 0;
    const auto* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    if (text.empty() || error != std::errc() || stop != end) return std::nullopt;
    return value;
}

std::unexpected<Error> refuse(std::string_view text, std::string_view is_not,
                              std::string_view expected) {
    return fail(ErrorCode::invalid,
                fmt::format("'{}' {}: expected {}", shown(text), is_not, expected));
}

}  // namespace

Result<RecoveryTarget> target_at_time(std::string_view text) {
    constexpr const char* expected = "a time with its zone, as in 2026-05-14 10:00+00";
    const auto read = parse_iso(text);
    if (!read) return refuse(text, "is no time", expected);
    if (!read->has_zone)
        return refuse(text, "does not say in which zone it is meant",
                      fmt::format("{} (+00 is UTC)", expected));
    // PostgreSQL's calendar is wider; no backup is.
    using std::chrono::sys_days, std::chrono::year;
    if (read->time < sys_days{year{1970} / 1 / 1} || read->time >= sys_days{year{9000} / 1 / 1})
        return refuse(text, "is no time of a backup", expected);
    RecoveryTarget out;
    out.kind = TargetKind::time;
    out.time = read->time;
    return out;
}

Result<RecoveryTarget> target_at_lsn(std::string_view text) {
    const auto lsn = parse_lsn(trim(text));
    if (!lsn || !*lsn)
        return refuse(text, "is no position in the WAL",
                      "one as pg_current_wal_lsn() shows it, 0/4000060");
    RecoveryTarget out;
    out.kind = TargetKind::lsn;
    out.lsn = *lsn;
    return out;
}

Result<RecoveryTarget> target_at_xid(std::string_view text) {
    constexpr std::uint64_t first_normal = 3, mask = std::numeric_limits<std::uint32_t>::max();
    const auto xid = whole_number(trim(text));
    if (!xid || (*xid & mask) < first_normal)
        return refuse(text, "is no transaction",
                      "its number as pg_current_xact_id() shows it, from 3 on");
    RecoveryTarget out;
    out.kind = TargetKind::xid;
    out.xid = *xid;
    return out;
}

Result<TargetTimeline> parse_target_timeline(std::string_view text) {
    const auto word = trim(text);
    if (word == "latest") return TargetTimeline{};
    if (word == "current") return TargetTimeline{.way = TargetTimeline::Way::current, .number = 0};
    const auto number = whole_number(word);
    if (!number || *number == 0 || *number > std::numeric_limits<std::int32_t>::max())
        return refuse(text, "is no timeline",
                      "latest, current (that of the backup) or its number, as in 3");
    return TargetTimeline{.way = TargetTimeline::Way::numbered,
                          .number = static_cast<Timeline>(*number)};
}

Result<TargetAction> parse_target_action(std::string_view text) {
    for (const auto action : {TargetAction::promote, TargetAction::pause, TargetAction::shutdown})
        if (trim(text) == to_string(action)) return action;
    return refuse(text, "is not what can be done at the target", "promote, pause or shutdown");
}

Result<RecoveryTarget> target_of(const TargetWords& words) {
    const int given = static_cast<int>(!words.time.empty()) + static_cast<int>(!words.lsn.empty()) +
                      static_cast<int>(!words.xid.empty()) + static_cast<int>(words.latest) +
                      static_cast<int>(words.immediate);
    if (given != 1)
        return fail(
            ErrorCode::invalid,
            fmt::format("{}: expected one of a time, an LSN, a transaction, the latest, or "
                        "the end of the backup (immediate)",
                        given == 0 ? "no target is given" : "more than one target is given"));
    Result<RecoveryTarget> out;
    if (!words.time.empty()) {
        out = target_at_time(words.time);
    } else if (!words.lsn.empty()) {
        out = target_at_lsn(words.lsn);
    } else if (!words.xid.empty()) {
        out = target_at_xid(words.xid);
    } else if (words.immediate) {
        out->kind = TargetKind::immediate;
    }
    if (!out) return out;
    if (words.exclusive && (words.latest || words.immediate))
        return fail(ErrorCode::invalid,
                    "exclusive goes with a time, an LSN or a transaction: leave it out");
    out->inclusive = !words.exclusive;
    if (!words.timeline.empty()) {
        RLV_TRY(out->timeline, parse_target_timeline(words.timeline));
    }
    if (!words.action.empty()) {
        RLV_TRY(out->action, parse_target_action(words.action));
        if (words.latest && out->action != TargetAction::promote)
            return fail(ErrorCode::invalid,
                        "at the end of the archive PostgreSQL promotes: leave the action out, or "
                        "name a target");
    }
    return out;
}

const char* to_string(TargetAction action) {
    switch (action) {
        case TargetAction::promote: return "promote";
        case TargetAction::pause: return "pause";
        case TargetAction::shutdown: return "shutdown";
    }
    return "promote";
}

std::string to_string(const TargetTimeline& timeline) {
    switch (timeline.way) {
        case TargetTimeline::Way::latest: return "latest";
        case TargetTimeline::Way::current: return "current";
        case TargetTimeline::Way::numbered: return std::to_string(timeline.number);
    }
    return "latest";
}

std::string time_text(WallTime time) {
    auto out = to_iso(time);  // 2026-05-14T10:00:00.500000+00:00
    std::ranges::replace(out, 'T', ' ');
    out.resize(out.size() - 3);
    return out;
}

std::string value_text(const RecoveryTarget& target) {
    switch (target.kind) {
        case TargetKind::latest:
        case TargetKind::immediate: return {};
        case TargetKind::time: return time_text(target.time);
        case TargetKind::lsn: return to_string(target.lsn);
        case TargetKind::xid: return std::to_string(target.xid);
    }
    return {};
}

std::string describe(const RecoveryTarget& target) {
    const char* const before = target.inclusive ? "" : "just before ";
    switch (target.kind) {
        case TargetKind::latest: return "the end of the archive";
        case TargetKind::immediate: return "the end of the backup";
        case TargetKind::time: return before + value_text(target);
        case TargetKind::lsn: return fmt::format("{}LSN {}", before, value_text(target));
        case TargetKind::xid: return fmt::format("{}transaction {}", before, value_text(target));
    }
    return {};
}

}  // namespace relevo::cluster
