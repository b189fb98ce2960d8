// pg_control through `pg_controldata`, in every version from 13 to 18.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cluster/postgres_state.h"
#include "ports/postgres_config.h"

namespace relevo::postgres {

struct ControlFile {
    cluster::ControlData data;
    // max_connections, max_worker_processes, max_wal_senders, max_prepared_transactions
    // (max_prepared_xacts there), max_locks_per_transaction: what a standby must not go below
    std::map<std::string, int> minimums;
};

// The program's output in the C locale. invalid when state or system identifier are missing. Pure.
Result<ControlFile> parse_control_data(std::string_view text);

// Runs pg_controldata; blocks for some milliseconds. A file that was caught in the middle of being
// written (wrong checksum) is read again. invalid: pg_control is no such file or of another
// version.
Result<ControlFile> read_control_file(const ports::PostgresConfig& config);

// PG_VERSION's major (15), or why it is not one. Blocks.
Result<int> read_data_version(const std::string& data_dir);

}  // namespace relevo::postgres
