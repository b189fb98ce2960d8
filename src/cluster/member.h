// One member as it shows itself in members/<name>: what the others and the operator know of it.
// Source: Patroni contract 4.2; the JSON text is Patroni's own spelling.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "cluster/disk.h"
#include "cluster/lsn.h"
#include "cluster/tree.h"

namespace relevo::cluster {

using MemberName = std::string;

// What we publish as `version`: Patroni's agents read the behaviour of a member from it
// (contract 4.9).
inline constexpr const char* compatible_version = "4.1.4";

enum class Role { primary, replica, standby_leader, demoted, uninitialized, promoted };
const char* to_string(Role role);
std::optional<Role> parse_role(std::string_view text);  // "master" is primary

enum class State {
    initdb,
    initdb_failed,
    custom_bootstrap,
    custom_bootstrap_failed,
    creating_replica,
    running,
    starting,
    bootstrap_starting,
    start_failed,
    restarting,
    restart_failed,
    stopping,
    stopped,
    stop_failed,
    crashed,
    unknown,
};
const char* to_string(
    State state);  // "initializing new cluster", "running", "creating replica", ...
std::optional<State> parse_state(std::string_view text);
int metric_number(State state);  // patroni_postgres_state: 0..14, -1 unknown

// A tag's value as the YAML or JSON had it: text form plus whether it was a string (needed to write
// it back as it was: true, 3, "x").
struct TagValue {
    std::string json;  // its JSON text: true, 1, "x", {"a":1}
    bool operator==(const TagValue&) const = default;
};

struct Tags {
    std::map<std::string, TagValue> published;  // exactly what stands under "tags"
    bool operator==(const Tags&) const = default;

    bool flag(std::string_view name) const;  // true/on/yes/1 in Patroni's sense
    std::optional<std::string> text(
        std::string_view name) const;  // a string's content, else its JSON
    bool nofailover() const;           // nofailover, or failover_priority <= 0
    int failover_priority() const;     // 1 unless tagged; 0 when nofailover
    bool nosync() const;
    int sync_priority() const;
    bool noloadbalance() const { return flag("noloadbalance"); }
    bool clonefrom() const { return flag("clonefrom"); }
    bool nostream() const { return flag("nostream"); }
    std::string replicatefrom() const;  // empty: none
};

struct PendingRestartReason {
    std::string old_value, new_value;
    bool operator==(const PendingRestartReason&) const = default;
};

struct ScheduledRestart {
    std::string schedule;  // ISO text as given
    std::string postmaster_start_time;
    std::string role, postgres_version, timeout;  // empty: not limited
    bool restart_pending = false;
    bool operator==(const ScheduledRestart&) const = default;
};

// A crashed primary's WAL, which its agent gives to the successor (docs/adr/0009). It ends in the
// page before `end`: which record is the last, replay finds out.
struct WalTail {
    Timeline timeline = 0;
    Lsn end;
    bool operator==(const WalTail&) const = default;
};

struct MemberRecord {
    MemberName name;       // from the key, not in the JSON
    std::string conn_url;  // postgres://host:port/db
    std::string api_url;   // http://host:port/patroni
    std::string proxy_url;
    State state = State::unknown;
    std::string state_text;  // as read, when it is none of ours
    Role role = Role::uninitialized;
    std::string version;  // Patroni-compatible dotted integers
    std::string relevo;   // ours: product version; empty for Patroni's own agents
    std::optional<bool> checkpoint_after_promote;  // only ever false
    Tags tags;
    bool pending_restart = false;
    std::map<std::string, PendingRestartReason> pending_restart_reason;
    std::optional<Lsn> xlog_location, replay_lsn, receive_lsn;
    std::string replication_state;  // "streaming", "in archive recovery", ""
    Timeline timeline = 0;
    std::optional<ScheduledRestart> scheduled_restart;
    bool pause = false;
    std::string admission;            // ours: why a primary lets no client in yet; empty: it does
    std::optional<WalTail> wal_tail;  // ours: it was the primary, is dead, and gives this away
    bool restores_in_place = false;   // ours: its agent goes by the key `restore`
    // Ours: it is about to throw its data away, and asks not to be a voter.
    bool leaves_votes = false;
    // Ours: its data was copied or rewound and has not caught up since. As a voter it would only
    // stand in the way of the others.
    bool voteless = false;
    // Ours: how its disks stand, and while they do not stand well what to do, for people.
    DiskState disk = DiskState::ok;
    std::string disk_note;
    bool refuses_writes = false;  // a primary, because of that
    // Ours: its data is known to be damaged (docs/adr/0022), and what to do, for people.
    bool corrupted = false;
    std::string corruption_note;
    std::string archive_note;     // ours: what the repository lacks of a primary's WAL; for people
    std::string lowered_commits;  // ours: where synchronous_commit is set too low; for people
    LeaseId lease = 0;            // of the key, as read; not in the JSON
    Revision mod_revision = 0;    // of the key, as read; not in the JSON
    bool operator==(const MemberRecord&) const = default;

    std::string host() const;  // of conn_url; empty when it cannot be read
    int port() const;          // of conn_url, 5432 when it has none
    bool running() const { return state == State::running; }
};

std::string to_json(const MemberRecord& member);  // compact, keys in Patroni's order
Result<MemberRecord> parse_member(MemberName name, std::string_view text);

// The slot that a member uses on its upstream (contract 4.8).
std::string slot_name(std::string_view member_name);

}  // namespace relevo::cluster
