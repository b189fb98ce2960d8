// One member's mind: what it knows, what it believes it may do, what is under way.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "core/effect.h"
#include "core/event.h"
#include "core/quorum.h"

namespace relevo::core {

struct Running {
    EffectId id = 0;
    Effect effect;
    Instant since;
    std::uint64_t pg_changes = 0;  // State::pg_changes when it was issued
};

// The leader key as we hold it. Having it is not enough to serve: see State::lead_until.
struct Lead {
    cluster::Revision term = 0;
    Instant since;
};

// A timeline number that is ours to begin, under this term.
struct Grant {
    cluster::Timeline number = 0;
    cluster::Revision term = 0;
};

struct HeldLease {
    cluster::LeaseId id = 0;
    Instant asked_at;
    Instant until;  // asked_at + ttl: what nobody can take from us before
    std::chrono::seconds ttl{};
};

// Synchronous replication as the leader has it in hand (sync.cpp). Known anew under each term.
struct Syncing {
    cluster::Revision term = 0;
    // A write of the sync key whose outcome nobody knows, by the revision that it wanted to find:
    // it may still happen, until another write makes it void.
    std::optional<cluster::Revision> unsure;
    std::optional<quorum::Names> told;   // what PostgreSQL was told last, or is being told
    std::optional<cluster::Lsn> marker;  // walsenders that have sent this much go by `told`
    bool settled = false;                // every one of them does
    Instant began, told_at, settled_at;
    // The end of WAL as seen after that: whoever has flushed this holds all that was acknowledged
    // by earlier names.
    std::optional<cluster::Lsn> end;
    Instant tell_again_at, end_senders_at;
};

// How this member came to its verdict about rejoining a leader.
struct JudgedSource {
    cluster::Revision term = 0;  // of the leader it was compared with
    cluster::Divergence divergence;
    Instant at;
    bool at_its_end = false;  // of a standby that had replayed all it has and received no more
};

// The things that take several effects in a row and cannot be read off the facts.
struct Bootstrapping {
    enum class Stage {
        claim,
        clear,
        initialize,
        start,
        recover,
        roles,
        finish,
        undo,
        undo_files
    } stage = Stage::claim;
    std::string failure;
    bool unsure = false;          // the last write may have happened
    cluster::Revision claim = 0;  // of the initialize key as we put it
};
struct Quieting {       // before a primary is stopped on purpose (handover.cpp, quiet)
    EffectId hold = 0;  // since this effect the poolers' clients wait; 0: they do not
};
struct HandingOver {  // switchover, manual failover: the leader's side
    enum class Stage {
        validate,
        checkpoint,
        hold,
        stop,
        confirm,
        release,
        call_off
    } stage = Stage::validate;
    cluster::FailoverRequest request;
    Instant asked_at;   // when the looking for a candidate began
    EffectId hold = 0;  // since this effect the poolers' clients wait; 0: they do not
    Instant stopped_at;
    bool standby_made = false, seen = false;  // tried; seen stopped
    cluster::Lsn shutdown_lsn;
    std::string failure;
};
struct CrashFailover {  // the leader's PostgreSQL died and it is not to be restarted in place
    enum class Stage { fence, release } stage = Stage::fence;
    bool standby_made = false, candidate_known = false, candidate_found = false;
    bool tail_known = false;  // or that it cannot be told
    // Only since its disk has no room and another's has (disk.cpp); else it would start in place.
    bool for_room = false;
    // Of the handover that it ended in the midst of, and whose poolers' clients go on waiting.
    std::optional<cluster::FailoverRequest> request;
    EffectId hold = 0;
};
struct Restarting {
    enum class Stage { quiet, stop, start } stage = Stage::stop;
    Quieting quieting;
    OrderId order = 0;
    Duration timeout{};
    bool as_primary = false;  // what it was, running or stopped, when the order came
    bool ran = false;
};
struct Reinitializing {
    enum class Stage { stop, clone, start } stage = Stage::stop;
    OrderId order = 0;
    bool from_leader = false;
    std::string keep;  // by itself (rebuild.cpp), and ClonePg's; empty: an operator's order
};
struct Leaving {  // the agent stops
    enum class Stage { quiet, stop, release, say, gone } stage = Stage::stop;
    Quieting quieting;
    bool standby_made = false, seen = false;  // seen stopped
};
struct GivingWay {  // the leader stops for a restore in place (give_way.cpp)
    enum class Stage { quiet, stop, archive, release, call_off } stage = Stage::quiet;
    Quieting quieting;
    cluster::Revision record = 0;             // of the key `restore` for which it does so
    bool standby_made = false, seen = false;  // tried; seen stopped
    std::string failure;
};
struct Restoring {  // the member that restores in place (in_place.cpp)
    enum class Stage {
        grant,
        aside,
        make,
        start,
        recover,
        roles,
        finish,
        undo
    } stage = Stage::grant;
    cluster::Restoration record;  // as last read or written
    std::string failure;
    Instant again_at{};
    bool ends = false;  // the agent stops: it goes on with its next start
};
using Procedure = std::variant<std::monostate, Bootstrapping, HandingOver, CrashFailover,
                               Restarting, Reinitializing, Leaving, GivingWay, Restoring>;

// Rules, of docs/adr/0006 if nothing else is said, that only the core could leave out. Each holds,
// always: the simulator switches one off to show that it would notice (docs/adr/0008).
struct Rules {
    bool intersect = true;      // R0: votes and names have a member in common
    bool flushed = true;        // R2: voters hold what was acknowledged before they are written
    bool newer_seal = true;     // R5: a seal counts when it is not older than the sync key
    bool forward = true;        // R6: a view that is older than the last one changes nothing
    bool own_writes = true;     // R6, R12: nor is one decided on that lacks what we wrote
    bool fits = true;           // R16: a standby acknowledges nothing that its leader has not sent
    bool vote_read = true;      // R16: a vote comes back after a look at who leads
    bool roomier = true;        // 0018: a member whose disk is full is not handed over to
    bool leaves_full = true;    // 0018: nor does what ended on a full disk start there again
    bool cleaner = true;        // 0022: nor is one whose data is damaged, nor is it elected first
    bool leads_alone = true;    // nobody streams from a primary that does not lead
    bool old_stays_out = true;  // 0020: nobody leads with, or is, data from before a restore
    bool one_rebuilds = true;   // 0022: a damaged replica waits while another is made anew
    bool copies_left = true;    // 0022: nor is it made anew where no other copy would be left
};

struct State {
    Self self;
    Rules rules;
    cluster::Settings settings;

