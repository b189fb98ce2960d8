// The local PostgreSQL as it was last seen. Plain values: the adapter fills them (postgres/), the
// core decides on them, the API shows them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "cluster/lsn.h"
#include "cluster/member.h"
#include "cluster/snapshot.h"

namespace relevo::cluster {

enum class DataDir {
    empty,        // absent or nothing in it: may be filled
    initialized,  // a data directory with PG_VERSION and a readable pg_control
    unusable,     // there is something, but it cannot be read or is no data directory: hands off
    half_made,    // our own clone, rewind or bootstrap did not finish (marker file)
};

enum class Server {
    stopped,   // no postmaster
    starting,  // postmaster lives and refuses connections (recovery, start-up)
    running,   // answers queries
    stopping,
    hung,  // postmaster lives but a new connection got no answer in time
};

// pg_control's "Database cluster state".
enum class ControlState {
    unknown,
    starting_up,
    shut_down,
    shut_down_in_recovery,
    shutting_down,
    in_crash_recovery,
    in_archive_recovery,
    in_production,
};

struct ControlData {
    ControlState state = ControlState::unknown;
    std::string system_id;
    Lsn checkpoint;  // latest checkpoint location
    Lsn redo;
    Timeline checkpoint_timeline = 0;
    Lsn min_recovery_end;
    Timeline min_recovery_end_timeline = 0;
    bool checksums = false;
    bool wal_log_hints = false;
    bool operator==(const ControlData&) const = default;
};

struct Sender {  // a row of pg_stat_replication
    std::string user, application_name, client_addr, state, sync_state;
    int sync_priority = 0;
    Lsn sent, write, flush, replay;
    int pid = 0;
    bool operator==(const Sender&) const = default;
};

struct Slot {
    std::string name, type, database, plugin;
    bool active = false;
    Lsn restart;          // restart_lsn
    Lsn confirmed_flush;  // logical
    bool has_xmin = false;
    bool lost = false;  // wal_status = lost
    bool operator==(const Slot&) const = default;
};

// How closely to look at a server.
enum class Look {
    files,  // the data directory and whether a postmaster lives: at once, also when it hangs
    server  // also what the server says of itself: up to 2 s when it does not answer
};

struct LocalPostgres {
    DataDir data_dir = DataDir::empty;
    Server server = Server::stopped;
    bool in_recovery = true;          // running: pg_is_in_recovery(); else: standby.signal present
    bool unfinished_cluster = false;  // half_made by a bootstrap; its server may run
    bool standby_signal = false;
    bool backup_label = false;  // a copy that was never started: its end is not on disk yet
    std::string system_id;      // empty: unknown
    std::optional<ControlData> control;  // read when the server is not running (and when asked)
    int version = 0;                     // server_version_num, e.g. 150020; 0 unknown
    int data_version = 0;                // PG_VERSION's major, 0 unknown
    Timeline timeline = 0;  // primary: current; standby: of the last record received or replayed
    Lsn wal;                // primary: flush position
    Lsn receive, replay;    // standby; receive 0 when there is no receiver
    Lsn latest_end;         // standby: upstream's end as the receiver last heard
    std::string replication_state;  // "streaming", "in archive recovery", ""
    std::string upstream_host;      // live receiver's, else configured; empty: none
    int upstream_port = 0;
    std::string slot_name;
    std::optional<WallTime> replayed_at;
    bool replay_paused = false;
    std::string postmaster_start_time;  // "2026-01-02 03:04:05.987194+00:00"
    std::vector<Sender> senders;
    std::vector<Slot> slots;
    std::string sync_names;  // synchronous_standby_names, as a new session sees it
    bool receiving = false;  // standby: a walreceiver lives
    // Standby: position() is the end of all WAL that is here: it was received by this server, or
    // replay has come to the end and waits for more.
    bool received_all = false;
    // WAL that may have been acknowledged was thrown away here (rewind, copy), and the vote was not
    // given back since: durable, beside the data directory.
    bool voteless = false;
    // For which restore in place this member's old data was, or is being, set aside; empty: none.
    std::string aside_for;
    bool aside_done = false;
    bool gated = false;  // clients may be kept out since a start or promotion with hold_clients
    // Primary: transactions only read unless told otherwise, since the agent said so and not the
    // configuration.
    bool refuses_writes = false;
    bool pending_restart = false;
    std::map<std::string, PendingRestartReason> pending_restart_reason;
    bool checkpoint_after_promote = true;  // pg_control's timeline has caught up with the WAL's
    std::vector<HistoryLine> history;      // of the current timeline's history file (primary)
    std::string problem;  // for the operator: what could not be read, why it is hung

    bool primary() const { return server == Server::running && !in_recovery; }
    // Stopped (false while it runs), and by pg_control its server was a standby to the end: also
    // where a promotion removed standby.signal and ended before it began its timeline.
    bool stopped_in_recovery() const;
    // The furthest WAL this member holds, for comparing candidates.
    Lsn position() const;
};

}  // namespace relevo::cluster
