#include "cluster/settings.h"
#include "cluster/cron.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "cluster/json.h"

namespace relevo::cluster {
namespace {

using json::Json;
using std::chrono::seconds;

// Fits an Instant with room to add several of them.
constexpr std::int64_t seconds_max = 2'147'483'647;

// Takes values out of one level of the configuration; what is wrong becomes a note and keeps its
// default.
class Reader {
public:
    Reader(const Json& object, std::string prefix, std::vector<std::string>& notes,
           std::vector<std::string>* refused = nullptr)
        : object_(object), prefix_(std::move(prefix)), notes_(notes), refused_(refused) {}
    // Of keys whose wrong values are refused where somebody writes them.
    Reader(const Json& object, ReadSettings& read)
        : object_(object), notes_(read.notes), refused_(&read.refused) {}

    // Absent and null: not given.
    const Json* find(const char* key) const {
        const auto found = object_.find(key);
        return found == object_.end() || found->is_null() ? nullptr : &*found;
    }

    // Below low becomes low; above high is not understood.
    std::int64_t number(const char* key, std::int64_t standard, std::int64_t low, std::int64_t high,
                        std::string_view base_unit = "") {
        const Json* const value = find(key);
        if (value == nullptr) return standard;
        const bool readable = value->is_number() || value->is_string();
        const auto read = readable ? parse_int(json::scalar_text(*value), base_unit) : std::nullopt;
        if (!read || *read > high) {
            const char* const what =
                base_unit.empty() ? "a whole number" : "a number with an optional unit";
            wrong(key, fmt::format("must be {} up to {}", what, high),
                  fmt::format(", using {}", standard));
            return standard;
        }
        if (*read < low) {
            wrong(key, fmt::format("{} is below the minimum", *read),
                  fmt::format(", using {}", low), fmt::format(" of {}{}", low, base_unit));
            return low;
        }
        return *read;
    }

    seconds time(const char* key, seconds standard, std::int64_t low,
                 std::string_view base_unit = "") {
        return seconds(number(key, standard.count(), low, seconds_max, base_unit));
    }

    bool flag(const char* key, bool standard) {
        const Json* const value = find(key);
        if (value == nullptr) return standard;
        const auto read =
            value->is_primitive() ? parse_bool(json::scalar_text(*value)) : std::nullopt;
        if (!read) note(key, fmt::format("must be on or off, using {}", standard ? "on" : "off"));
        return read.value_or(standard);
    }

    std::string text(const char* key) {
        const Json* const value = find(key);
        if (value == nullptr) return "";
        if (value->is_primitive()) return json::scalar_text(*value);
        note(key, "must be a text, ignored");
        return "";
    }

