// A new cluster: initdb or the configured method, then the roles and the post_bootstrap script
// (contract 2.2, 7.6). The caller starts and stops the server between the two and undoes a failure.
#pragma once

#include <functional>
#include <optional>

#include "base/result.h"
#include "cluster/restoration.h"
#include "ports/postgres_config.h"
#include "ports/task.h"
#include "postgres/config_files.h"

namespace relevo::os {
class Blocking;
}

namespace relevo::postgres {

class Connection;

// Fills an empty data directory out of the repository: for bootstrap.method pgbackrest, or as the
// record of a restore in place says. What is there then recovers by its own recovery settings.
using Restorer = std::function<Task<Status>(std::optional<cluster::Restoration>)>;

// Fills the data directory. On success the directory is complete and its *.backup copies are made;
// the overrides go into every FilesRequest until post_bootstrap is done. The marker of half-made
// ones (half_made.h) stands until the caller clears it, after post_bootstrap: a cluster without its
// roles is none that an agent could go on with.
Task<Result<BootstrapOverrides>> bootstrap(os::Blocking& pool, const ports::PostgresConfig& config,
                                           const Restorer& restorer,
                                           std::optional<cluster::Restoration> restore = {});

// The server runs as a primary; `connection` is a superuser's, on this host. Sets the superuser's
// password, runs the script, makes the replication and the rewind role. Passwords never reach the
// server's log. with_script: not for a cluster that is restored in place, which has had it.
Task<Status> post_bootstrap(os::Blocking& pool, const ports::PostgresConfig& config,
                            Connection& connection, int version, bool with_script = true);

}  // namespace relevo::postgres
