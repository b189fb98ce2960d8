// Which backup, and along which timelines, brings a restored server to where somebody wants it, and
// whether anything in the repository does (docs/adr/0020-restore.md). PostgreSQL itself finds out
// only at the end of recovery, and pgBackRest takes some other backup.
//
// A line is a timeline with those that lead to it, as its history file tells. A backup is of use on
// a line when it was complete before the line left the backup's timeline.
//
// Pure: agent/restores.h looks into the repository and does what was chosen.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "cluster/archive_gaps.h"
#include "cluster/backup.h"
#include "cluster/recovery_target.h"
#include "cluster/snapshot.h"

namespace relevo::backup {

struct RestoreWish {
    cluster::RecoveryTarget target;
    std::optional<std::string> backup;  // a label; absent: the newest that reaches the target
};

// The archive that goes with the wished backup, or with the newest. not_found: there is none.
Result<cluster::ArchiveRange> archive_for(const cluster::Repository& repository,
                                          const RestoreWish& wish);

// The end of the line that is meant. `histories`: the timelines whose history file the archive has.
// `current`: the cluster's, 0: not known. `latest` is the cluster's, so that a timeline that
// somebody else's restored server began does not count. not_found: there is no such timeline.
Result<cluster::Timeline> line_for(const RestoreWish& wish, const cluster::Repository& repository,
                                   const std::vector<cluster::Timeline>& histories,
                                   cluster::Timeline current);

// What the repository has, as one line sees it.
struct Stock {
    cluster::Repository repository;
    cluster::ArchiveRange archive;
    std::vector<std::string> segments;
    std::vector<WallTime> stored;     // of each; perhaps none
    std::uint64_t segment_bytes = 0;  // 0: taken from the backups' positions
    cluster::Timeline line = 1;
    std::vector<cluster::HistoryLine> history;  // of `line`
    WallTime now{};
};

// A span of time in which every moment can be reached: from the end of a backup to where WAL ends,
// or is missing.
struct Window {
    std::string backup;  // the oldest that serves
    WallTime from{};
    cluster::Lsn from_lsn;
    WallTime until{};  // when the last segment was stored: what is in it is not younger
    cluster::ArchiveReach reach;
};

struct RestoreChoice {
    cluster::BackupRecord backup;
    cluster::RecoveryTarget target;  // its timeline is a number
    cluster::ArchiveReach reach;     // from this backup on
    WallTime until{};
    std::vector<std::string> notes;  // sentences for the operator
};

struct RestoreAdvice {
    std::vector<Window> windows;   // oldest first
    Result<RestoreChoice> choice;  // not_found, conflict: why nothing reaches the target
};

RestoreAdvice choose_restore(const Stock& stock, const RestoreWish& wish);

// Out of the positions and segments that backups name. 0: they do not tell.
std::uint64_t segment_bytes_of(const std::vector<cluster::BackupRecord>& backups);

// {"backup": {...}, "target": ..., "timeline": ..., "recovery": {...}, "notes": [...],
// "windows": [...]}; where nothing reaches the target "problem" says why, and there is no "backup".
std::string advice_json(const RestoreAdvice& advice, const RestoreWish& wish);

// One line for people: "from 2026-05-14 01:00:10+00 (backup ...) to 2026-05-15 09:58:30+00 (...)".
std::string windows_text(const std::vector<Window>& windows);

}  // namespace relevo::backup
