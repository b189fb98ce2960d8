// Which backup a replica is made from (docs/adr/0019-replicas-from-backups.md). Pure.
#pragma once

#include "base/result.h"
#include "cluster/backup.h"
#include "cluster/wal_line.h"

namespace relevo::backup {

// The newest backup that ended on the line, and whose pages were whole. not_found: there is none,
// and why not the newest ones.
Result<cluster::BackupRecord> for_replica(const cluster::Repository& repository,
                                          const cluster::WalLine& line);

}  // namespace relevo::backup
