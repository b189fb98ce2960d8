// With synchronous replication nobody is elected before enough voters have stopped to receive the
// old primary's WAL: then no commit can be acknowledged there any more, wherever it is and whatever
// its agent does, and among those voters is one that holds every commit that was.
//
// A member cuts itself off when it sees that nobody leads, and streams again only from a leader
// whose key is newer than that. Every change of leader changes the sync key too, so a candidate
// whose transaction finds that key unchanged knows that no voter it counted has streamed since.
#include "core/mind.h"

namespace relevo::core {
namespace {
constexpr Duration look_again_after = std::chrono::milliseconds(10);
// A member without a vote that streams again.
constexpr Duration catches_up_within = std::chrono::milliseconds(200);
}  // namespace

cluster::Revision sealed_at(const State& s) { return s.sealed.value_or(0); }

bool seal(Mind& m) {
    State& s = m.s;
    const auto* view = m.view();
    const auto& pg = *s.pg;
    if (!view || view->leader || !sync_rules(s)) return false;
    // Nobody is elected in maintenance mode but whom an operator names.
    if (m.paused() && (!view->failover || view->failover->scheduled_at)) return false;
    // Somebody led and is gone again without having been seen here.
    if (s.cut && *s.cut < view->sync.mod_revision) {
        s.cut = view->revision;
        s.sealed.reset();
    }
    const bool cut = s.follow_known && !s.followed;
    if (!cut) {
        s.cut.reset();
        s.sealed.reset();
    }
    if (s.sealed || pg.server != cluster::Server::running || pg.primary()) return false;
    if (!cut) {
        if (m.now.mono < s.retry_start_at) {
            m.wake_by(s.retry_start_at);
            return false;
        }
        note_followed(m, std::nullopt);
        m.say("role", Note::Level::info, "nobody leads: not receiving WAL until somebody does");
        m.emit(FollowPg{std::nullopt});
        return true;
    }
    // Cut by this agent; which WAL there was to receive is known once the receiver is gone.
    if (!s.cut) s.cut = view->revision;
    if (!pg.receiving && pg.received_all) {
        s.sealed = s.cut;
        return false;
    }
    const Instant due = s.pg_seen + look_again_after;
    if (m.now.mono < due)
        m.wake_by(due);
    else if (!m.running<Observe>())
        m.emit(Observe{});
    return true;
}

// Its WAL was thrown away, and with it perhaps what it had acknowledged. It speaks for that again
// once it holds all that the leader had when it had joined.
void regain_vote(Mind& m) {
    State& s = m.s;
    const auto& pg = *s.pg;
    if (!pg.voteless || m.running<RestoreVote>() || pg.server != cluster::Server::running) return;
    const auto* view = m.view();
    if (!view || !view->leader) return;
    const auto again = [&] {
        if (m.now.mono < s.join_again_at) {
            m.wake_by(s.join_again_at);
            return false;
        }
        s.join_again_at = m.now.mono + std::chrono::seconds(1);
        return true;
    };
    if (pg.primary()) {  // what it has is the cluster's history now
        if (m.may_lead() && again()) m.emit(RestoreVote{});
        return;
    }
    const auto* leader = primary_member(m);
    const auto term = view->leader->create_revision;
    if (!leader || pg.replication_state != "streaming" || !s.follow_known ||
        pg.timeline != leader->timeline)
        return;
    if (!s.joined || s.joined->term != term) {
        if (!m.probing(ProbeFor::vote) && again())
            m.emit(ProbePeers{ProbeFor::vote, {{*leader, lost_peer_deadline}}});
        return;
    }
    if (pg.position() >= s.joined->end) {
        // Somebody else may lead by now, to whom this member has acknowledged what it then threw
        // away. Who still leads at a look that was begun since has all that it ever acknowledged.
        if (!s.joined->reached) s.joined->reached = m.now.mono;
        if (s.rules.vote_read && s.read_asked < *s.joined->reached) {
            if (!m.running<ReadDcs>() && !s.dcs_down) m.emit(ReadDcs{m.dcs_deadline()});
            return;
        }
        if (again()) m.emit(RestoreVote{});
        return;
    }
    // Until then a takeover would have to do without it: not only at the next full look.
    const Instant due = s.pg_seen + catches_up_within;
    if (m.now.mono < due)
        m.wake_by(due);
    else if (!m.running<Observe>())
        m.emit(Observe{});
}

}  // namespace relevo::core
