// A place other than a server that a replica's data comes from: the repository of backups, as the
// replica method `pgbackrest` uses it. Real: agent/copies.h.
#pragma once

#include <functional>
#include <string>

#include "base/result.h"
#include "cluster/backup.h"
#include "cluster/wal_line.h"
#include "ports/task.h"

namespace relevo::ports {

class CopySource {
public:
    virtual ~CopySource() = default;

    // The newest backup from which recovery leads to that line. Reads the repository and changes
    // nothing. An error says why there is none, and what to do.
    virtual Task<Result<cluster::BackupRecord>> newest(cluster::WalLine line) = 0;

    // Into an empty directory, or with `delta` over what is there. The rest is as ports::Backup's
    // restore() has it; cancelled: by end_restore().
    struct Restore {
        cluster::BackupRecord backup;
        std::string into;
        bool delta = false;
        std::function<void(const cluster::BackupProgress&)> progress;
    };
    virtual Task<Status> restore(Restore what) = 0;
    // The restore into that directory is told to end; nothing happens when there is none.
    virtual void end_restore(const std::string& into) = 0;
};

}  // namespace relevo::ports
