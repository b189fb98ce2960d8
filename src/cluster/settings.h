// The cluster-wide settings of the DCS `config` key (contract 3.1), typed, with their defaults.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "cluster/commit_level.h"
#include "cluster/corruption.h"
#include "cluster/disk.h"

namespace relevo::cluster {

enum class SyncMode { off, on, quorum };

struct StandbyCluster {
    std::string host, port, primary_slot_name, restore_command, archive_cleanup_command,
        recovery_min_apply_delay;
    std::vector<std::string> create_replica_methods;
    bool operator==(const StandbyCluster&) const = default;
};

struct PermanentSlot {
    bool logical = false;
    std::string database, plugin, cluster_type;
    bool operator==(const PermanentSlot&) const = default;
};

struct IgnoreSlot {  // matches when every given property equals
    std::optional<std::string> name, type, database, plugin;
    bool operator==(const IgnoreSlot&) const = default;
};

struct Settings {
    std::chrono::seconds ttl{30};                     // leader and member keys' lease; >= 3
    std::chrono::seconds loop_wait{10};               // longest time between two full looks; >= 1
    std::chrono::seconds retry_timeout{10};           // one DCS operation with its retries; >= 1
    std::uint64_t maximum_lag_on_failover = 1048576;  // bytes
    std::int64_t maximum_lag_on_syncnode = -1;
    bool check_timeline = false;
    int max_timelines_history = 0;
    std::chrono::seconds primary_start_timeout{300};
    std::chrono::seconds primary_stop_timeout{0};
    std::chrono::seconds primary_race_backoff{0};
    SyncMode synchronous_mode = SyncMode::off;
    bool synchronous_mode_strict = false;
    int synchronous_node_count = 1;
    // How long the leader's agent and PostgreSQL must both be silent before its voters take over
    // without waiting for the lease; 200 ms to ttl. Ours alone.
    std::chrono::milliseconds suspect_after{500};
    // How long the successor of a crashed primary waits for the last of its WAL before it is
    // promoted without (asynchronous replication; 0: it does not ask). Ours alone.
    std::chrono::milliseconds wal_tail_timeout{1500};
    // Where synchronous_commit is set lower than this for roles, databases or the server, the
    // leader's agent takes it back. off: it does not, and says so in synchronous mode. Ours alone.
    CommitLevel synchronous_commit_floor = CommitLevel::off;
    DiskSettings disk;              // ours alone
    CorruptionSettings corruption;  // ours alone
    bool failsafe_mode = false;
    bool pause = false;
    std::optional<StandbyCluster> standby_cluster;
    std::map<std::string, PermanentSlot> slots;
    std::vector<IgnoreSlot> ignore_slots;
    std::chrono::seconds member_slots_ttl{1800};
    bool use_slots = true;
    bool use_pg_rewind = false;  // effective: dynamic, then local
    bool remove_data_directory_on_rewind_failure = false;
    bool remove_data_directory_on_diverged_timelines = false;
    bool operator==(const Settings&) const = default;

    // What synchronous_commit should be at least: in synchronous mode nothing is promised to a
    // commit below `on`.
    CommitLevel commit_level_wanted() const {
        return synchronous_mode == SyncMode::off
                   ? synchronous_commit_floor
                   : std::max(synchronous_commit_floor, CommitLevel::on);
    }
};

struct ReadSettings {
    Settings settings;
    std::vector<std::string> notes;  // what was adjusted or not understood; each once in the log
    // Of those notes the ones that are no rule of Patroni's, which adjusts: who writes such a value
    // is told so and nothing is written. One that is there already is only noted.
    std::vector<std::string> refused;
};

// Reads the cluster-wide part of the DCS `config` object. A wrong value is named in notes and its
// default (or the adjusted value: ttl, loop_wait, retry_timeout rule) is used. Error: not a JSON
// object.
Result<ReadSettings> read_settings(std::string_view json);

// Why `after` must not be written in place of `before`, the reasons joined by "; "; empty: it may.
// What `before` has wrong already does not stand in the way of another change. An empty `before`:
// there is none.
std::string newly_refused(std::string_view before, std::string_view after);

// Patroni's patch: null deletes, maps recurse, a scalar replaces when its text differs. Both JSON
// objects.
Result<std::string> patch_json(std::string_view json, std::string_view patch);

}  // namespace relevo::cluster
