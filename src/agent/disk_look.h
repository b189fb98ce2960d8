// One look at the disks of a member. Blocks, for ever where a disk is dead: os/aside.h.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cluster/disk_note.h"

namespace relevo::agent {

struct DiskAsk {
    std::string data_dir;
    std::string spool;       // of archiving; empty: there is none
    bool in_detail = false;  // what pg_wal holds as well: a stat for each of its files
    bool ours = false;  // the data directory is known to be this cluster's: another's is left alone
    cluster::DiskSettings settings;  // for the ballast
    // Set once the look is done with data and WAL: what hangs after that is the spool's. May be
    // null.
    std::shared_ptr<std::atomic<bool>> past_vital{};
};

struct DiskSeen {
    struct Place {
        std::string what;   // cluster::DiskPlace's
        bool vital = true;  // without it PostgreSQL cannot write
        std::uint64_t device = 0, total = 0;
        // Without what the ballast takes, or has to take again.
        std::uint64_t free = 0;
        // Where a page may be written to see whether this disk takes it, the best place first.
        std::vector<std::string> probe_paths{};
    };
    std::vector<Place> places;
    std::string problem;          // what could not be measured; empty: nothing
    bool vital_unseen = false;    // that is data or WAL
    std::uint64_t ballast = 0;    // bytes that it has now
    std::string ballast_problem;  // why it has none although it should
    std::uint64_t wal_bytes = 0, queue_segments = 0, queue_bytes = 0;  // in detail
};

// Also makes the ballast of a data directory that is ours, and gives it back when less than half of
// what hold begins at is left.
DiskSeen look_at_disks(const DiskAsk& ask);

// Gives the ballast of a data directory that is ours back, for what is about to need room; not
// where there is so much that it would be made again at once. Blocks like a look.
void give_ballast(const DiskAsk& ask);

// The ballast (docs/adr/0018): a file on the file system of WAL that is nothing but room. Where it
// is, or would be: beside the data directory or beside the directory that pg_wal leads to; where
// these are mount points, in pg_wal under a name that neither pg_basebackup nor pg_rewind nor
// pgBackRest copies. Empty: there is no data directory yet.
std::string ballast_path(const std::string& data_dir);
// The file that a disk is probed with (docs/adr/0022), on the file system of `directory`, which is
// the data directory or where pg_wal leads to: beside it, which is nobody's concern; or, of a data
// directory that is ours, inside (`name_inside`, which no copy takes): where it is a mount point,
// or where we may not write beside it. Empty: there is no such place.
std::vector<std::string> probe_paths(const std::string& directory, const std::string& name_inside,
                                     bool ours);

// How much it should have: what is configured, but no more than a twentieth of a small disk.
std::uint64_t ballast_size(const cluster::DiskSettings& settings, std::uint64_t total);
enum class Ballast { leave, make, give };
// has: what it has of wanted; free: what a user may write now.
Ballast what_of_ballast(const cluster::DiskSettings& settings, std::uint64_t total,
                        std::uint64_t free, std::uint64_t has);

}  // namespace relevo::agent
