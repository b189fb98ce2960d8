// Whether the archive has a hole behind the newest backup: what came after it can be restored only
// from a backup that is yet to be made (docs/adr/0015-backups.md). Found in what the repository
// holds and in what PostgreSQL believes to be archived, never in somebody's memory: so it is found
// again by whoever leads, whatever was restarted meanwhile. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cluster/backup.h"
#include "cluster/snapshot.h"

namespace relevo::backup {

struct ArchiveSight {
    // The last segment that the server's archiver says it archived, as of before the rest was read:
    // up to there all must be in the archive; behind it pgBackRest may archive in any order. Empty:
    // not known, then up to the last that is there.
    std::string believed;
    cluster::Repository repository;
    cluster::ArchiveRange archive;  // the one that goes with the newest backup
    std::vector<std::string> segments;
    std::vector<WallTime> stored;  // of each; perhaps none
    std::uint64_t segment_bytes = 0;
    std::vector<cluster::HistoryLine> history;  // of `timeline`
    cluster::Timeline timeline = 0;             // the server's
};

struct HoleLook {
    std::string since;  // the newest backup's label; empty: there is none that leads here
    std::optional<cluster::ArchiveHole> hole;
};

// What is not archived yet is no hole. Errors as cluster::archive_gaps.
Result<HoleLook> find_hole(const ArchiveSight& sight);

// For people: "7 segments from 000000010000000000000005 to 00000001000000000000000B".
std::string describe(const cluster::ArchiveHole& hole);

}  // namespace relevo::backup