    // Known.
    std::shared_ptr<const cluster::Snapshot> dcs;  // null: no view, or dropped as too old
    std::map<cluster::MemberName, cluster::MemberRecord>
        known;                                          // everybody ever seen, as last seen
    std::shared_ptr<const cluster::Snapshot> last_led;  // the last view that had a leader
    std::optional<Instant> dcs_seen;                    // last successful read or watch event
    // The newest term in which the leader was seen to run as a primary, on a timeline that it told.
    cluster::Revision shown_term = 0;
    bool dcs_down = false;  // the last read failed
    std::optional<cluster::LocalPostgres> pg;
    Instant pg_seen, pg_asked;     // when the last look ended and began
    std::uint64_t pg_changes = 0;  // counts what made an earlier look worthless
    bool pg_stale = false;         // something happened since: look before deciding

    // Leadership.
    std::optional<HeldLease> lease;
    std::optional<Lead> lead;
    // Until when a running primary is tolerated without the key: what is left of an earlier right,
    // or the time to make good on one after the agent's start. A view that shows another leader
    // ends it at once.
    Instant right_until{};
    // A term whose release may have happened (its answer was lost): it is never served again, only
    // released.
    cluster::Revision given_up = 0;
    Instant release_again_at{}, confirm_again_at{};
    std::optional<Grant> grant;
    cluster::Timeline asked_timeline = 0;  // of the write that is under way
    cluster::Timeline taken_timeline = 0;  // PostgreSQL said that it has this one already
    Instant timeline_again_at{};
    cluster::Revision floor =
        0;  // our newest write that the view must show before it is judged again
    std::optional<Instant> floor_since;

    // The claim of a bootstrap that made everything but does not know whether it was written so.
    cluster::Revision unfinished_claim = 0;

    DiskSeen disk;                  // as last told
    CorruptionSeen corruption;      // as last told
    bool corruption_known = false;  // it was told
    ArchiveSeen archive;            // as last told
    // What the leader does about it: the handover that it asks for itself (spare.cpp), and writes
    // that are refused (disk.cpp).
    enum class SpareFor { room, clean };
    struct Spare {
        SpareFor what{};        // of the last one
        bool measured = false;  // `disk` is more than a guess
        // The last handover that it asked for; its revision is 0 while that is not known.
        std::optional<cluster::FailoverRequest> asked;
        bool begun = false;  // it is, or was, under way
        Instant asked_at{}, ask_again_at{}, gave_at{};
        Duration pause{};                         // after one that was called off
        std::set<cluster::MemberName> could_not;  // of whom it was called off
        Instant writes_again_at{};
        Instant stays_until{};  // what ends here starts here
    };
    Spare spare;
    Instant due_again_at{};  // a scheduled switchover's key (handover.cpp)

