// How old the oldest transaction is that the archive has not: measured, not derived from settings.
// Pure: what the archiver and the server said, moment by moment, goes in.
#pragma once

#include <deque>
#include <optional>

#include "cluster/backup.h"

namespace relevo::backup {

class ArchiveLag {
public:
    // As of `now`; looks come in the order of time, from one server in one run as the primary.
    // `believe`: what the server says of what it archived last is so. Where pgBackRest may have
    // dropped a segment (backup.archive_queue) that is not known before the repository was asked.
    void look(const cluster::ArchiverState& seen, WallTime now, bool believe = true);
    // The server did not answer: what it wrote since the last look may be missing.
    void could_not_look();
    // Never too young, but where the first look was one that is not to be believed. Too old by an
    // interval between looks, and in a server that has become idle for as long as it takes to be
    // sure: until its last checkpoint, and archive_timeout.
    const cluster::ArchiveStatus& status() const { return status_; }

private:
    struct Moment {
        WallTime at;
        cluster::Lsn written;
        std::uint64_t ended = 0;
    };
    std::deque<Moment> moments_;  // the newest that the archive has all of, and those after it
    cluster::Lsn archived_;       // up to there, or nothing of interest before it; 0: not known
    cluster::ArchiveStatus status_;
};

}  // namespace relevo::backup
