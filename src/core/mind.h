// Inside the core only: one step's working place, and the questions that `decide` asks in order.
// Each question lives in its own file; it returns true when it has settled what happens now.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cluster/keys.h"
#include "core/state.h"

namespace relevo::core {

class Mind {
public:
    Mind(State& state, Now time, Step& step) : s(state), now(time), step_(step) {}

    State& s;
    const Now now;

    EffectId emit(Effect effect);  // with an answer to come
    void tell(Effect effect);      // without one
    void commit(CommitFor purpose, cluster::Txn txn);
    // Logs the sentence once until the topic's sentence changes. forget: the next one is new again.
    void say(std::string_view topic, Note::Level level, std::string text);
    void forget(std::string_view topic) {
        if (const auto at = s.said.find(topic); at != s.said.end()) s.said.erase(at);
    }
    // A time that has passed was looked at in this very step; what waits then waits for an effect's
    // end.
    void wake_by(Instant at) {
        if (at > now.mono) step_.wake_at = std::min(step_.wake_at, at);
    }

    template <class E>
    const E* running() const {
        for (const Running& r : s.running)
            if (const E* e = std::get_if<E>(&r.effect)) return e;
        return nullptr;
    }
    bool committing(CommitFor purpose) const;
    bool probing(ProbeFor purpose) const;
    // Of a server that nothing is known of the files come first: one that hangs keeps the other
    // look waiting, and a primary that is not ours to run must be stopped before that.
    Observe next_look() const { return {s.pg ? cluster::Look::server : cluster::Look::files}; }
    bool pg_busy() const;  // something is under way that changes the server or its data