    // Local PostgreSQL.
    Instant killed_at{};    // what was begun before it is dead or will fail
    bool all_dead = false;  // every process of the server was ended by us, and none started since
    bool stop_wanted = false;            // the running stop or kill is ours: its exit is no crash
    bool crashed = false;                // the postmaster ended unasked
    Instant primary_since{};             // when it was first seen to be one, running
    bool was_primary = false;            // it accepted writes when last seen running
    cluster::Timeline led_timeline = 0;  // on which it did
    bool crash_recovered = false;        // single-user recovery was done in this outage
    int start_failures = 0;
    Instant
        hold_start_until{};  // after a demotion: wait for the next leader rather than start twice
    std::optional<cluster::Upstream> followed;
    bool started_by_us = false;         // this postmaster
    bool follow_known = false;          // followed says what the server was told last
    cluster::Revision followed_in = 0;  // the term in which it was found to fit (attach.cpp)
    cluster::Revision copying_in = 0;   // in which the last copy or rewind was begun
    cluster::Revision copied_in = 0;    // in which it was made from that term's leader
    Instant standby_started{};          // by us, when last
    // The last start: in which term, of data that was half way to that leader's (follow.cpp), and
    // whether we ended it because another leads.
    struct LastStart {
        cluster::Revision term = 0;
        bool half_way = false;
        bool ended = false;
    };
    LastStart last_start{};
    std::optional<JudgedSource> judged;
    bool compared_at_end = false;  // JudgedSource::at_its_end of the comparison that is under way
    bool check_divergence = false;
    Instant check_after{};
    Instant retry_clone_at{}, retry_start_at{}, standby_again_at{};
    bool rewind_failed = false;

    // What was asked of the leader since this member streams from it: its WAL's end.
    struct Joined {
        cluster::Revision term = 0;
        cluster::Lsn end;
        std::optional<Instant> reached;  // when that was seen to be here
    };
    std::optional<Joined> joined;
    Instant join_again_at{};

    // Synchronous replication: the leader's side, and a candidate's.
    Syncing syncing;
    // Without an upstream since it saw, at this revision, that nobody leads (seal.cpp); and since
    // then it is certain that no walreceiver lives.
    std::optional<cluster::Revision> cut, sealed;
    struct TakenOver {
        cluster::SyncState sync;          // as it was put with the leader key
        cluster::MemberName last_leader;  // as the sync key named it before
    };
    std::optional<TakenOver> taken_over;  // until the first settling of names under the new term

    Instant names_ready_again_at{}, sync_again_at{};
    std::optional<Instant> no_election_since;  // fewer voters stream from here than elect

    // Since this server became a primary, in synchronous mode: whether what it held then is
    // confirmed, so that clients may see it (admit.cpp).
    struct Admission {
        bool open = false;
        std::string server;               // which one: postmaster_start_time
        std::optional<cluster::Lsn> end;  // of its WAL, as seen after the start
        Instant since;                    // when it was first seen to be a primary
        std::string why;                  // it is not open yet; after a moment, for people
        Instant again_at{};
    };
    Admission admission;

    // The leader's side: where synchronous_commit is set lower than the cluster wants
    // (commits.cpp).
    struct Commits {
        std::vector<cluster::CommitSetting> lowered;
        Instant again_at{};
    };
    Commits commits;

    // Walsenders here whose standbys say that they do not stream, by the standby (senders.cpp).
    struct Doubted {
        std::map<cluster::MemberName, int> pids;  // since before the standbys were asked
        Instant again_at{};
    };
    Doubted doubted;

