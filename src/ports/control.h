// What the REST API (and signals) may ask of the agent. Real: agent/. A fake of it serves rest's
// tests. One thread: everything on the agent's io_context.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "cluster/backup.h"
#include "cluster/backup_job.h"
#include "cluster/backup_proof.h"
#include "cluster/corruption.h"
#include "cluster/disk.h"
#include "cluster/peer.h"
#include "cluster/postgres_state.h"
#include "cluster/recovery_target.h"
#include "cluster/settings.h"
#include "cluster/snapshot.h"
#include "cluster/stream.h"
#include "ports/task.h"

namespace relevo::ports {

// All that the GET endpoints show, as of one moment; replaced as a whole whenever something
// changes.
struct View {
    std::string scope, name;
    cluster::LocalPostgres postgres;
    cluster::State state = cluster::State::unknown;
    cluster::Role role = cluster::Role::uninitialized;
    std::shared_ptr<const cluster::Snapshot> snapshot;  // null: no view of the DCS
    cluster::Settings settings;
    cluster::Tags tags;
    std::optional<WallTime> dcs_last_seen;
    // The right to serve as leader, until when (0: none). A leader in doubt is no leader: compare
    // with the clock at the moment of answering. Also false at once when PostgreSQL is known dead.
    Instant lead_until{};
    bool leading = false;                     // holds the key as last seen
    cluster::Revision term = 0;               // of that key; 0: none
    std::optional<cluster::PoolerHold> hold;  // a planned switchover wants clients to wait
    // As a primary its PostgreSQL must not be read yet, whatever the right to lead (docs/adr/0014).
    // And why, when that lasts.
    bool keeps_clients_out = false;
    std::string admission;
    std::vector<cluster::CommitSetting> lowered_commits;  // below what the cluster wants
    bool failsafe_active = false;
    bool watchdog_failed = false;
    cluster::Revision sealed = 0, suspects = 0;  // cluster::PeerStatus has what they mean
    Instant suspects_until{};  // an agent that slept since suspects nobody before it has listened
    std::optional<cluster::WalTail> tail;
    std::shared_ptr<const cluster::DiskReport> disk;  // null: not measured yet
    std::optional<cluster::CopyProgress> copy;        // while this member's data is copied
    std::optional<cluster::ArchiveStatus> archive;    // a primary's, with a `backup` section
    std::optional<cluster::BackupTimes> backups;      // a leader's, as it last saw the repository
    std::shared_ptr<const std::vector<cluster::ProofRecord>> proofs;  // null: no `backup` section
    std::shared_ptr<const cluster::CorruptionReport> corruption;      // null: not looked yet
    std::optional<cluster::ScheduledRestart> scheduled_restart;
    Instant next_look{};  // when the next full look is due (liveness)
    bool lock_valid(Instant now) const { return leading && now < lead_until; }
    cluster::Revision suspects_at(Instant now) const { return now < suspects_until ? suspects : 0; }
};

struct Reply {
    int code = 200;    // HTTP status
    std::string text;  // plain text, or JSON where the contract says so
};

struct SwitchoverOrder {
    bool failover = false;  // POST /failover
    std::string leader, candidate;
    std::optional<WallTime> scheduled_at;
    std::string scheduled_at_text;
};

struct BackupOrder {
    cluster::JobWhat what = cluster::JobWhat::full;
    bool dry_run = false;  // of expire: only say what would go
    bool cancel = false;   // of a proof: end the one that goes on
};

struct RestoreOrder {
    cluster::RecoveryTarget target;
    std::optional<std::string> backup;  // a label; absent: the newest that reaches the target
    std::string into;                   // on the member's host; empty: it is only planned
    bool in_place = false;              // instead: the cluster's own data
    bool dry_run = false;               // planned, and looked at whether it could be done
};

struct RestartOrder {
    std::optional<WallTime> schedule;
    std::string schedule_text;
    std::string role, postgres_version;
    bool restart_pending = false;
    std::optional<Duration> timeout;
};

class Control {
public:
    virtual ~Control() = default;
    virtual std::shared_ptr<const View> view() const = 0;  // cheap; never null
    // The same with PostgreSQL looked at for this call: positions are compared by whoever asks (a
    // race, a switchover, a lag limit), and the last regular look may be loop_wait old. Bounded by
    // observe()'s 2 s.
    virtual Task<std::shared_ptr<const View>> fresh_view() = 0;
    virtual Instant now() const = 0;
    virtual WallTime wall() const = 0;