    // The view, when there is one that is worth deciding on: read or watched within ttl, and not
    // older than our own newest write.
    const cluster::Snapshot* view() const;
    // There is none only because the watch has yet to show our own write: it is awaited, with the
    // alarm that is due when it does not.
    bool awaits_own_write();
    // What State::Fine goes by.
    std::pair<cluster::Revision, Instant> known(const cluster::Snapshot& view) const {
        return {view.revision, s.pg_seen};
    }
    bool leading() const { return s.lead.has_value(); }
    // The right to act as leader, with the margin that stopping a server needs.
    Instant fence_at() const;
    bool given_up() const { return leading() && s.lead->term == s.given_up; }
    bool may_lead() const { return leading() && now.mono < fence_at(); }
    bool paused() const { return s.settings.pause; }
    Duration dcs_deadline() const { return s.settings.retry_timeout; }
    cluster::MemberName me() const { return s.self.name; }

private:
    Step& step_;
};

// learn.cpp: the event changes what is known.
void learn(Mind& m, const Event& event);

// look.cpp
void look(Mind& m);           // periodic: PostgreSQL, lease, DCS
bool wrong_cluster(Mind& m);  // system identifier differs
// lead.cpp
bool serves_as_primary(const Mind& m);    // it accepts writes, or is about to
bool fence(Mind& m);                      // a primary without the right to be one is killed
bool lead(Mind& m);                       // we hold the key
bool comes_up_as_primary(const Mind& m);  // stopped, without a standby.signal
bool demoted(Mind& m);                    // stopped server of a former primary: standby by default
void make_standby(Mind& m);               // a while later where it just failed
// watchdog.cpp
Instant watchdog_feed_before(const State& s, Duration timeout);
void watchdog(Mind& m);           // feed it, or lay it to rest
bool watchdog_stands(Mind& m);    // a primary may be made; else it is being armed, or never will
bool watchdog_gives_up(Mind& m);  // required, and it does not work: the lead goes back
// timeline.cpp: the number of the timeline that a promotion begins
cluster::keys::TimelineGrant next_timeline(Mind& m);
void learn_grant(Mind& m);       // from the view
bool timeline_granted(Mind& m);  // else it is asked for, or waited for
void tell_line(Mind& m);         // the leader: which timeline it writes
cluster::keys::TimelineGrant line_as_written(Mind& m);
// Where data of a timeline stands to what the last leader wrote. Numbers alone do not order: a
// member that left the cluster's line may have a higher one.
enum class LineRank { left, behind, on_it, beyond };
LineRank line_rank(const State& s, cluster::Timeline timeline);
// procedures
bool unfinished_cluster(Mind& m);  // bootstrap.cpp
bool bootstrap(Mind& m);           // bootstrap.cpp
bool in_place(Mind& m);            // in_place.cpp: a restore in place of the cluster's data
bool give_way(Mind& m);            // give_way.cpp: the leader stops for one
bool hand_over(Mind& m);           // handover.cpp
// handover.cpp: it came to nothing, and the request goes with it.
void not_handed_over(Mind& m, const cluster::FailoverRequest& request, const std::string& why);
bool crash_failover(Mind& m);       // crash.cpp
void fail_over(Mind& m);            // crash.cpp: it begins, also out of a handover
void end_remains(Mind& m);          // tail.cpp: backends outlive their postmaster
bool recover_in_place(Mind& m);     // crash.cpp
bool can_fail_over(const Mind& m);  // crash.cpp: rather than wait for our own server
bool restart_order(Mind& m);        // orders.cpp
bool reinit_order(Mind& m);         // orders.cpp
// From the member's key to the leader, which changes names and waits for flushes first.
inline constexpr Duration let_go_within = std::chrono::seconds(5);
// rebuild.cpp: a damaged replica makes itself anew. True: its server is being stopped for it.
bool rebuild(Mind& m);
void rebuild_checked(Mind& m, const EffectDone& done);
void rebuild_claimed(Mind& m, const EffectDone& done);
void rebuild_answered(Mind& m, const PeerAnswers& answers);
void rebuild_ended(Mind& m, const std::string& why);  // empty: it is made anew
void rebuild_end_written(Mind& m, const EffectDone& done);
bool leave(Mind& m);  // leave.cpp
// sync.cpp: synchronous replication
void keep_sync(Mind& m);  // the leader: the sync key and synchronous_standby_names
bool may_lead_by_sync(const State& s, std::string_view name);  // leader or voter of the key
void keep_names_ready(Mind& m);  // a standby: as it would be promoted with
// For a promotion: names that keep what the key promises. nullopt: not in sync mode. (A start in
// place goes on with those that it had: the key may have been changed by a write whose answer is
// still to come, and they hold with both.)
std::optional<std::string> names_to_lead_with(const State& s);
void tell_waits(Mind& m);         // sync_waits.cpp: the leader, of commits that nobody can confirm
void end_stale_senders(Mind& m);  // senders.cpp: whose standby waits for its slot
void keep_commits(Mind& m);       // commits.cpp: the leader, of synchronous_commit set too low
// admit.cpp: what a new primary holds is confirmed before anybody sees it
void admit(Mind& m);
bool needs_gate(const Mind& m);  // of a start or promotion that is about to be
// spare.cpp: a leader whose disk is nearly full, or whose data is damaged, hands over by itself
void spare_this_member(Mind& m);
void spare_begins(Mind& m, const cluster::FailoverRequest& request);
void spare_given(Mind& m, const cluster::FailoverRequest& request, bool given);
void spare_called_off(Mind& m, const cluster::FailoverRequest& request);
void handover_asked(Mind& m, const EffectDone& done);
// The best that it could hand over to for want of room; nullptr: nobody.
const cluster::MemberRecord* with_room(const Mind& m);
// Why not this candidate, by its own word; empty: neither its disk nor its data is a reason.
std::string not_spared_by(const Mind& m, const cluster::FailoverRequest& request,
                          const std::string& name, const cluster::PeerStatus& peer);
// The same by its key, before anything is stopped.
std::string no_spare_any_more(const Mind& m, const cluster::FailoverRequest& request);
// What stopped here would start on a full disk, if at all, and another member has room.
bool leaves_for_room(const Mind& m);
void stays_for_now(State& s, Instant now);
bool roomier(const State& s, const cluster::PeerStatus& peer);  // than this member, which is full
// Between two that may both lead and have just as much: this one goes first, whose data is not
// damaged as ours is, or who has room. And the other way about.
bool sounder(const State& s, const cluster::PeerStatus& peer);
bool less_sound(const State& s, const cluster::PeerStatus& peer);
// disk.cpp: a disk that fills
bool in_hold(const State& s);      // its disk is nearly full, or takes no writes at all
bool disk_failed(const State& s);  // the latter
const char* disk_trouble(const State& s);
void keep_writes(Mind& m);  // the leader: refused while there is no room, and let in again
// suspect.cpp
void notice_sleep(Mind& m);  // first of all: a suspicion is of a moment ago
void depose(Mind& m);        // voters that hear nothing of the leader do not wait for its lease
bool was_deposed(const State& s);  // this member, by its voters, and nobody has led since
// failsafe.cpp
void ask_failsafe(Mind& m);  // the leader, when the DCS does not answer
// tail.cpp: what a crashed primary wrote last (docs/adr/0009)
bool tail_found(Mind& m, CrashFailover& p);  // the old leader: true: known, or not to be had
bool keeps_tail(Mind& m, const cluster::MemberRecord& leader);  // starts nothing for a while
void remember_tail(Mind& m);  // the winner of a race: who has one for it
bool tail_taken(Mind& m);     // true: it may be promoted
void tell_tail(Mind& m);      // it was
// seal.cpp
bool seal(Mind& m);         // nobody leads: this member's WAL must not grow any more
void regain_vote(Mind& m);  // after a rewind or copy
// race.cpp
bool race(Mind& m);  // the key is free
// attach.cpp: whom a standby may stream from. Its word lets commits through there (R16).
enum class Fit {
    yes,
    cut,      // what it receives now is another's
    wait,     // for the end of what it has
    compare,  // with the leader's history
};
Fit fit_for(const Mind& m, const cluster::Upstream& upstream);
// With a start: nobody where what it holds is only known once it runs.
std::optional<cluster::Upstream> upstream_at_start(const Mind& m);
// PostgreSQL is being told so.
void note_followed(Mind& m, const std::optional<cluster::Upstream>& upstream);
cluster::Revision term_of(const State& s);  // of who leads in the view; 0: nobody
// A standby that receives nothing and has replayed all it has.
bool at_its_end(const State& s);
void cut_off(Mind& m);           // from whomever it streams
void look_for_the_end(Mind& m);  // of what it has
// follow.cpp
const cluster::Divergence* verdict(const Mind& m);  // about the present leader; nullptr: none
bool fits(const Mind& m);                           // by that
bool fill_data_directory(Mind& m);                  // empty or half made: clone
bool start_stopped(Mind& m);  // rejoin: crash recovery, compare, rewind, start
bool follow(Mind& m);         // a running standby
// handover.cpp
// in_place.cpp
// Why nobody, or not this member, may take the leader key; empty: a restore in place is no reason.
std::string held_by_restore(const State& s);
// Another's data is the restored cluster's, as far as it shows: it may be cloned or streamed from.
bool is_of_restored(const State& s, const cluster::MemberRecord& member);
// This member does not go on with it, and writes so until it is read.
void give_up_restore(Mind& m, const cluster::Restoration& record, std::string why);
bool given_up_restore(const State& s, const cluster::Restoration& record);
void cancel_given_up(Mind& m, const cluster::Restoration& record);
// Before a primary is stopped on purpose: a checkpoint, so that the stop is short, then the poolers
// hold their clients. begin_quiet: false, there are no clients to think of. quiet is told of each
// effect that ended, and true when the stop may come.
bool begin_quiet(Mind& m);
bool quiet(Mind& m, Quieting& q, const Effect& effect, const EffectDone& done);
// publish.cpp
void publish(Mind& m);                         // member key
void keep_house(Mind& m);                      // status, history, slots, config: the leader's keys
cluster::StatusKey status_now(const Mind& m);  // of a running primary
void announce(Mind& m);                        // callbacks

// Shared judgements.
// A standby may need long, or for ever, to become consistent (its WAL is elsewhere): after this it
// is looked at again and again instead of being waited for, so that a better upstream or a repair
// stays possible.
inline constexpr Duration standby_start_timeout = std::chrono::seconds(10);
// What this member has was compared, and is another history under the leader's number.
bool known_twin(const State& s);
// A standby that is not open yet may be given its upstream: it cannot end between two histories.
bool may_be_half_way(const cluster::LocalPostgres& pg);
void end_half_way_start(Mind& m);
bool upstream_is_safe(const Mind& m);
std::optional<cluster::Upstream> upstream_for(const Mind& m);
// What a note says of a source whose data is known to be damaged (docs/adr/0022); else nothing.
std::string if_damaged(const cluster::MemberRecord& source);
const cluster::MemberRecord* primary_member(
    const Mind& m);  // the leader's record, when it runs as primary
bool same_text(const std::optional<cluster::MemberRecord>& a, const cluster::MemberRecord& b);
template <class T>
T* procedure(Mind& m) {
    return std::get_if<T>(&m.s.procedure);
}
// How long a probe of a peer may take: one that still has its key is alive, and worth waiting for;
// one whose key is gone is most likely dead, and must not hold up an election (measured: 2 s in
// Patroni).
inline constexpr Duration alive_peer_deadline = std::chrono::milliseconds(1000);
inline constexpr Duration lost_peer_deadline = std::chrono::milliseconds(250);

}  // namespace relevo::core
