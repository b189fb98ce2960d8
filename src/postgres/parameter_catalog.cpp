#include "postgres/parameter_catalog.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <set>

#include "base/text.h"

namespace relevo::postgres {

namespace {

// What --describe-config leaves out and a file may still set: developers' options, and names that
// other versions have under another spelling.
const std::set<std::string, std::less<>> omitted{"allow_in_place_tablespaces",
                                                 "allow_system_table_mods",
                                                 "application_name",
                                                 "backtrace_functions",
                                                 "data_sync_retry",
                                                 "debug_discard_caches",
                                                 "debug_io_direct",
                                                 "debug_logical_replication_streaming",
                                                 "debug_parallel_query",
                                                 "force_parallel_mode",
                                                 "ignore_checksum_failure",
                                                 "ignore_invalid_pages",
                                                 "ignore_system_indexes",
                                                 "jit_debugging_support",
                                                 "jit_dump_bitcode",
                                                 "jit_expressions",
                                                 "jit_profiling_support",
                                                 "jit_tuple_deforming",
                                                 "lc_messages",
                                                 "lc_monetary",
                                                 "lc_numeric",
                                                 "lc_time",
                                                 "optimize_bounded_sort",
                                                 "post_auth_delay",
                                                 "pre_auth_delay",
                                                 "remove_temp_files_after_crash",
                                                 "restrict_nonsystem_relation_kind",
                                                 "send_abort_for_crash",
                                                 "send_abort_for_kill",
                                                 "trace_locks",
                                                 "trace_lwlocks",
                                                 "trace_notify",
                                                 "trace_recovery_messages",
                                                 "trace_sort",
                                                 "trace_syncscan",
                                                 "wal_consistency_checking",
                                                 "wal_debug",
                                                 "zero_damaged_pages"};

constexpr std::array units{"b", "kb", "mb", "gb", "tb", "us", "ms", "s", "min", "h", "d"};

bool is_boolean(std::string_view value) {
    if (parse_bool(value)) return true;
    // PostgreSQL takes unambiguous beginnings too.
    const std::string text = lower(value);
    if (text.empty()) return false;
    for (const std::string_view word : {"true", "false", "yes", "no"})
        if (word.starts_with(text)) return true;
    return text == "of";
}

// A number, perhaps with a unit; `plain` tells that there was none.
std::optional<double> number(std::string_view value, bool& plain) {
    const std::string text(trim(value));
    if (text.empty()) return std::nullopt;
    char* end = nullptr;
    // PostgreSQL reads integers with strtol's base 0: 0x10 and 010 are numbers; strtod knows the
    // first.
    const double parsed = std::strtod(text.c_str(), &end);
    if (end == text.c_str() || !std::isfinite(parsed)) return std::nullopt;
    const std::string unit = lower(trim(end));
    plain = unit.empty();
    if (!plain && std::ranges::find(units, unit) == units.end()) return std::nullopt;
    return parsed;
}

ParameterInfo::Kind kind_of(std::string_view text) {
    using Kind = ParameterInfo::Kind;
    if (text == "BOOLEAN") return Kind::boolean;
    if (text == "INTEGER") return Kind::integer;
    if (text == "REAL") return Kind::real;
    if (text == "ENUM") return Kind::enumeration;
    return Kind::text;
}

struct Kept {
    timespec modified{};
    off_t size = 0;
    std::shared_ptr<const ParameterCatalog> catalog;
};

}  // namespace

ParameterCatalog ParameterCatalog::parse(std::string_view description) {
    ParameterCatalog catalog;
    for (const std::string& line : split(description, '\n')) {
        const auto fields = split(line, '\t');
        if (fields.size() < 7 || fields[0].empty()) continue;
        catalog.known_[lower(fields[0])] = {.kind = kind_of(fields[3]),
                                            .context = fields[1],
                                            .minimum = fields[5],
                                            .maximum = fields[6]};
    }
    return catalog;
}

Result<std::shared_ptr<const ParameterCatalog>> ParameterCatalog::of_program(
    const std::string& postgres_program) {
    static std::mutex guard;
    static std::map<std::string, Kept> kept;

    struct stat status{};
    const bool has_path = postgres_program.contains('/');
    if (has_path && ::stat(postgres_program.c_str(), &status) != 0)
        return fail(ErrorCode::not_found,
                    fmt::format("{} does not exist; set postgresql.bin_dir", postgres_program));
    const std::lock_guard lock(guard);
    if (const auto found = kept.find(postgres_program);
        found != kept.end() && found->second.size == status.st_size &&
        found->second.modified.tv_sec == status.st_mtim.tv_sec &&
        found->second.modified.tv_nsec == status.st_mtim.tv_nsec)
        return found->second.catalog;

    std::string quoted = "'";
    for (const char c : postgres_program)
        quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
    FILE* pipe = ::popen((quoted + "' --describe-config 2>/dev/null").c_str(), "re");
    if (pipe == nullptr)
        return fail(ErrorCode::failed, fmt::format("{} could not be started", postgres_program));
    std::string text;
    std::array<char, 65536> buffer{};
    for (std::size_t got = 0; (got = ::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;)
        text.append(buffer.data(), got);
    const int code = ::pclose(pipe);
    auto catalog = std::make_shared<const ParameterCatalog>(parse(text));
    // As root, and where the program is broken, it says nothing: better to judge nothing than to
    // drop all.
    if (code != 0 || catalog->empty())
        return fail(ErrorCode::failed,
                    fmt::format("{} --describe-config gave no answer", postgres_program));
    kept[postgres_program] = {
        .modified = status.st_mtim, .size = status.st_size, .catalog = catalog};
    return catalog;
}

const ParameterInfo* ParameterCatalog::find(std::string_view name) const {
    const auto found = known_.find(name);
    return found == known_.end() ? nullptr : &found->second;
}

bool ParameterCatalog::knows(std::string_view name) const {
    return name.contains('.') || known_.contains(name) || omitted.contains(name);
}

std::optional<std::string> ParameterCatalog::accept(std::string_view name, std::string_view value,
                                                    std::string& warning) const {
    warning.clear();
    const ParameterInfo* info = find(name);
    if (info == nullptr) {
        if (knows(name)) return std::string(value);
        warning = fmt::format("parameter {} is not known to this PostgreSQL and is left out", name);
        return std::nullopt;
    }
    using Kind = ParameterInfo::Kind;
    if (info->kind == Kind::text || info->kind == Kind::enumeration) return std::string(value);
    if (info->kind == Kind::boolean) {
        if (is_boolean(value)) return std::string(value);
        warning = fmt::format("parameter {} is left out: '{}' is neither on nor off", name, value);
        return std::nullopt;
    }
    bool plain = true;
    auto parsed = number(value, plain);
    // 0700 is octal to PostgreSQL: a file mode must not be clamped into another one.
    if (plain && info->kind == Kind::integer) {
        const auto whole = parse_int(value);
        parsed = whole ? std::optional(static_cast<double>(*whole)) : std::nullopt;
    }
    if (!parsed) {
        warning = fmt::format("parameter {} is left out: '{}' is not a number", name, value);
        return std::nullopt;
    }
    // Without a unit it counts in the parameter's own, as the limits do; with one, the server
    // judges.
    if (!plain) return std::string(value);
    const auto limit = [](const std::string& text) { return std::strtod(text.c_str(), nullptr); };
    if (!info->minimum.empty() && *parsed < limit(info->minimum)) {
        warning = fmt::format("parameter {} = {} is below its minimum, {} is used", name, value,
                              info->minimum);
        return info->minimum;
    }
    if (!info->maximum.empty() && *parsed > limit(info->maximum)) {
        warning = fmt::format("parameter {} = {} is above its maximum, {} is used", name, value,
                              info->maximum);
        return info->maximum;
    }
    return std::string(value);
}

bool is_recovery_parameter(std::string_view name) {
    static const std::set<std::string, std::less<>> names{"archive_cleanup_command",
                                                          "primary_conninfo",
                                                          "primary_slot_name",
                                                          "promote_trigger_file",
                                                          "recovery_end_command",
                                                          "recovery_min_apply_delay",
                                                          "recovery_target",
                                                          "recovery_target_action",
                                                          "recovery_target_inclusive",
                                                          "recovery_target_lsn",
                                                          "recovery_target_name",
                                                          "recovery_target_time",
                                                          "recovery_target_timeline",
                                                          "recovery_target_xid",
                                                          "restore_command",
                                                          "standby_mode",
                                                          "trigger_file"};
    return names.contains(name);
}

}  // namespace relevo::postgres
