#include "backup/schedule.h"

#include <algorithm>
#include <set>
#include <string_view>

namespace relevo::backup {
namespace {

using cluster::BackupRecord;
using cluster::BackupType;
using cluster::JobWhat;

int width(BackupType type) {
    switch (type) {
        case BackupType::full: return 2;
        case BackupType::differential: return 1;
        case BackupType::incremental: return 0;
    }
    return 0;
}

// When the newest of that type or a wider one was begun.
std::optional<WallTime> newest(const std::vector<Kept>& backups, BackupType type,
                               const std::optional<MadeFor>& made, WallTime now) {
    // Clocks of hosts differ by seconds; one that was this far ahead when it made a backup would
    // keep the next ones from being made until its time has come.
    constexpr auto ahead = std::chrono::minutes(5);
    std::optional<WallTime> out;
    for (const auto& backup : backups) {
        if (width(backup.type) < width(type)) continue;
        auto started = backup.started;
        if (made && made->label == backup.label) started = std::max(started, made->due);
        if (started > now + ahead) continue;
        out = out ? std::max(*out, started) : started;
    }
    return out;
}

}  // namespace

std::vector<Kept> kept(const std::vector<BackupRecord>& backups) {
    std::set<std::string_view> labels;
    for (const auto& backup : backups) labels.insert(backup.label);
    std::vector<Kept> out;
    for (const auto& backup : backups)
        if (std::ranges::all_of(backup.needs,
                                [&](const auto& label) { return labels.contains(label); }))
            out.push_back({backup.label, backup.type, backup.started});
    return out;
}

std::optional<Due> due(const Schedule& schedule, const std::vector<Kept>& backups,
                       const std::optional<MadeFor>& made, WallTime now) {
    if (schedule.empty()) return std::nullopt;
    const bool full = std::ranges::any_of(
        backups, [](const auto& backup) { return backup.type == BackupType::full; });
    if (!full) return Due{JobWhat::full, std::nullopt};
    const struct {
        const std::optional<cluster::Cron>& when;
        BackupType type;
        JobWhat what;
    } all[] = {{schedule.full, BackupType::full, JobWhat::full},
               {schedule.differential, BackupType::differential, JobWhat::differential},
               {schedule.incremental, BackupType::incremental, JobWhat::incremental}};
    for (const auto& one : all) {
        const auto last = one.when ? one.when->last_until(now, schedule.zone) : std::nullopt;
        if (!last) continue;
        const auto begun = newest(backups, one.type, made, now);
        if (!begun || *begun < *last) return Due{one.what, last};
    }
    return std::nullopt;
}

std::optional<WallTime> next_instant(const Schedule& schedule, WallTime now) {
    std::optional<WallTime> next;
    for (const auto* when : {&schedule.full, &schedule.differential, &schedule.incremental}) {
        const auto at = *when ? (*when)->next_after(now, schedule.zone) : std::nullopt;
        if (at && (!next || *at < *next)) next = at;
    }
    return next;
}

}  // namespace relevo::backup
