// One PostgreSQL server and its data directory on this host. Real: postgres/. One thread: calls are
// made and callbacks run on the agent's io_context; what blocks goes to a thread pool inside.
// At most one of the long actions (start, stop, restart, promote, bootstrap, clone, rewind,
// crash_recover) runs at a time, except that kill() may always be called and makes the running one
// fail.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "cluster/commit_level.h"
#include "cluster/corruption.h"
#include "cluster/disk.h"
#include "cluster/peer.h"
#include "cluster/postgres_plan.h"
#include "cluster/postgres_state.h"
#include "cluster/restoration.h"
#include "ports/copy_source.h"
#include "ports/task.h"

namespace relevo::ports {

// Beside a directory whose content is not finished, <directory>.half_made says who is at it, or
// was. No server is started on one.
inline constexpr const char* half_made_suffix = ".half_made";

using cluster::Divergence;
using cluster::SlotPlan;
using cluster::StartPlan;
using cluster::StopMode;
using cluster::Upstream;

struct StopPlan {
    StopMode mode = StopMode::fast;
    bool checkpoint_first = false;
    // After this the next harder mode, at last SIGKILL for the whole process tree. 0: no
    // escalation.
    Duration escalate_after{};
    // Called once pg_control says "shut down" (its checkpoint is on disk and was sent to standbys,
    // while the postmaster may still be waiting for the archiver or walsenders). May be empty.
    std::function<void(cluster::ControlData)> on_shut_down;
};

struct ExitInfo {
    int pid = 0;
    Instant seen;
};

class Postgres {
public:
    virtual ~Postgres() = default;

    // What is there now. Never fails: what could not be learnt says so in the report. Bounded to
    // about 2 s; the data directory is only touched in the thread pool. Look::files asks no server:
    // a living one is shown as starting, in the role that its files give it.
    virtual Task<cluster::LocalPostgres> observe(cluster::Look look) = 0;

    // Fires once for each postmaster that ends, whoever ended it, within milliseconds (pidfd).
    virtual void on_exit(std::function<void(ExitInfo)> handler) = 0;

    // Returns ok when the server accepts connections (standby: also read-only ones, once
    // consistent), outcome_unknown when the timeout passed and it is still starting, failed when it
    // ended.
    virtual Task<Status> start(StartPlan plan) = 0;
    virtual Task<Status> stop(StopPlan plan) = 0;
    virtual Task<Status> restart(StopPlan stop, StartPlan start) = 0;
    // Fencing: SIGQUIT, and after 200 ms SIGKILL to whatever of the process group still lives. Does
    // not touch the disk before the processes are dead. Safe at any time, also when nothing runs.
    // Ok: no process of it lives, or it can only end yet, when a disk answers (os/doomed.h).
    virtual Task<Status> kill() = 0;

    // pre_promote hook is run by the caller. Ok when pg_is_in_recovery() is false.
    // Begins the timeline that the plan names, or ends with conflict, untouched, when this member
    // has already had one of that number.
    virtual Task<Status> promote(cluster::PromotePlan plan) = 0;
    virtual Task<Status> checkpoint() = 0;

    // Changes upstream (or removes it) on a running standby: by reload where the version allows it.
    // Returns at once when nothing changes.
    virtual Task<Status> follow(std::optional<Upstream> upstream, cluster::Role role) = 0;

    // initdb or the custom method, then config files; the server is left stopped. restore: instead,
    // what the record of a restore in place says, from the repository; the start that follows
    // recovers to its target, and begins its timeline or ends with an error.
    virtual Task<Status> bootstrap(std::optional<cluster::Restoration> restore) = 0;
    // After the first start as a primary: passwords, roles, post_bootstrap script.
    virtual Task<Status> post_bootstrap() = 0;

    // A copy of source into an empty data directory by the configured methods; the server is left
    // stopped. The old content, when there is some and replace_existing is set, is moved aside
    // first and removed only after success. progress is told about now and then. repository: where
    // the method `pgbackrest` gets a backup; null: there is none. It outlives the call.
    struct ClonePlan {
        std::optional<Upstream> source;  // absent: only methods that need no leader
        bool replace_existing = false;
        bool only_basebackup = false;
        std::function<void(const cluster::CopyProgress&)> progress;
        CopySource* repository = nullptr;
        // The old content is kept for good, as the data directory's name and this behind it
        // (cluster/rebuild.h), and no method works on it. Empty: it goes.
        std::string keep_as{};
    };
    virtual Task<Status> clone(ClonePlan plan) = 0;
    // Whether a clone could keep the old content: nothing is kept from earlier, and there is room
    // for two. It reads the whole directory's sizes. The error is for people.
    virtual Task<Status> check_rebuild(cluster::DiskSettings disk) = 0;
    virtual Task<Result<Divergence>> compare(const Upstream& source) = 0;
    // Crash-recovers and stops the server first where needed. Leaves the server stopped. A failure
    // after pg_rewind began leaves the data directory half_made.
    virtual Task<Status> rewind(const Upstream& source) = 0;
    virtual Task<Status> crash_recover() = 0;  // single-user mode

    // Renames the data directory away to <dir>.failed (an older .failed is removed first).
    virtual Task<Status> set_aside() = 0;
    // For a restore in place (docs/adr/0020): what stands in the data directory, and what its links
    // lead to, is kept beside it under a name that is the restore's own. Shown as
    // LocalPostgres::aside_for. Done already: nothing happens.
    virtual Task<Status> keep_aside(std::string id) = 0;
    // Back in its place. What stands there instead is removed where it is half made, and else kept.
    virtual Task<Status> put_back(std::string id) = 0;
    // Of a server that was stopped as a primary: WAL that still waits for the archive.
    virtual Task<Status> archive_rest() = 0;

