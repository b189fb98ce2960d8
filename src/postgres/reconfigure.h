// A running server's parameters: what differs from the wanted ones, reload, and what waits for a
// restart (contract 3.5).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "cluster/member.h"
#include "ports/task.h"
#include "postgres/config_files.h"
#include "postgres/settings.h"

namespace relevo::os {
class Blocking;
}

namespace relevo::postgres {

class Connection;
using PendingRestart = std::map<std::string, cluster::PendingRestartReason>;

Task<Result<Settings>> read_settings(Connection& connection);

// Asks the server to read its files again and returns once this connection has seen it happen (at
// the latest after two seconds: outcome_unknown).
Task<Status> reload(Connection& connection);

// What waits for a restart, whoever changed it. `raised`: values a standby had to take from
// pg_control.
Task<Result<PendingRestart>> pending_restart(Connection& connection, const Parameters& configured,
                                             const std::vector<std::string>& raised);

// Files first (FilesRequest), then a reload when something changed or `force`, then
// pending_restart. `reloaded` tells whether a reload was made (on_reload).
struct Reconfigured {
    FilesWritten files;
    bool reloaded = false;
    PendingRestart pending;
};
Task<Result<Reconfigured>> reconfigure(os::Blocking& pool, const ConfigFiles& files,
                                       FilesRequest request, Connection& connection, bool force);

}  // namespace relevo::postgres
