// The line of WAL that a server writes or follows, as it tells over a replication connection.
#pragma once

#include "base/result.h"
#include "cluster/wal_line.h"
#include "ports/task.h"

namespace relevo::postgres {

class Connection;

// A primary's, or a standby's whose upstream's history it has.
Task<Result<cluster::WalLine>> line_of(Connection& replication);

}  // namespace relevo::postgres