    virtual Task<Status> sync_slots(SlotPlan plan) = 0;
    // Absent: the agent does not own the setting, the configured value holds. Durable, and told to
    // every process of the server when this returns; whether each has read it shows in
    // LocalPostgres::senders: one that has sent WAL from beyond the returned position has, and
    // handles no report of a standby by the older value any more.
    virtual Task<Result<cluster::Lsn>> set_synchronous_standby_names(
        std::optional<std::string> value) = 0;
    // Ends walsenders that could let a commit through and have not sent up to here (they hang on a
    // standby that does not take it).
    virtual Task<Status> end_walsenders(cluster::Lsn sent_below) = 0;
    // Ends this one, when it is still that standby's.
    virtual Task<Status> end_walsender(int pid, std::string application_name) = 0;
    // Every place where synchronous_commit is set for sessions to come: for roles and databases,
    // and for the server by the file that has the last word.
    virtual Task<Result<std::vector<cluster::CommitSetting>>> commit_settings() = 0;
    // Takes one of them back (RESET), whose can_be_reset() holds. Sessions that are open keep what
    // they began with, but for a server-wide one.
    virtual Task<Status> reset_commit_setting(cluster::CommitSetting setting) = 0;
    // On a primary: default_transaction_read_only for all sessions, present and future, while it is
    // on; the configuration's again when it is off. Ended by a start as a standby. On also ends the
    // transactions of ordinary users that have written and not begun to commit, also when it was on
    // already: those who set it off for their session. Ok: new transactions go by it.
    virtual Task<Status> refuse_writes(bool on) = 0;
    // docs/adr/0022. What is found in this data directory by now: the mark beside it, brought up to
    // the running server's counters, to its log and to the news, and durable when it changed.
    // Counts only while a server (12 or later) answers. News of other data than what stands there
    // now is dropped. Errors: what was found could not be read or written within a few seconds; the
    // next look finds it again. This and forget_corruption(): one at a time.
    struct CorruptionLook {
        cluster::Corruption mark;
        std::optional<std::vector<cluster::ChecksumCount>> counts;  // nothing: no server answered
    };
    virtual Task<Result<CorruptionLook>> look_for_corruption(cluster::CorruptionNews news) = 0;
    // Reads the tables and B-tree indexes of every database that has the extension amcheck, one
    // after the other over one connection, with as long a pause after each piece of work. Hours.
    // Ends with an error (unavailable) when the server does; may be cancelled at any time, which
    // ends its statement within a second or so. Callbacks run on the loop, during the call.
    struct AmcheckPlan {
        // databases, relations, left_out, damaged and now are up to date.
        std::function<void(const cluster::AmcheckRun&)> progress;
        std::function<void(cluster::CorruptionNews::Relation)> found;
    };
    virtual Task<Status> amcheck(AmcheckPlan plan) = 0;
    // An operator says that what was found is none. bootstrap() and clone() say so too, but for a
    // method of the user's that works on what was there (keep_data).
    virtual Task<Status> forget_corruption() = 0;
    // What these server processes (of clients) are doing, in their own words: the query of each
    // that is still there. Empty where it cannot be told.
    virtual Task<std::map<int, std::string>> queries_of(std::vector<int> pids) = 0;
    // What the archiver of a server that runs as a primary has done. Errors: it cannot be asked.
    virtual Task<Result<cluster::ArchiverState>> archiver() = 0;
    // clone() and rewind() make LocalPostgres::voteless true before they change anything; this ends
    // it.
    virtual Task<Status> restore_vote() = 0;
    // docs/adr/0009. Of a server whose processes are all dead: where the WAL of that timeline ends
    // on the disk, to the page. Its pages from `at` (their boundary) to there, up to
    // cluster::tail_piece_bytes; not_found: they are gone. Both give up after a second: a disk that
    // hangs must not hold an election up.
    virtual Task<Result<cluster::WalTail>> find_wal_end(cluster::Timeline timeline) = 0;
    virtual Task<Result<std::string>> read_wal_tail(cluster::Timeline timeline,
                                                    cluster::Lsn at) = 0;
    // Such pages into a standby's own pg_wal, durable, where replay finds them. `known`: up to
    // there it has WAL, which must be the same; conflict: it is not, or they are no pages from
    // there. Nothing is written then. The end of what is there afterwards.
    virtual Task<Result<cluster::Lsn>> write_wal_tail(cluster::Timeline timeline, cluster::Lsn at,
                                                      cluster::Lsn known, std::string pages) = 0;
    // Lets in whom a start or promotion with hold_clients keeps out. Nothing happens when nobody
    // is.
    virtual Task<Status> admit() = 0;
    // Clean stop or recovery: forces standby.signal to be there before anything else can start it.
    virtual Task<Status> make_standby_by_default() = 0;

    // The effective configuration changed (dynamic or local): writes the files when the server has
    // them, reloads when it runs, and finds out what waits for a restart. The adapter keeps the
    // settings.
    virtual Task<Status> reconfigure(bool force_reload) = 0;

    // Runs a configured command (callbacks); a new one ends a running one as the contract 7.14
    // says.
    virtual void run_callback(const std::string& action, cluster::Role role) = 0;
    // Waits for the callbacks that run, no longer than this; then ends them.
    virtual Task<void> finish_callbacks(Duration within) = 0;
    virtual Task<Status> run_hook(const std::string& which) = 0;  // "pre_promote", "before_stop"
};

}  // namespace relevo::ports