    // A leader that this member does not hear any more (suspect.cpp), and who else does not.
    struct Suspected {
        cluster::Revision term = 0;
        Instant since;
        bool alone = false;
        std::optional<PeerAnswers> answers;
        Instant ask_again_at{};
        // This agent has not slept in between: what it asked for earlier is worth nothing.
        Instant awake_since, stepped_at, asked_at{};
        Instant listens_until{};  // and is not told to anybody before
    };
    std::optional<Suspected> suspected;
    // Since it overslept: others may have deposed it meanwhile, and the DCS was not asked since.
    std::optional<Instant> doubts;
    Instant read_asked{};  // when the last successful look at the DCS began
    // The leader's side: until when its voters' word stands in for a lease that cannot be kept.
    LeaderBacked backed;
    // failsafe_mode: by the word of all members; and whom this member has given its own.
    struct Failsafe {
        cluster::Revision term = 0;
        Instant asked_at{}, until{}, ask_again_at{};
    };
    Failsafe failsafe;
    // As it was last written or tried: a write of unknown outcome may have named more members.
    std::map<cluster::MemberName, std::string> failsafe_tried;
    Instant failsafe_again_at{};
    struct Agreed {
        cluster::MemberName from;
        Instant until;
    };
    std::optional<Agreed> failsafe_ping;
    Instant started_at{};  // this agent's first step

    // The host's watchdog device (watchdog.cpp).
    struct Watchdog {
        std::optional<Duration> armed;  // it counts, with this timeout
        Duration asked{};               // what it was asked for
        Instant fed_at{};
        std::string problem;  // why there is none that works; empty: none known
        Instant again_at{};   // not armed again before
        Instant disarm_again_at{};
        bool inherited = true;  // one before us may have left it counting
    };
    Watchdog watchdog;
    // Whether a process of PostgreSQL may still write. A postmaster that ended by itself may have
    // left backends.
    enum class Writers { unknown, perhaps, none } writers = Writers::unknown;
    // A crashed leader: what it gives to the next one, for as long as nothing here has touched it.
    struct Tail {
        cluster::WalTail wal;
        cluster::Revision offered_in = 0;  // the term of the next one that is there
        Instant until{};                   // and that has had its time to ask by then
    };
    std::optional<Tail> tail;
    // Its successor: what it takes before it is promoted.
    struct TailWanted {
        cluster::MemberRecord member;
        cluster::WalTail tail;
        cluster::Lsn from, got;
        bool over = false;  // asked for
    };
    std::optional<TailWanted> tail_wanted;

    // Race.
    std::optional<PeerAnswers> race_answers;
    struct Rival {
        std::optional<Instant> heard;  // when its last answer came
        int silent = 0;                // questions since then
    };
    std::map<std::string, Rival> rivals;  // that were asked in this race
    Instant race_probe_at{};              // not before
    Instant no_race_until{};              // after a failed promotion
    // One was asked for and has neither happened nor ended with its server: it may happen yet.
    bool promotion_open = false;
    // The term that an operator named this member for: it is promoted in maintenance mode too.
    cluster::Revision leads_by_order = 0;
    // In maintenance mode, by a switchover, and has not run since: it comes back all the same.
    bool stopped_by_order = false;
    bool stops_to_hand_over = false;  // the running stop is a switchover's
    std::optional<Instant> unlocked_since;

    // What others see.
    std::optional<cluster::MemberRecord> published;
    // publish()'s working place: each step fills it anew, and its texts need no new memory.
    cluster::MemberRecord shown;
    Instant published_at{};
    std::optional<cluster::StatusKey> status_written;
    Instant status_at{}, slots_synced_at{};
    cluster::Role announced_role = cluster::Role::uninitialized;  // last callback
    bool started_announced = false;
    // The view and the look in which each of these was found as it should be. Nothing else bears on
    // them but settings and tags, so they are not worked out again in every step between.
    struct Fine {
        using At = std::optional<std::pair<cluster::Revision, Instant>>;
        At slots, history, names_ready, sync, senders;
    };
    Fine fine;
    std::map<std::string, Instant> slot_seen;  // slot name -> its member was last seen
    bool checkpoint_wanted = false;            // after a promotion
    Instant checkpoint_again_at{};

    // A restore in place that this member does not go on with.
    struct GivenUp {
        std::string id, why;
        Instant say_again_at{};
    };
    GivenUp restore_given_up;
    Instant aside_again_at{};  // a directory that could not be moved

    // A damaged replica that makes itself anew (rebuild.cpp). Until it stops its server for that it
    // is a member like any other; then the procedure is Reinitializing.
    struct Rebuilding {
        enum class Stage { idle, check, claim, leave, make, end } stage = Stage::idle;
        cluster::Rebuild claim;                       // as last written, or to be written
        std::optional<cluster::Rebuild::Try> before;  // this member's own entry until then
        bool stopped = false;                         // for that claim
        Instant claimed_at{}, again_at{}, write_at{};
        cluster::Revision word_of = 0;  // the leader says that its data is good: until then
        Instant word_until{};
        std::string why;  // it cannot begin, since when
        Instant why_since{};
    };
    Rebuilding rebuilding;
    // The leader: since when who has the turn is gone from the cluster.
    struct RebuildGone {
        cluster::Revision revision = 0;
        Instant since{}, write_at{};
    };
    RebuildGone rebuild_gone;

