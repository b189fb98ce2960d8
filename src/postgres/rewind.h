// Compares this member's data with a primary, and rewinds it (contract 7.9). The decision itself is
// rewind_decision.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cluster/postgres_plan.h"
#include "cluster/postgres_state.h"
#include "cluster/wal_line.h"
#include "ports/postgres_config.h"
#include "ports/task.h"
#include "postgres/rewind_decision.h"

namespace relevo::os {
class Blocking;
}

namespace relevo::postgres {

// `running`: where a running standby stands (timeline and replay position of observe()); absent:
// the server is stopped and `control` decides. unavailable: the source cannot be asked; conflict:
// it is no primary, or one of another cluster. Where the next primary archives what this one left
// (archiver_patience), a stopped server's segments that wait and are on the source's line are
// archived on the way: only now it is known which these are.
Task<Result<cluster::Divergence>> compare(os::Blocking& pool, const ports::PostgresConfig& config,
                                          const cluster::Upstream& source,
                                          const std::optional<LocalEnd>& running,
                                          const cluster::ControlData& control, int version);

// The server is stopped cleanly (crash_recover first where needed).
//   unavailable      nothing was touched: the source cannot be reached, is in recovery, or its
//                    checkpoint after promotion is still to come, or the server runs, or the disk
//                    has less room than pg_rewind may need; try again
//   denied, invalid  nothing was touched and trying again will not help
//   failed           pg_rewind began and failed; the marker of half_made.h stays
Task<Status> rewind(os::Blocking& pool, const ports::PostgresConfig& config,
                    const cluster::Upstream& source, const cluster::ControlData& control,
                    int version);

// How many bytes pg_rewind says that it would copy at most ("need to copy 132 MB"); nothing: it
// does not say.
std::optional<std::uint64_t> rewind_needs(std::string_view output);

// Archives the segments that wait in archive_status with the configured archive_command, oldest
// first, and stops at the first that fails. How many went. With a line only what is on it: a
// segment that this member wrote after the others had left it would stand in the archive under the
// name of one that recovery may ask for.
Task<Result<int>> archive_ready_wal(os::Blocking& pool, const ports::PostgresConfig& config,
                                    std::optional<cluster::WalLine> line);

}  // namespace relevo::postgres
