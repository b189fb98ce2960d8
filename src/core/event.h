// What can happen to a member: everything the core ever learns comes in as one of these.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "cluster/disk.h"
#include "cluster/peer.h"
#include "cluster/postgres_plan.h"
#include "cluster/postgres_state.h"
#include "cluster/settings.h"
#include "cluster/snapshot.h"

namespace relevo::core {

using EffectId = std::uint64_t;
using OrderId = std::uint64_t;

struct Now {
    Instant mono;   // decides
    WallTime wall;  // only for what people scheduled, and for what they read
};

// The local file's word on the host's watchdog device (contract 7.15).
struct WatchdogUse {
    enum class Mode { off, automatic, required } mode = Mode::off;
    // The device resets the host this much before the lease ends; negative: after half a ttl.
    std::chrono::seconds safety_margin{5};
    bool operator==(const WatchdogUse&) const = default;
};

// What this member says of itself: configuration, not knowledge.
struct Self {
    cluster::MemberName name;
    std::string conn_url, api_url, proxy_url;
    std::string version;         // compatible with Patroni's
    std::string relevo_version;  // ours
    cluster::Tags tags;
    bool may_bootstrap = false;  // the local file has a bootstrap section
    std::string
        initial_config;  // what goes to the config key of a new cluster, or when it is missing
    bool has_pre_promote = false;
    WatchdogUse watchdog;
    std::optional<cluster::ScheduledRestart>
        scheduled_restart;  // shown to others; the shell keeps the time
};

// The keys as read or as the watch tells them. An older revision than known is ignored.
struct DcsView {
    std::shared_ptr<const cluster::Snapshot> snapshot;
};
struct PostmasterExited {};
struct SelfChanged {
    Self self;
};
struct SettingsChanged {
    cluster::Settings settings;
};
struct TimerFired {};
// The shell was to wake the core this much earlier, and could not: the process or its host was
// frozen or suspended, or starved. Comes before whatever else there is.
struct Woke {
    Duration late{};
};
inline constexpr Duration overslept = std::chrono::seconds(1);
struct StopAsked {};  // SIGTERM

struct RestartAsked {
    OrderId order = 0;
    std::optional<Duration> timeout;  // for the start; primary_start_timeout unless given
    std::string role;                 // empty: any; else only when the role is this one
    bool restart_pending = false;     // only when a restart is pending
    int version_below = 0;            // only when the running version is lower; 0: any
};
struct ReinitAsked {
    OrderId order = 0;
    bool force = false, from_leader = false;
};

struct LeaseKept {
    Instant asked_at;  // before the request left: the lease lives at least until asked_at + ttl
    cluster::Lease lease;
};
// The device counts: without food it resets the host `timeout` after `at`, or a little later.
struct WatchdogFed {
    Duration timeout{};
    Instant at;  // before it was told
};
// What walsenders have sent of WAL from beyond this, they sent by the names that were set.
struct SyncNamesSet {
    cluster::Lsn marker;
};
struct CommitsAudited {
    std::vector<cluster::CommitSetting> settings;
};
// The shell listens to the leader and says when that changes (core/suspicion.h).
struct LeaderSuspected {
    cluster::Revision term = 0;
    bool suspected = false;
    bool alone = false;  // the DCS does not show a sign of its life either
    Duration silence{};  // for how long nothing was heard of it; only for the record
};
// Enough voters follow this leader that nobody can be elected without one of them; they are asked
// again long before `until`.
struct LeaderBacked {
    cluster::Revision term = 0;
    Instant until;
};
// How this member's disks stand, as the shell measures it: at first, and when that changes.
struct DiskSeen {
    cluster::DiskState state = cluster::DiskState::ok;
    std::string note;  // for people
};
// What this member's data is known to have become (docs/adr/0022); only when that changes.
struct CorruptionSeen {
    bool corrupted = false;
    std::string note;  // for people
    // All that was found may have come from the leader with its WAL, and would come again with a
    // copy: what amcheck finds tells nothing of this disk.
    bool perhaps_replicated = false;
};
// What the repository lacks of this primary's WAL (docs/adr/0015); only when that changes. It is
// published, and decides nothing.
struct ArchiveSeen {
    std::string note;  // for people; empty: nothing
};
// This member has agreed that `from` goes on as leader without the DCS.
struct FailsafePing {
    cluster::MemberName from;
    std::chrono::seconds ttl{};  // as the leader counts; 0: it did not say
};
// Up to where a crashed primary's WAL is in this standby's pg_wal.
struct TailTaken {
    cluster::Lsn end;
};
using PeerAnswers = std::map<cluster::MemberName, std::optional<cluster::PeerStatus>>;

using Payload = std::variant<std::monostate, cluster::TxnResult, LeaseKept, cluster::LocalPostgres,
                             cluster::Divergence, cluster::WalTail, PeerAnswers, SyncNamesSet,
                             TailTaken, WatchdogFed, CommitsAudited>;
struct EffectDone {
    EffectId id = 0;
    std::optional<Error> error;
    Payload payload;
};

using Event = std::variant<DcsView, PostmasterExited, SelfChanged, SettingsChanged, TimerFired,
                           StopAsked, RestartAsked, ReinitAsked, LeaderSuspected, LeaderBacked,
                           FailsafePing, Woke, EffectDone, DiskSeen, CorruptionSeen, ArchiveSeen>;

}  // namespace relevo::core
