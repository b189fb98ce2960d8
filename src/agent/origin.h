// A new cluster out of a backup repository: bootstrap.method pgbackrest (docs/adr/0020-restore.md).
#pragma once

#include "agent/configuration.h"
#include "ports/backup.h"
#include "ports/clock.h"

namespace relevo::agent {

// Restores into the data directory, which is empty, what bootstrap.pgbackrest asks for. `origin`
// looks at the repository that it names; `own` is the section `backup`, perhaps the same one.
Task<Status> restore_origin(ports::Backup& origin, ports::Backup& own, const Configuration& conf,
                            const ports::Clock& clock);

// How the repository that bootstrap.pgbackrest names is reached: the section `backup`, with what
// is given there instead.
ports::BackupConfig origin_config(const Configuration& conf);

}  // namespace relevo::agent