    Procedure procedure;
    std::string handover_failure;  // why the last switchover was called off
    bool stop_asked = false;
    std::optional<RestartAsked> restart_asked;
    std::optional<ReinitAsked> reinit_asked;
    // A voter that is to be made anew waits until the sync key does not name it (orders.cpp).
    std::optional<Instant> leaves_votes_since;
    std::vector<Running> running;
    Instant next_look{};
    Instant lease_retry_at{}, read_again_at{};
    EffectId last_id = 0;
    // topic -> last sentence, so that each is logged once
    std::map<std::string, std::string, std::less<>> said;
    bool exiting = false;
    // A member's address as it was last read out of its conn_url (follow.cpp).
    struct Address {
        std::string conn_url;
        bool with_slot = false;
        cluster::Upstream upstream;
    };
    Address address;

    // Until when this member may act as leader: its lease's end. The epoch when it is none.
    Instant lead_until() const;
};

struct Step {
    std::vector<Issued> effects;
    Instant wake_at;  // at the latest
};

// One step: learn the event, then decide on all that is known. Deterministic; touches nothing
// outside.
Step step(State& state, const Event& event, Now now);

// A planned switchover, restart or stop of the primary makes the poolers' clients wait: which
// effect asked for it, and how long a transaction may still take from then on. It ends with the
// procedure, however that ends, so nobody needs to be told to let them go on.
struct PoolersHeld {
    EffectId id = 0;
    Duration drain{};
};
std::optional<PoolersHeld> holds_poolers(const State& state);

// What the member shows of itself in the DCS and the API.
cluster::MemberRecord member_record(const State& state);
cluster::State shown_state(const State& state);
cluster::Role shown_role(const State& state);

// This leader asked for that handover itself, for State::spare.what.
bool asked_to_be_spared(const State& state, const cluster::FailoverRequest& request);

// The revision of PeerStatus::sealed, 0 when it may still receive.
cluster::Revision sealed_at(const State& state);

// Until when this leader serves by its lease or by its voters' word. The epoch: it does not.
Instant serves_until(const State& state);
// Until when its voters' word holds, with or without the key; no longer than until another leads.
Instant backed_until(const State& state);
// The same by the word of every member (failsafe_mode).
Instant failsafe_until(const State& state);
// Whom this member has promised to leave the lead to, without the DCS.
std::optional<cluster::MemberName> failsafe_leader(const State& state, Instant now);
// The earliest instant at which the device may reset the host. The end of time: never.
Instant watchdog_fires_at(const State& state);
// watchdog.mode is required and there is none that works: this member may not lead.
bool watchdog_failed(const State& state);
// Empty: this member agrees that `from` goes on as leader. Else why not.
std::string refuses_failsafe(const State& state, const cluster::MemberName& from);
// What is a primary here must not be seen yet, whatever the right to lead. Also true of a standby,
// which nobody has admitted anybody to as a primary.
bool keeps_clients_out(const State& state);
// Whether the sync key says who may lead.
bool sync_rules(const State& state);

// Who is listened to by this member, and whose silence it may judge: the leader of a cluster whose
// commits its voters confirm. nullptr: nobody.
const cluster::MemberRecord* listens_to(const State& state);
// The term of the leader that this voter follows; 0: none, or it does not hear it.
cluster::Revision follows_term(const State& state);
// The term of a leader that this member does not hear, as it tells whoever asks; 0: none. One that
// slept has not listened since: it tells nothing before it has. And until when that may be told
// without asking again: an agent that is awake goes on taking steps.
cluster::Revision suspects_term(const State& state, Instant now);
Instant suspects_until(const State& state);
// The leader's side: whether its lease is in doubt, so that its voters' word matters; and whether
// so many of them follow it that nobody can be elected without one of those.
bool wants_backing(const State& state, Instant now);
bool backed_by(const State& state, const std::set<cluster::MemberName>& followers);
// Whether the leader must show its life in the DCS too, since one voter alone may judge over it.
bool one_vote_is_enough(const State& state);

// How long before the lease's end a primary is stopped when it could not be renewed: killing takes
// up to 250 ms, the rest is for a scheduler that is late.
Duration fence_margin(const cluster::Settings& settings);

}  // namespace relevo::core
