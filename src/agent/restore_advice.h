// What the repository has for somebody's wish: looked at with a few calls of the port, judged by
// backup/restore.h.
#pragma once

#include "backup/restore.h"
#include "ports/backup.h"

namespace relevo::agent {

// current: the cluster's timeline, 0: not known. now: to tell the future. The error is the
// repository's; that nothing reaches the target is in the advice.
Task<Result<backup::RestoreAdvice>> advise(ports::Backup& port, backup::RestoreWish wish,
                                           cluster::Timeline current, WallTime now);

}  // namespace relevo::agent
