// One copy as it goes, shared by the methods (clone.cpp, clone_repository.cpp, clone_undo.cpp).
// Private to the room.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "os/blocking.h"
#include "ports/postgres.h"
#include "ports/postgres_config.h"
#include "ports/task.h"
#include "postgres/data_directory.h"
#include "postgres/kept_damaged.h"

namespace relevo::postgres {

inline const std::string set_aside_suffix = ".before_clone";
// The marks. What stands here is ours and incomplete ...
inline const std::string by_clone = "clone";
// ... out of the repository: a restore of the differences can go on with it ...
inline const std::string by_restore = "restore";
// ... was whole, and a method with keep_data has begun to change it ...
inline const std::string by_method = "method";
// ... or is to give way to the old data, which comes back.
inline const std::string by_return = "return";

inline bool is_a_copy(const std::optional<std::string>& mark) {
    return mark == by_clone || mark == by_restore;
}

// What must be known to undo it.
struct CloneJob {
    os::Blocking& pool;
    const ports::PostgresConfig& config;
    const ports::Postgres::ClonePlan& plan;
    int version;
    // What the old data is called while the copy goes on; that of a replica which is made anew by
    // itself is kept so for good.
    std::string suffix = set_aside_suffix;
    Moved moved;               // the old content, when it is aside
    bool target_ours = false;  // what stands in the data directory is a copy's, complete or not
    bool changed_in_place = false;  // a method with keep_data began to change the old content
    bool trusts_content = false;    // and, other than pgBackRest, may have left any of it
    std::string passfile;
};

// Blocking. conflict: what stands there must not be replaced.
Status check_replaceable(const CloneJob& job);
// Blocking. An empty target for a method that wants one. The first time, what was there goes aside;
// what an earlier method left is wiped.
Status clear_target(CloneJob& job);

// The old data in its place again, with its marks. What the copy left there goes. Blocking.
Status bring_back(const std::string& data_dir, const std::string& suffix, const Moved& moved);

// The method `pgbackrest` without a command: the newest backup that leads to where the source is,
// as a standby. Errors are those of one method, and the next one may be tried, but for `cancelled`
// and `conflict`.
Task<Status> clone_from_repository(CloneJob& job, const ports::ReplicaMethod& method);

}  // namespace relevo::postgres
