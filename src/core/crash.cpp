// The leader's PostgreSQL died or hangs while the key is ours: start it again in place, or give the
// key to a replica that can take it.
#include <fmt/core.h>

#include "core/mind.h"

namespace relevo::core {
namespace {

std::vector<ProbePeers::Peer> others(const Mind& m) {
    std::vector<ProbePeers::Peer> peers;
    if (!m.s.dcs) return peers;
    for (const auto& [name, member] : m.s.dcs->members)
        if (name != m.s.self.name && !member.api_url.empty() &&
            (sync_rules(m.s) ? m.s.dcs->sync.names(name) : !member.tags.nofailover()))
            peers.push_back({member, alive_peer_deadline});
    return peers;
}

// As a primary only what was one; a standby that holds the key starts as such and is promoted, or
// it would write on a timeline that is another's. So is one whose promotion was cut short after
// its signal file was gone.
void start_in_place(Mind& m, Duration timeout) {
    State& s = m.s;
    cluster::StartPlan plan;
    plan.as_primary = !s.pg->standby_signal && !s.pg->stopped_in_recovery();
    plan.callback_role = plan.as_primary ? cluster::Role::primary : cluster::Role::replica;
    plan.timeout = timeout;
    plan.hold_clients = plan.as_primary && needs_gate(m);
    s.followed.reset();
    s.follow_known = true;
    m.emit(StartPg{plan, plan.as_primary ? m.fence_at() : Instant::max()});
}

// Whatever else its end was, this member's own server is not to be waited for.
bool gives_up_on_it(const State& s) {
    return s.pg->server == cluster::Server::hung || s.start_failures > 0 ||
           s.settings.primary_start_timeout.count() == 0 ||
           (disk_failed(s) && s.settings.disk.switchover);
}

// Where nobody could take over.
constexpr Duration ask_again_after = std::chrono::seconds(1);

// What waits for a disk that takes no writes is not waited for: a standby.signal that comes late is
// as good as one in time, and a stop is overtaken by the kill.
bool busy(const Mind& m) {
    const bool waits_for_it = m.running<MakeStandby>() || m.running<StopPg>();
    if (!disk_failed(m.s) || !waits_for_it) return m.pg_busy();
    return m.running<KillPg>() || m.running<StartPg>();
}

// Asynchronous standbys may lack what was acknowledged last: whoever would wait for this server
// must be able to have it from here.
bool keeps_all(const State& s) { return sync_rules(s) || s.tail; }

}  // namespace

bool can_fail_over(const Mind& m) {
    const State& s = m.s;
    if (m.paused() || !s.dcs || others(m).empty()) return false;
    return gives_up_on_it(s) || leaves_for_room(m);
}

void fail_over(Mind& m) {
    CrashFailover p;
    p.for_room = !gives_up_on_it(m.s);
    if (const auto* handing = procedure<HandingOver>(m)) {
        p.request = handing->request;
        p.hold = handing->hold;
        p.standby_made = handing->standby_made;
    }
    m.s.procedure = std::move(p);
}

bool recover_in_place(Mind& m) {
    State& s = m.s;
    const auto& pg = *s.pg;
    if (m.paused()) {
        // Hands off: the operator stopped it, or will start it. The key must not name a dead
        // server.
        if (!s.promotion_open && !m.committing(CommitFor::release))
            m.commit(CommitFor::release, cluster::keys::release_leader(s.lead->term, std::nullopt));
        return true;
    }
    // One round after the other is of no use on a disk that takes no writes.
    if (disk_failed(s) && m.now.mono < s.spare.stays_until) {
        m.wake_by(s.spare.stays_until);
        return true;
    }
    if (can_fail_over(m)) {
        fail_over(m);
        return crash_failover(m);
    }
    if (pg.server == cluster::Server::hung) {
        s.stop_wanted = true;
        m.emit(KillPg{});
        return true;
    }
    if (!m.may_lead()) {
        // The key may be another's by now, and nobody can be asked: whoever starts this server past
        // us shall find a standby.
        if (pg.server == cluster::Server::stopped && m.now.mono >= s.lead_until()) {
            s.lead.reset();
            return false;
        }
        m.wake_by(s.lead_until());
        return true;
    }
    if (s.start_failures > 0 && m.now.mono < s.retry_start_at) {
        m.wake_by(s.retry_start_at);
        return true;
    }
    if (!watchdog_stands(m)) return true;
    m.tell(Note{Note::Level::warning,
                "starting PostgreSQL again in place, the leader key is still ours", "crash"});
    start_in_place(m, s.settings.primary_start_timeout);
    return true;
}

bool crash_failover(Mind& m) {
    State& s = m.s;
    auto* p = procedure<CrashFailover>(m);
    if (!p) return false;
    // The key went by itself: nothing left to give. Or an operator has the say now.
    if (!s.lead || m.paused()) {
        s.procedure = std::monostate{};
        return false;
    }
    if (p->stage == CrashFailover::Stage::fence) {
        // Side by side: nothing of the dead server may live on; who could take over?
        if (!m.running<ProbePeers>() && !p->candidate_known)
            m.emit(ProbePeers{ProbeFor::crash, others(m)});
        if (busy(m)) return true;
        if (!s.all_dead) {
            s.stop_wanted = true;
            m.emit(KillPg{});
            return true;
        }
        const bool found = tail_found(m, *p);
        if (!p->candidate_known || (p->for_room && !found)) return true;
        if (p->for_room && (!p->candidate_found || !keeps_all(s))) {
            stays_for_now(s, m.now.mono);
            if (p->request) not_handed_over(m, *p->request, "no member with room can take over");
            s.procedure = std::monostate{};
            return recover_in_place(m);
        }
        if (!p->candidate_found) {
            if (p->request) not_handed_over(m, *p->request, "no member can take over");
            if (disk_failed(s)) s.spare.stays_until = m.now.mono + ask_again_after;
            s.procedure = std::monostate{};
            s.start_failures = 0;
            if (!m.may_lead() || !watchdog_stands(m)) return true;
            m.tell(Note{Note::Level::warning,
                        "no replica can take over: starting PostgreSQL in place", "crash"});
            // However long it takes: nobody else can, and to begin anew would only take longer.
            start_in_place(m, {});
            return true;
        }
        // A disk that takes no writes may never answer. Once it does, this is the first thing that
        // is written there (demoted), before this agent starts any server.
        if (!p->standby_made && !disk_failed(s)) {
            make_standby(m);
            return true;
        }
        if (!found) return true;
        p->stage = CrashFailover::Stage::release;
        s.hold_start_until = m.now.mono + s.settings.loop_wait;
        if (in_hold(s)) s.spare.gave_at = m.now.mono;
        m.tell(Note{Note::Level::warning,
                    fmt::format("releasing the leader key: PostgreSQL is dead{}{}, a replica takes "
                                "over",
                                p->for_room ? " and " : "", p->for_room ? disk_trouble(s) : ""),
                    "crash"});
        m.commit(CommitFor::release, cluster::keys::release_leader(s.lead->term, std::nullopt));
    }
    return true;
}

}  // namespace relevo::core