    void note(const std::string& key, const std::string& what) {
        notes_.push_back(fmt::format("{}{}: {}", prefix_, key, what));
    }
    // instead: what is used all the same; hint: more for who may still write another.
    void wrong(const std::string& key, const std::string& what, const std::string& instead,
               const std::string& hint = "") {
        note(key, what + instead);
        if (refused_) refused_->push_back(fmt::format("{}{}: {}{}", prefix_, key, what, hint));
    }

private:
    const Json& object_;
    std::string prefix_;
    std::vector<std::string>& notes_;
    std::vector<std::string>* refused_ = nullptr;
};

// Patroni's rule, loop_wait + 2 * retry_timeout <= ttl: loop_wait gives way first, then both.
void fit_into_ttl(Settings& settings, std::vector<std::string>& notes) {
    const auto ttl = settings.ttl;
    auto& wait = settings.loop_wait;
    auto& retry = settings.retry_timeout;
    if (wait + 2 * retry <= ttl) return;
    const std::string given = fmt::format("ttl {}, loop_wait {}, retry_timeout {}", ttl.count(),
                                          wait.count(), retry.count());
    if (seconds(1) + 2 * retry > ttl) {
        wait = seconds(1);
        retry = (ttl - seconds(1)) / 2;
    } else {
        wait = ttl - 2 * retry;
    }
    notes.push_back(
        fmt::format("{} break the rule loop_wait + 2*retry_timeout <= ttl: using loop_wait {} and "
                    "retry_timeout {} "
                    "(raise ttl, or lower the others, with edit-config)",
                    given, wait.count(), retry.count()));
}

void read_times(Reader& in, Settings& out, std::vector<std::string>& notes) {
    out.ttl = in.time("ttl", out.ttl, 3);
    out.loop_wait = in.time("loop_wait", out.loop_wait, 1);
    out.retry_timeout = in.time("retry_timeout", out.retry_timeout, 1);
    fit_into_ttl(out, notes);
    const auto renamed = [&](const char* now, const char* before) {
        return in.find(now) ? now : before;
    };
    out.primary_start_timeout = in.time(renamed("primary_start_timeout", "master_start_timeout"),
                                        out.primary_start_timeout, 0);
    out.primary_stop_timeout = in.time(renamed("primary_stop_timeout", "master_stop_timeout"),
                                       out.primary_stop_timeout, 0);
    out.primary_race_backoff = in.time("primary_race_backoff", out.primary_race_backoff, 0);
    out.member_slots_ttl = in.time("member_slots_ttl", out.member_slots_ttl, 0, "s");
}

void read_mode(Reader& in, Settings& out) {
    if (const Json* const value = in.find("synchronous_mode")) {
        const std::string word = value->is_primitive() ? json::scalar_text(*value) : "";
        const auto on = parse_bool(word);
        if (iequals(word, "quorum")) {
            out.synchronous_mode = SyncMode::quorum;
        } else if (on) {
            out.synchronous_mode = *on ? SyncMode::on : SyncMode::off;
        } else {
            in.wrong("synchronous_mode", "must be off, on or quorum", ", using off");
        }
    }
}

void read_floor(Reader& in, Settings& out) {
    const Json* const value = in.find("synchronous_commit_floor");
    if (value == nullptr) return;
    const auto level = parse_commit_level(value->is_primitive() ? json::scalar_text(*value) : "");
    if (!level)
        in.wrong("synchronous_commit_floor", "must be off, local, remote_write, on or remote_apply",
                 ", using off");
    out.synchronous_commit_floor = level.value_or(CommitLevel::off);
}

void read_synchronous(Reader& in, Settings& out) {
    out.synchronous_mode_strict = in.flag("synchronous_mode_strict", false);
    const int least = out.synchronous_mode_strict ? 1 : 0;
    constexpr int most = 1'000'000;
    out.synchronous_node_count =
        static_cast<int>(in.number("synchronous_node_count", 1, least, most));
}

void read_suspicion(Reader& in, Settings& out) {
    using std::chrono::milliseconds;
    out.wal_tail_timeout =
        milliseconds(in.number("wal_tail_timeout", out.wal_tail_timeout.count(), 0, 60'000, "ms"));
    const auto standard = out.suspect_after;
    out.suspect_after =
        milliseconds(in.number("suspect_after", standard.count(), 200, seconds_max, "ms"));
    if (out.suspect_after <= out.ttl) return;
    in.wrong("suspect_after",
             fmt::format("{} ms is longer than ttl ({} s), after which the leader key is free "
                         "anyway",
                         out.suspect_after.count(), out.ttl.count()),
             fmt::format(": using {} ms", standard.count()));
    out.suspect_after = standard;
}

// docs/adr/0018. In each pair the smaller counts; a limit of 0 switches both off.
void read_disk(const Json& object, ReadSettings& read) {
    Reader top(object, read);
    const Json* const value = top.find("disk");
    if (value == nullptr) return;
    if (!value->is_object())
        return top.wrong("disk", "must be a map with warning_free, hold_free and so on",
                         ", using the defaults");
    Reader in(*value, "disk.", read.notes, &read.refused);
    DiskSettings& out = read.settings.disk;
    constexpr auto most = std::numeric_limits<std::int64_t>::max();
    const auto bytes = [&](const char* key, std::uint64_t& into) {
        into = static_cast<std::uint64_t>(
            in.number(key, static_cast<std::int64_t>(into), 0, most, "B"));
    };
    const auto percent = [&](const char* key, int& into) {
        into = static_cast<int>(in.number(key, into, 0, 100));
    };
    bytes("warning_free", out.warning_free);
    percent("warning_percent", out.warning_percent);
    out.warning_left = std::chrono::minutes(
        in.number("warning_left", out.warning_left.count(), 0, 1'000'000, "min"));
    bytes("hold_free", out.hold_free);
    percent("hold_percent", out.hold_percent);
    out.hold_left = in.time("hold_left", out.hold_left, 0, "s");
    out.switchover = in.flag("switchover", true);
    out.refuse_writes = in.flag("refuse_writes", true);
    bytes("ballast", out.ballast);
    out.probe_every = in.time("probe_every", out.probe_every, 0, "s");
    out.failed_after = in.time("failed_after", out.failed_after, 1, "s");
    if (out.hold_free <= out.warning_free && out.hold_percent <= out.warning_percent) return;
    if (out.warning_free == 0 || out.warning_percent == 0) return;
    in.wrong("hold_free", "hold_free and hold_percent must not be above those of warning",
             ": using the defaults of all four");
    const DiskSettings standard;
    out.warning_free = standard.warning_free;
    out.warning_percent = standard.warning_percent;
    out.hold_free = standard.hold_free;
    out.hold_percent = standard.hold_percent;
}

// docs/adr/0022.
void read_corruption(const Json& object, ReadSettings& read) {
    Reader top(object, read);
    const Json* const value = top.find("corruption");
    if (value == nullptr) return;
    if (!value->is_object())
        return top.wrong("corruption", "must be a map with switchover", ", using the defaults");
    Reader in(*value, "corruption.", read.notes, &read.refused);
    CorruptionSettings& out = read.settings.corruption;
    out.switchover = in.flag("switchover", true);
    out.rebuild_replica = in.flag("rebuild_replica", false);
    out.amcheck = in.text("amcheck");
    if (out.amcheck.empty()) return;
    if (const auto cron = Cron::parse(out.amcheck); !cron) {
        in.wrong("amcheck", cron.error().message, ": nothing is checked by it");
        out.amcheck.clear();
    }
}

std::vector<std::string> read_methods(Reader& in) {
    std::vector<std::string> methods;
    const Json* const value = in.find("create_replica_methods");
    if (value == nullptr) return methods;
    if (value->is_string()) {
        for (const std::string& name : split(value->get<std::string>(), ',')) {
            if (!trim(name).empty()) methods.emplace_back(trim(name));
        }
        return methods;
    }
    const auto is_text = [](const Json& item) { return item.is_string(); };
    if (!value->is_array() || !std::all_of(value->begin(), value->end(), is_text)) {
        in.note("create_replica_methods", "must be a list of names, ignored");
        return methods;
    }
    for (const Json& item : *value) methods.push_back(item.get<std::string>());
    return methods;
}

void read_standby_cluster(Reader& in, Settings& out, std::vector<std::string>& notes) {
    const Json* const value = in.find("standby_cluster");
    if (value == nullptr) return;
    if (!value->is_object()) return in.note("standby_cluster", "must be a map, ignored");
    Reader inner(*value, "standby_cluster.", notes);
    StandbyCluster standby;
    standby.host = inner.text("host");
    standby.port = inner.text("port");
    standby.primary_slot_name = inner.text("primary_slot_name");
    standby.restore_command = inner.text("restore_command");
    standby.archive_cleanup_command = inner.text("archive_cleanup_command");
    standby.recovery_min_apply_delay = inner.text("recovery_min_apply_delay");
    standby.create_replica_methods = read_methods(inner);
    const bool active =
        !standby.host.empty() || !standby.port.empty() || !standby.restore_command.empty();
    if (active) out.standby_cluster = std::move(standby);
}

bool valid_slot_name(std::string_view name) {
    return !name.empty() && name.size() <= 63 &&
           name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") ==
               std::string_view::npos;
}

bool falsy(const Json& value) {
    return value.is_null() || value == Json(false) || (value.is_number() && value == Json(0)) ||
           (!value.is_primitive() && value.empty()) ||
           (value.is_string() && value.get<std::string>().empty());
}

// nullopt: not understood, and noted.
std::optional<PermanentSlot> read_slot(const std::string& name, const Json& value, Reader& in,
                                       std::vector<std::string>& notes) {
    if (!valid_slot_name(name)) {
        in.note(name, "a slot name has 1 to 63 of a-z, 0-9 and _, ignored");
        return std::nullopt;
    }
    PermanentSlot slot;
    if (falsy(value)) return slot;
    if (!value.is_object()) {
        in.note(name, "must be a map with type, database, plugin or cluster_type, ignored");
        return std::nullopt;
    }
    Reader inner(value, fmt::format("slots.{}.", name), notes);
    slot.database = inner.text("database");
    slot.plugin = inner.text("plugin");
    slot.cluster_type = inner.text("cluster_type");
    const std::string type = lower(inner.text("type"));
    const bool complete = !slot.database.empty() && !slot.plugin.empty();
    slot.logical = type == "logical" || (type.empty() && complete);
    if (!type.empty() && type != "logical" && type != "physical") {
        in.note(name, "its type must be physical or logical, ignored");
        return std::nullopt;
    }
    if (slot.logical && !complete) {
        in.note(name, "a logical slot needs database and plugin, ignored");
        return std::nullopt;
    }
    return slot;
}

void read_slots(Reader& in, Settings& out, std::vector<std::string>& notes) {
    for (const char* const key : {"permanent_replication_slots", "permanent_slots", "slots"}) {
        const Json* const value = in.find(key);
        if (value == nullptr) continue;
        if (!value->is_object()) return in.note(key, "must be a map of slots, ignored");
        Reader inner(*value, std::string(key) + ".", notes);
        for (const auto& [name, properties] : value->items()) {
            if (auto slot = read_slot(name, properties, inner, notes))
                out.slots[name] = *std::move(slot);
        }
        return;
    }
}

void read_ignore_slots(Reader& in, Settings& out) {
    const Json* const value = in.find("ignore_slots");
    if (value == nullptr) return;
    if (!value->is_array()) return in.note("ignore_slots", "must be a list of maps, ignored");
    for (const Json& item : *value) {
        if (!item.is_object()) {
            in.note("ignore_slots", "each entry must be a map, ignored");
            continue;
        }
        IgnoreSlot ignore;
        const std::array targets = {
            std::pair{"name", &ignore.name},
            std::pair{"type", &ignore.type},
            std::pair{"database", &ignore.database},
            std::pair{"plugin", &ignore.plugin},
        };
        for (const auto& [key, target] : targets) {
            const auto property = item.find(key);
            if (property != item.end() && !falsy(*property)) *target = json::scalar_text(*property);
        }
        // Patroni: what names no property matches, and so protects, every slot.
        if (ignore == IgnoreSlot{})
            in.note("ignore_slots", "an entry without a property protects every slot");
        out.ignore_slots.push_back(std::move(ignore));
    }
}

void read_postgresql(Reader& in, Settings& out, std::vector<std::string>& notes) {
    const Json* const value = in.find("postgresql");
    if (value == nullptr) return;
    if (!value->is_object()) return in.note("postgresql", "must be a map, ignored");
    Reader inner(*value, "postgresql.", notes);
    out.use_slots = inner.flag("use_slots", true);
    out.use_pg_rewind = inner.flag("use_pg_rewind", false);
    out.remove_data_directory_on_rewind_failure =
        inner.flag("remove_data_directory_on_rewind_failure", false);
    out.remove_data_directory_on_diverged_timelines =
        inner.flag("remove_data_directory_on_diverged_timelines", false);
}

}  // namespace

Result<ReadSettings> read_settings(std::string_view text) {
    RLV_TRY(const Json object, json::parse_object(text));
    ReadSettings read;
    Settings& out = read.settings;
    Reader in(object, "", read.notes);
    constexpr auto most = std::numeric_limits<std::int64_t>::max();
    read_times(in, out, read.notes);
    out.maximum_lag_on_failover = static_cast<std::uint64_t>(
        in.number("maximum_lag_on_failover", static_cast<std::int64_t>(out.maximum_lag_on_failover),
                  0, most));
    out.maximum_lag_on_syncnode = in.number("maximum_lag_on_syncnode", -1, -1, most);
    out.check_timeline = in.flag("check_timeline", false);
    out.max_timelines_history =
        static_cast<int>(in.number("max_timelines_history", 0, 0, std::numeric_limits<int>::max()));
    Reader checked(object, read);
    read_mode(checked, out);
    read_floor(checked, out);
    read_synchronous(in, out);
    read_suspicion(checked, out);
    read_disk(object, read);
    read_corruption(object, read);
    out.failsafe_mode = in.flag("failsafe_mode", false);
    out.pause = in.flag("pause", false);
    read_standby_cluster(in, out, read.notes);
    if (out.standby_cluster) {  // contract 3.1: a standby cluster has no synchronous replicas of
                                // its own
        out.synchronous_mode = SyncMode::off;
        out.synchronous_mode_strict = false;
    }
    read_slots(in, out, read.notes);
    read_ignore_slots(in, out);
    read_postgresql(in, out, read.notes);
    return read;
}

std::string newly_refused(std::string_view before, std::string_view after) {
    const auto was = read_settings(before);
    const auto is = read_settings(after);
    if (!is) return is.error().message;
    std::string reasons;
    for (const auto& reason : is->refused) {
        const bool known = was && std::ranges::find(was->refused, reason) != was->refused.end();
        if (!known) reasons += (reasons.empty() ? "" : "; ") + reason;
    }
    return reasons;
}

}  // namespace relevo::cluster
