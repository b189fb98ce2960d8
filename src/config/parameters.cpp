#include "config/parameters.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "base/text.h"

namespace relevo::config {
namespace {

struct NumberRule {
    const char* name;
    const char* standard;
    std::int64_t min;
};

constexpr NumberRule numbers[] = {
    {"max_connections", "100", 25},        {"max_wal_senders", "10", 3},
    {"max_prepared_transactions", "0", 0}, {"max_locks_per_transaction", "64", 32},
    {"max_worker_processes", "8", 2},      {"max_replication_slots", "10", 4},
};

constexpr std::int64_t segment_mb = 16;

std::optional<std::string> given(const Gucs& gucs, const std::string& name) {
    const auto found = gucs.find(name);
    return found == gucs.end() ? std::nullopt : std::optional(found->second);
}

void note_default(std::vector<std::string>& notes, std::string_view name, std::string_view value,
                  std::string_view expected, std::string_view standard) {
    notes.push_back(fmt::format("postgresql.parameters.{}: found \"{}\", expected {}; {} is used",
                                name, value, expected, standard));
}

std::string checked_number(const Gucs& dynamic, const NumberRule& rule,
                           std::vector<std::string>& notes) {
    const auto text = given(dynamic, rule.name);
    if (!text) return rule.standard;
    const auto value = parse_int(*text);
    if (value && *value >= rule.min && *value <= INT32_MAX) return std::to_string(*value);
    note_default(notes, rule.name, *text, fmt::format("a whole number of at least {}", rule.min),
                 rule.standard);
    return rule.standard;
}

std::string checked_switch(const Gucs& dynamic, const char* name, bool standard,
                           std::vector<std::string>& notes) {
    const auto text = given(dynamic, name);
    if (!text) return standard ? "on" : "off";
    if (const auto value = parse_bool(*text)) return *value ? "on" : "off";
    note_default(notes, name, *text, "on or off", standard ? "on" : "off");
    return standard ? "on" : "off";
}

std::string checked_wal_level(const Gucs& dynamic, std::vector<std::string>& notes) {
    const auto text = given(dynamic, "wal_level");
    if (!text) return "replica";
    std::string level = lower(*text);
    if (level == "logical") return level;
    if (level != "replica" && level != "hot_standby")
        note_default(notes, "wal_level", *text, "replica or logical", "replica");
    return "replica";
}

std::string checked_wal_keep(const Gucs& dynamic, std::vector<std::string>& notes) {
    if (const auto text = given(dynamic, "wal_keep_size")) {
        const auto mb = parse_int(*text, "MB");
        if (mb && *mb >= segment_mb) return *text;
        note_default(notes, "wal_keep_size", *text, "a size of at least 16MB", "128MB");
    } else if (const auto segments = given(dynamic, "wal_keep_segments")) {
        const auto count = parse_int(*segments);
        if (count && *count >= 1 && *count <= INT32_MAX / segment_mb)
            return fmt::format("{}MB", *count * segment_mb);
        note_default(notes, "wal_keep_segments", *segments, "a whole number of at least 1", "8");
    }
    return "128MB";
}

}  // namespace

bool is_controlled_guc(std::string_view name) {
    static constexpr std::array others = {
        "wal_level",         "hot_standby",   "wal_log_hints",    "track_commit_timestamp",
        "wal_keep_segments", "wal_keep_size", "listen_addresses", "port",
        "cluster_name"};
    return std::ranges::any_of(numbers,
                               [name](const NumberRule& rule) { return rule.name == name; }) ||
           std::ranges::any_of(others, [name](std::string_view other) { return other == name; });
}

bool is_recovery_guc(std::string_view name) {
    static constexpr std::array names = {
        "archive_cleanup_command", "primary_conninfo",     "primary_slot_name",
        "promote_trigger_file",    "recovery_end_command", "recovery_min_apply_delay",
        "restore_command",         "trigger_file",         "standby_mode"};
    return name.starts_with("recovery_target") ||
           std::ranges::any_of(names, [name](std::string_view other) { return other == name; });
}

Gucs read_gucs(const Node& parameters, const std::string& path, std::vector<std::string>& notes) {
    Gucs out;
    for (const auto& [name, value] : parameters.fields) {
        if (value.is(Node::Kind::null)) continue;
        if (auto text = guc_text(value)) {
            out[lower(name)] = std::move(*text);
        } else {
            notes.push_back(
                fmt::format("{}.{}: found {}, expected a text or a number; it is left out", path,
                            name, value.is(Node::Kind::list) ? "a list" : "a mapping"));
        }
    }
    return out;
}

Gucs controlled_gucs(const Gucs& dynamic, std::vector<std::string>& notes) {
    Gucs out;
    for (const NumberRule& rule : numbers) out[rule.name] = checked_number(dynamic, rule, notes);
    out["wal_log_hints"] = checked_switch(dynamic, "wal_log_hints", true, notes);
    out["track_commit_timestamp"] = checked_switch(dynamic, "track_commit_timestamp", false, notes);
    out["wal_level"] = checked_wal_level(dynamic, notes);
    out["wal_keep_size"] = checked_wal_keep(dynamic, notes);
    const auto hot_standby = given(dynamic, "hot_standby");
    if (hot_standby && parse_bool(*hot_standby) != true)
        note_default(notes, "hot_standby", *hot_standby, "on", "on");
    out["hot_standby"] = "on";
    return out;
}

}  // namespace relevo::config