    // A fresh, linearizable look (GET /cluster, /config, /history).
    virtual Task<Result<cluster::Snapshot>> fresh_snapshot() = 0;

    // The orders below have been checked for form by the API; the agent checks feasibility and
    // answers with the contract's codes (5.7) and a sentence.
    virtual Task<Reply> switchover(SwitchoverOrder order) = 0;
    virtual Task<Reply> cancel_switchover() = 0;
    virtual Task<Reply> restart(RestartOrder order) = 0;
    virtual Task<Reply> cancel_restart() = 0;
    virtual Task<Reply> reinitialize(bool force, bool from_leader) = 0;
    // An operator's word that this member's data is good (docs/adr/0022): 200, 404 nothing was
    // found, 503 it cannot be written.
    virtual Task<Reply> forget_corruption() = 0;
    // A look through this member's own data, now: 202 it begins, 409 it may not (one goes on, this
    // member leads, its server does not run). end: 200, 404 none goes on.
    virtual Reply start_amcheck() = 0;
    virtual Reply end_amcheck() = 0;
    virtual Task<Reply> patch_config(std::string patch_json) = 0;
    virtual Task<Reply> put_config(std::string json) = 0;
    virtual Task<Reply> reload() = 0;
    virtual Task<Reply> failsafe(std::string body_json) = 0;
    // A member that listens to this one, ten times a second: answered from memory.
    virtual Reply pulse(const cluster::Pulse& from) = 0;
    // Resumes when view() was replaced, or after at_most. False: no view follows any more.
    virtual Task<bool> view_changed(Duration at_most) = 0;
    // A gateway is there, and what it has to say.
    virtual void gateway(const cluster::GatewayReport& report) = 0;
    // What a crashed primary wrote last (docs/adr/0009): whole pages. not_found: it is not on
    // offer, or not any more; denied: by the proof; conflict: who asks has another history; failed:
    // the disk.
    virtual Task<Result<std::string>> wal_tail(cluster::TailAsk ask) = 0;
    // A backup, or retention, now (docs/adr/0016): 202 with the job as JSON, 409 while one is
    // active. And the schedule with the job as JSON.
    virtual Task<Reply> start_backup(BackupOrder order) = 0;
    virtual Task<Reply> backup_schedule() = 0;
    // What came of the proofs of restore, as JSON: {"cluster", "now", "proofs": [...]}.
    virtual Task<Reply> backup_proofs() = 0;
    // What the backup repository holds (docs/adr/0015-backups.md). invalid: this member has no
    // `backup` section; other errors: as ports/backup.h has them. May take a minute.
    virtual Task<Result<cluster::Repository>> backups() = 0;
    // Whether WAL reaches the repository from here. 200, or why not.
    virtual Task<Reply> check_backups() = 0;
    // A restore from the repository into a directory of its own on this host, beside whatever goes
    // on (docs/adr/0020-restore.md). 200 with the plan as JSON (it was only planned), 202 with the
    // state as JSON; 404 no `backup` section, 409 one goes on already, or the directory will not
    // do, 412 with the plan: the target cannot be reached. 503: the repository does not answer.
    virtual Task<Reply> restore(RestoreOrder order) = 0;
    // In place: 202 the record is written, and this member restores; 409: why it does not.
    // The one that goes on or was the last: JSON, with "in_place" where there is a record of one.
    // cancel: of the one into a directory, else of the one in place; 200 it is ended, 404 there is
    // none.
    virtual Reply restore_state() const = 0;
    virtual Task<Reply> cancel_restore() = 0;
    // The newest `limit` entries of the journal after that sequence (cluster/journal.h).
    virtual std::string journal(std::uint64_t since, std::size_t limit) const = 0;
};

}  // namespace relevo::ports
