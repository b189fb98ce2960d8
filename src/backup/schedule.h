// Whether a backup is due: from what the repository holds and from the calendar, never from what
// somebody remembers to have done. So a run that was missed is made up for, a backup that was
// deleted is made again, and an empty repository gets a full one at once. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "cluster/backup.h"
#include "cluster/backup_job.h"
#include "cluster/cron.h"

namespace relevo::backup {

struct Schedule {
    std::optional<cluster::Cron> full, differential, incremental;  // absent: never
    cluster::Zone zone;
    bool empty() const { return !full && !differential && !incremental; }
};

// A backup of the repository as the calendar sees it.
struct Kept {
    std::string label;
    cluster::BackupType type = cluster::BackupType::full;
    WallTime started{};
};
// Those that can be restored: what they are made on is there too.
std::vector<Kept> kept(const std::vector<cluster::BackupRecord>& backups);

// The backup that was made for an instant of the schedule, as the last job tells it. Its start may
// seem to be earlier than that instant, by the clock of the host that made it.
struct MadeFor {
    std::string label;
    WallTime due;
};

struct Due {
    cluster::JobWhat what = cluster::JobWhat::full;
    std::optional<WallTime> since;  // the instant of the schedule; absent: since there is no full
};

// The widest backup that is due, if any: its expression's last instant is later than the start of
// the newest backup of that type or a wider one (a full one serves where a differential is wanted).
// Without a full one, a full one, whatever its expression says. Backups that say they are from the
// future do not count.
std::optional<Due> due(const Schedule& schedule, const std::vector<Kept>& backups,
                       const std::optional<MadeFor>& made, WallTime now);

// When due() can change by the calendar alone. nullopt: never.
std::optional<WallTime> next_instant(const Schedule& schedule, WallTime now);

}  // namespace relevo::backup
