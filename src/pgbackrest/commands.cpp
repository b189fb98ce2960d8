#include "pgbackrest/commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/text.h"

namespace relevo::pgbackrest {
namespace {

const char* word(cluster::BackupType type) {
    switch (type) {
        case cluster::BackupType::full: return "full";
        case cluster::BackupType::differential: return "diff";
        case cluster::BackupType::incremental: return "incr";
    }
    return "full";
}

}  // namespace

Arguments arguments(const Settings& settings, const std::string& command, const char* console) {
    return {settings.config.program,
            "--config=" + settings.file,
            "--stanza=" + settings.config.stanza,
            fmt::format("--log-level-console={}", console),
            "--log-level-stderr=warn",
            "--no-log-timestamp",
            command};
}

// info.info, its copy, and both again where they are compared: four, and some room.
Arguments with_patience(Arguments arguments, const Settings& settings, Duration deadline) {
    constexpr std::int64_t usual_s = 60, least_s = 3, tries = 5;
    auto patience = std::max(
        least_s, std::chrono::duration_cast<std::chrono::seconds>(deadline).count() / tries);
    const auto given = settings.config.options.find("io-timeout");
    const auto own = given != settings.config.options.end() ? parse_decimal(given->second.front())
                                                            : std::optional(usual_s);
    if (own && patience < *own) arguments.push_back(fmt::format("--io-timeout={}", patience));
    return arguments;
}

Arguments info_arguments(const Settings& settings) {
    auto out = arguments(settings, "info");
    out.emplace_back("--output=json");
    return out;
}

// At a promotion PostgreSQL renames the segment in which it leaves the old timeline to .partial,
// and removes what it had prepared behind it: what has a plain name is complete.
std::vector<std::string> earlier_segments(const std::vector<std::string>& names,
                                          cluster::Timeline current) {
    constexpr std::size_t digits = 24;
    std::vector<std::string> out;
    for (const auto& name : names) {
        if (name.size() != digits ||
            name.find_first_not_of("0123456789ABCDEF") != std::string::npos)
            continue;
        cluster::Timeline timeline = 0;
        std::from_chars(name.data(), name.data() + 8, timeline, 16);
        if (timeline != 0 && timeline < current) out.push_back(name);
    }
    std::ranges::sort(out);
    return out;
}

Arguments expire_arguments(const Settings& settings, bool dry_run) {
    auto out = arguments(settings, "expire", "info");
    if (dry_run) out.emplace_back("--dry-run");
    return out;
}

Arguments backup_arguments(const Settings& settings, cluster::BackupType type,
                           const std::optional<ports::Endpoint>& primary) {
    auto out = arguments(settings, "backup", "detail");
    out.push_back(fmt::format("--type={}", word(type)));
    // Whoever has the cluster's permission expires, when no backup is made.
    out.emplace_back("--no-expire-auto");
    if (!primary) {
        out.emplace_back("--no-backup-standby");
        return out;
    }
    out.emplace_back("--backup-standby");
    // Where the primary's server is on its host: as here, unless told otherwise.
    auto there = settings.config.primary_host;
    const auto as_here = [&](const char* name, const std::string& value) {
        if (!value.empty()) there.try_emplace(name, ports::BackupConfig::Values{value});
    };
    as_here("path", settings.data_dir);
    as_here("socket-path", settings.socket_dir);
    as_here("user", settings.user);
    as_here("database", settings.database);
    there["host"] = {primary->host};
    there["port"] = {std::to_string(primary->port)};
    for (const auto& [name, values] : there)
        for (const auto& value : values) out.push_back(fmt::format("--pg2-{}={}", name, value));
    return out;
}

}  // namespace relevo::pgbackrest
