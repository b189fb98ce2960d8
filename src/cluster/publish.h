// The cluster as it is shown: the rows of /cluster and `relevoctl list`, the status JSON of
// /patroni and the health checks, and /metrics (contract 5.5, 5.6, 5.8). Pure text from plain
// values; the one who answers fills the input. JSON here has Python's spacing (", " and ": "), as
// Patroni's API has it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "cluster/backup.h"
#include "cluster/backup_proof.h"
#include "cluster/corruption.h"
#include "cluster/disk.h"
#include "cluster/member.h"
#include "cluster/peer.h"
#include "cluster/postgres_state.h"
#include "cluster/settings.h"
#include "cluster/snapshot.h"

namespace relevo::cluster {

enum class ShownRole { leader, standby_leader, sync_standby, quorum_standby, replica };
const char* to_string(ShownRole role);       // "sync_standby": /cluster's words
const char* to_column_text(ShownRole role);  // "Sync Standby": the list's words

// A position and how far it is behind status.optime, in bytes; both absent: unknown.
struct ShownPosition {
    std::optional<Lsn> lsn;
    std::optional<std::uint64_t> lag;
    bool operator==(const ShownPosition&) const = default;
};

// One member as /cluster and the list show it.
struct MemberRow {
    MemberName name;
    ShownRole role = ShownRole::replica;
    std::string
        state;  // replication_state ("streaming") if any and not leader, else the state's text
    std::string api_url, host;
    int port = 0;           // 0 and host empty: conn_url cannot be read
    Timeline timeline = 0;  // 0: unknown
    Tags tags;
    bool pending_restart = false;
    std::map<std::string, PendingRestartReason> pending_restart_reason;
    std::optional<ScheduledRestart> scheduled_restart;
    bool holds_lock = false;                 // then the three below mean nothing and are not shown
    ShownPosition receive, replay, generic;  // generic: xlog_location (lsn, lag)
    bool operator==(const MemberRow&) const = default;
};

// Sorted by name.
std::vector<MemberRow> member_rows(const Snapshot& snapshot, const Settings& settings);

// The body of GET /cluster.
std::string cluster_json(std::string_view scope, const Snapshot& snapshot,
                         const Settings& settings);

// All that the status JSON and the metrics show, as of one moment.
struct StatusInput {
    std::string scope, name;
    std::string relevo_version;          // the product's own
    const Snapshot* snapshot = nullptr;  // null: no view of the DCS; must outlive the call
    LocalPostgres postgres;              // server == running: it answered
    State state = State::unknown;
    Role role = Role::uninitialized;  // the agent's; pg_is_in_recovery() decides while it answers
    Settings settings;
    Tags tags;
    std::optional<WallTime> dcs_last_seen;
    bool failsafe_active = false;
    bool watchdog_failed = false;
    std::vector<CommitSetting> lowered_commits;
    std::string admission;              // why a primary lets no client in yet; empty: it does
    Revision sealed = 0, suspects = 0;  // PeerStatus has what they mean
    std::optional<WalTail> tail;
    const DiskReport* disk = nullptr;              // null: not measured yet; must outlive the call
    Duration disk_age{};                           // since it was measured
    std::optional<CopyProgress> copy;              // while this member's data is copied
    std::optional<ArchiveStatus> archive;          // a primary's, with backups configured
    std::optional<BackupTimes> backups;            // a leader's, with backups configured
    WallTime now{};                                // for ages
    const CorruptionReport* corruption = nullptr;  // null: not looked yet; must outlive the call
    std::shared_ptr<const std::vector<ProofRecord>> proofs;  // null: no backups are configured
    std::optional<ScheduledRestart> scheduled_restart;
    std::uint64_t logger_queue_size = 0, logger_records_lost = 0;  // shown when the queue is > 2
};

// The role that the status shows: the server's own word while it answers, else the agent's.
Role shown_role(const StatusInput& input);
// on or quorum: a replica that the sync key names, in that mode. off: everything else.
SyncMode sync_duty(const StatusInput& input);

std::string status_json(const StatusInput& input);
std::string metrics_text(const StatusInput& input);

}  // namespace relevo::cluster
