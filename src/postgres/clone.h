// A copy of another server into the data directory, by the configured methods in their order
// (contract 7.7).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "ports/postgres.h"
#include "ports/postgres_config.h"
#include "ports/task.h"

namespace relevo::os {
class Blocking;
}

namespace relevo::postgres {

// The server is stopped. What is in the data directory already is moved to <data_dir>.before_clone
// first (only with replace_existing; else conflict), is put back when every method failed, and is
// removed after success. What a restore from the repository left, where no old data had to make
// room, stays with its mark, and the next one goes on with it. The result's recovery settings are
// not written: start() does. Cancelled through the coroutine: the running command is ended with its
// children.
Task<Status> clone(os::Blocking& pool, const ports::PostgresConfig& config,
                   const ports::Postgres::ClonePlan& plan, int version);

// At the agent's start: when an earlier process ended in the middle of a clone, the old data, if
// there was some, is put back (true). conflict: a new cluster is half made in its place. Blocking.
Result<bool> undo_interrupted_clone(const ports::PostgresConfig& config);

}  // namespace relevo::postgres
