// The repository of backups as a place that a replica's data comes from
// (docs/adr/0019-replicas-from-backups.md): chooses the backup, and has pgBackRest restore it.
#pragma once

#include "os/blocking.h"
#include "ports/backup.h"
#include "ports/copy_source.h"

namespace relevo::agent {

// pgBackRest's restore holds no lock. The kernel ends the one whose agent died, and not those that
// copy for it: they end when their file is done, and would write into what the next one has checked
// already. They are ended here, of that directory alone. conflict: a restore that somebody else
// began goes on. Blocks for seconds at most.
Status end_leftovers(const std::string& into);

class Copies final : public ports::CopySource {
public:
    Copies(os::Blocking pool, ports::Backup& backup) : pool_(pool), backup_(backup) {}

    Task<Result<cluster::BackupRecord>> newest(cluster::WalLine line) override;
    Task<Status> restore(Restore what) override;
    void end_restore(const std::string& into) override { backup_.end_restore(into); }

private:
    os::Blocking pool_;
    ports::Backup& backup_;
};

}  // namespace relevo::agent
