// What the core wants done. The shell does it with real parts, the simulator with its own, and each
// answers with EffectDone (but for those marked: no answer). Effects may run side by side; what
// must follow another waits for its answer.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/variant.h"
#include "core/event.h"

namespace relevo::core {

struct ReadDcs {  // a linearizable look; the DcsView comes before the answer
    Duration deadline;
};
struct KeepLease {  // LeaseKept
    std::chrono::seconds ttl{};
    Duration deadline;
};

enum class CommitFor {
    acquire,
    depose,
    timeline,
    rewrite_leader,
    release,
    member,
    status,
    sync,
    remove_sync,
    history,
    failsafe,
    config,
    claim_initialize,
    put_initialize,
    cancel_initialize,
    finish_bootstrap,
    clear_failover,
    ask_handover,
    failover_due,
    give_way,  // a restore in place: keys.h, in this order
    grant_restore,
    finish_restore,
    cancel_restore,
    claim_rebuild,  // rebuild.cpp
    end_rebuild,
};
struct Commit {  // TxnResult; refused by the shell, with cancelled, once not_after has passed
    CommitFor purpose{};
    cluster::Txn txn;
    Instant not_after;
    Duration deadline;
};

struct Observe {  // LocalPostgres
    cluster::Look look = cluster::Look::server;
};
struct StartPg {
    cluster::StartPlan plan;
    Instant not_after;  // a primary is never started once the right to lead has run out
};
struct StopPg {
    cluster::StopMode mode = cluster::StopMode::fast;
    bool checkpoint_first = false;
    Duration escalate_after{};
    bool run_before_stop = false;
};
struct KillPg {};
struct MakeStandby {};
struct PromotePg {
    Instant not_after;
    cluster::PromotePlan plan;
    bool run_pre_promote = false;
};
struct FollowPg {
    std::optional<cluster::Upstream> upstream;
};
// A new cluster; or, in its place, what the record of a restore in place says.
struct BootstrapPg {
    std::optional<cluster::Restoration> restore{};
};
struct PostBootstrapPg {};
struct ClonePg {
    std::optional<cluster::Upstream> source;
    bool replace_existing = false;
    bool only_basebackup = false;
    std::string keep{};  // the old data is kept for good, under this behind its own name
};
struct ComparePg {  // Divergence
    cluster::Upstream source;
};
struct RewindPg {
    cluster::Upstream source;
};
struct CrashRecoverPg {};
struct CheckpointPg {
    // First give back what is kept for the way out of a full disk (docs/adr/0018): this checkpoint,
    // and the one at the stop that it is for, PANIC without room.
    bool make_way = false;
};
// Of a primary. On: transactions can only read unless their session says otherwise, and those of
// ordinary users that have written are ended, each time that it is asked for.
struct RefuseWrites {
    bool on = false;
};
// What stands in the data directory. keep: for that restore in place, until the operator removes
// it; done already: nothing happens. Empty: only until the next time.
struct SetAsidePg {
    std::string keep{};
};
struct SyncSlots {
    cluster::SlotPlan plan;
};

// synchronous_standby_names (SyncNamesSet; on a standby, for its promotion, without a marker).
// absent: as the user configured it.
struct SetSyncNames {
    std::optional<std::string> names;
};
struct EndSenders {  // that have not sent this much
    cluster::Lsn sent_below;
};
struct EndSender {  // one whose standby is gone; nothing, when the process is another's by now
    int pid = 0;
    std::string application_name;
};
// Where synchronous_commit is set for sessions to come (CommitsAudited); and one of those places
// taken back.
struct AuditCommits {};
struct ResetCommit {
    cluster::CommitSetting setting;
};
struct RestoreVote {};
// What a start or promotion with hold_clients kept out is let in.
struct AdmitPg {};

// docs/adr/0009. Where the WAL of this dead server ends on the disk (WalTail).
struct FindWalEnd {
    cluster::Timeline timeline = 0;
};
// From `at`, which this standby has, to the tail's end, out of that member's hands into its own
// pg_wal. TailTaken also beside an error: what came before it is there.
struct TakeTail {
    cluster::MemberRecord member;
    cluster::WalTail tail;
    cluster::Lsn at;
    Duration deadline{};
};

enum class ProbeFor { race, handover, crash, vote, suspicion, sender, rebuild };
struct ProbePeers {  // PeerAnswers: everyone asked is in it, nullopt for no answer
    struct Peer {
        cluster::MemberRecord member;
        Duration deadline;
    };
    ProbeFor purpose{};
    std::vector<Peer> peers;
};

// failsafe_mode: whether all of these agree that this leader goes on without the DCS. No payload;
// the error says who does not.
struct AskFailsafe {
    std::vector<cluster::MemberRecord> members;
    std::map<std::string, cluster::Lsn> slots;  // for their own copies of these
    std::chrono::seconds ttl{};                 // for which they leave the lead to this member
    Duration deadline{};
};

// Clients of the poolers wait from now on: State says so as long as it is wanted (holds_poolers),
// and this is answered when every pooler that listens says that no transaction is under way any
// more, or `drain` is over. Error: conflict, one has a transaction that does not end, and the
// message names it. A pooler that does not answer is no error. No payload.
struct HoldPoolers {
    Duration drain{};
};

// What SetAsidePg kept for that restore, back in its place.
struct PutBackPg {
    std::string id;
};
// Of a server that was stopped as a primary: WAL that still waits for the archive.
struct ArchiveRestPg {};

// The host's watchdog device (ports/watchdog.h).
struct ArmWatchdog {  // WatchdogFed
    Duration timeout{};
    Instant not_after;  // later it would reset the host only after the right to lead has ended
};
struct FeedWatchdog {  // WatchdogFed
    Instant not_after;
};
struct DisarmWatchdog {};  // also what an agent before us left counting
struct CheckWatchdog {};   // whether it could be armed, as far as that shows without doing it

// Whether this member could be made anew beside its old data: nothing is kept there from an earlier
// time, and there is room for two. No payload; the error says why not.
struct CheckRebuild {};

// No answer to these.
struct Callback {
    std::string action;
    cluster::Role role{};
};
struct Answer {
    OrderId order = 0;
    int code = 200;
    std::string text;
};
struct Note {
    enum class Level { info, warning, error } level = Level::info;
    std::string text;
    std::string topic = {};  // what it is about; empty: nothing that anybody asks for later
};
struct Exit {
    int code = 0;
    std::string text;
};

using Effect =
    std::variant<ReadDcs, KeepLease, Commit, Observe, StartPg, StopPg, KillPg, MakeStandby,
                 PromotePg, FollowPg, BootstrapPg, PostBootstrapPg, ClonePg, ComparePg, RewindPg,
                 CrashRecoverPg, CheckpointPg, SetAsidePg, SyncSlots, SetSyncNames, EndSenders,
                 EndSender, AuditCommits, ResetCommit, RestoreVote, AdmitPg, FindWalEnd, TakeTail,
                 ProbePeers, AskFailsafe, ArmWatchdog, FeedWatchdog, DisarmWatchdog, CheckWatchdog,
                 Callback, Answer, Note, Exit, HoldPoolers, RefuseWrites, PutBackPg, ArchiveRestPg,
                 CheckRebuild>;

bool is_watchdog(const Effect& effect);  // one of the four for the device

struct Issued {
    EffectId id = 0;  // 0: no answer is expected
    Effect effect;
};

std::string describe(const Effect& effect);  // one line for traces
std::string describe(const Event& event);

}  // namespace relevo::core
