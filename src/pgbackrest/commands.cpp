#include "pgbackrest/commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/text.h"
#include "cluster/archive_gaps.h"

namespace relevo::pgbackrest {
namespace {

constexpr std::uint64_t usual_segment = 16UL << 20U;

const char* word(cluster::BackupType type) {
    switch (type) {
        case cluster::BackupType::full: return "full";
        case cluster::BackupType::differential: return "diff";
        case cluster::BackupType::incremental: return "incr";
    }
    return "full";
}

const char* word(cluster::TargetKind kind) {
    switch (kind) {
        case cluster::TargetKind::latest: return "default";
        case cluster::TargetKind::immediate: return "immediate";
        case cluster::TargetKind::time: return "time";
        case cluster::TargetKind::lsn: return "lsn";
        case cluster::TargetKind::xid: return "xid";
    }
    return "default";
}

Status check_path(const char* what, const std::string& path) {
    const bool plain = std::ranges::none_of(path, [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte < 0x20 || byte == 0x7f;
    });
    if (path.size() > 1 && path.front() == '/' && plain) return {};
    return fail(ErrorCode::invalid,
                fmt::format("{}: an absolute path is wanted, as in /srv/restored", what));
}

bool is_label(std::string_view text) {
    return !text.empty() && text.size() <= 64 && std::ranges::all_of(text, [](char c) {
        return (c >= '0' && c <= '9') || c == '-' || c == '_' || c == 'F' || c == 'D' || c == 'I';
    });
}

// pgBackRest writes what it is given between quotes and escapes nothing.
std::string in_quotes(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c == '\'' || c == '\\') out += c;
        out += c;
    }
    return out;
}

// What belongs to each kind of target, and nothing else: pgBackRest refuses what does not.
void add_target(Arguments& out, const cluster::RecoveryTarget& target) {
    using cluster::TargetKind;
    out.push_back(fmt::format("--type={}", word(target.kind)));
    if (const auto value = cluster::value_text(target); !value.empty()) {
        out.push_back("--target=" + value);
        if (!target.inclusive) out.emplace_back("--target-exclusive");
    }
    if (target.kind != TargetKind::latest)
        out.push_back(fmt::format("--target-action={}", to_string(target.action)));
    // Also where it is PostgreSQL's default: before 12 it was another one.
    if (target.kind != TargetKind::immediate)
        out.push_back("--target-timeline=" + to_string(target.timeline));
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

// At a promotion PostgreSQL renames the segment in which it leaves the old timeline to .partial. A
// standby that follows it keeps that segment under its plain name, and behind the switch there is
// in it what was there before: another host's is not the same.
std::vector<std::string> earlier_segments(const std::vector<std::string>& names,
                                          const std::vector<cluster::HistoryLine>& left,
                                          std::uint64_t segment_bytes) {
    const std::uint64_t bytes = segment_bytes != 0 ? segment_bytes : usual_segment;
    std::vector<std::string> out;
    for (const auto& name : names) {
        const auto begins = cluster::segment_start(name, bytes);
        if (!begins) continue;
        const auto line =
            std::ranges::find(left, begins->timeline, &cluster::HistoryLine::timeline);
        if (line != left.end() && begins->lsn.value + bytes <= line->switch_point.value)
            out.push_back(name);
    }
    std::ranges::sort(out);
    return out;
}

std::string refused_files(const std::vector<cluster::HistoryLine>& left,
                          std::uint64_t segment_bytes) {
    const std::uint64_t bytes = segment_bytes != 0 ? segment_bytes : usual_segment;
    // Histories come with the stream, of those timelines alone that lead to the leader's.
    std::string out = ".*[.]history\n";
    for (const auto& line : left) {
        const auto high = line.switch_point.value >> 32U;
        const auto low = (line.switch_point.value & 0xffffffffU) / bytes;
        out += fmt::format("{:08X}{:08X}{:08X}\n", line.timeline, high, low);
    }
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

Arguments list_archive_arguments(const Settings& settings, const cluster::ArchiveRange& archive) {
    auto out = arguments(settings, "repo-ls");
    out.insert(out.end(),
               {"--recurse", "--output=json", fmt::format("--repo={}", archive.repository),
                fmt::format("archive/{}/{}", settings.config.stanza, archive.id)});
    return out;
}

Arguments history_arguments(const Settings& settings, const cluster::ArchiveRange& archive,
                            cluster::Timeline timeline) {
    auto out = arguments(settings, "repo-get");
    out.push_back(fmt::format("--repo={}", archive.repository));
    out.push_back(
        fmt::format("archive/{}/{}/{:08X}.history", settings.config.stanza, archive.id, timeline));
    return out;
}

// Codes: 1 is a file that is not there, and ends recovery where that is right. Above 125 PostgreSQL
// takes it for a fatal error; else it would take a repository that is out of reach for an archive
// that ends here, and promote too early. Of a repository no event tells that it is back: a pause.
std::string restore_command(const Settings& settings, const std::string& data_dir) {
    constexpr int tries = 5;
    std::string rounds;
    for (int i = 1; i <= tries; ++i) rounds += fmt::format("{} ", i);
    return fmt::format(
        "for n in {}; do {} {} {} {} --no-archive-async archive-get %f \"%p\"; rc=$?; "
        "[ $rc -le 1 ] && exit $rc; sleep 2; done; exit 126",
        trim(rounds), word_in_setting(settings.config.program),
        word_in_setting("--config=" + settings.file),
        word_in_setting("--stanza=" + settings.config.stanza),
        word_in_setting("--pg1-path=" + data_dir));
}

Result<Arguments> restore_arguments(const Settings& settings,
                                    const ports::Backup::RestorePlan& plan) {
    RLV_CHECK(check_path("where to restore to", plan.into));
    if (!plan.tablespaces.empty()) RLV_CHECK(check_path("where tablespaces go", plan.tablespaces));
    if (plan.backup && !is_label(*plan.backup))
        return fail(ErrorCode::invalid,
                    "that is no backup's label: it is as `relevoctl backup list` shows it, "
                    "20260514-010000F");
    auto out = arguments(settings, "restore", "detail");
    out.push_back("--pg1-path=" + plan.into);
    if (plan.delta) out.emplace_back("--delta");
    if (plan.backup) out.push_back("--set=" + *plan.backup);
    if (plan.repository > 0) out.push_back(fmt::format("--repo={}", plan.repository));
    if (!plan.tablespaces.empty()) {
        // Whatever the operator's file says: where links and tablespaces led when the backup was
        // made is on this host perhaps the running server's, and delta would clear it away first.
        out.insert(out.end(), {"--no-link-all", "--reset-link-map", "--reset-tablespace-map",
                               "--no-delta", "--tablespace-map-all=" + plan.tablespaces});
    }
    if (plan.as_standby) {
        out.emplace_back("--type=standby");
        out.push_back("--target-timeline=" + to_string(plan.target.timeline));
    } else {
        add_target(out, plan.target);
    }
    out.push_back("--recovery-option=restore_command=" +
                  in_quotes(restore_command(settings, plan.into)));
    return out;
}

}  // namespace relevo::pgbackrest
