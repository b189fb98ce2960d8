// Holding the leader key: serving under it, and stopping in time when it is gone.
#include <fmt/core.h>

#include "base/text.h"
#include "core/mind.h"

namespace relevo::core {
namespace {

// pg_ctl's own patience. Replaying what is left may take a while; the lease goes on being kept
// meanwhile.
constexpr Duration promote_within = std::chrono::seconds(60);

// The lead is ours but PostgreSQL is still in recovery: promote, unless that just failed.
bool promote(Mind& m) {
    State& s = m.s;
    // It waits for its disk, say. Whoever leads next would find a second primary when that answers.
    if (s.promotion_open) {
        if (m.paused()) return true;  // nothing is stopped now: the key is kept as long
        // Then it counts as one that could not be started: others go first.
        s.start_failures = std::max(s.start_failures, 1);
        m.say("promote", Note::Level::warning,
              "ending PostgreSQL: it was told to promote itself and may do so yet");
        s.stop_wanted = true;
        m.emit(KillPg{});
        return true;
    }
    if (m.now.mono < s.no_race_until) {
        m.say("promote", Note::Level::warning, "giving the leader key back: the promotion failed");
        if (!m.committing(CommitFor::release))
            m.commit(CommitFor::release, cluster::keys::release_leader(s.lead->term, std::nullopt));
        return true;
    }
    if (s.settings.standby_cluster) {
        m.say("promote", Note::Level::error,
              "not promoting: standby_cluster is set, which is not implemented yet");
        return true;
    }
    if (!m.may_lead()) return true;
    const bool stands = watchdog_stands(m);  // asked for side by side
    if (!timeline_granted(m) || !stands) return true;
    if (!tail_taken(m)) return true;
    if (m.running<SetSyncNames>()) return true;  // those of a standby; they must not come last
    if (m.running<AdmitPg>()) return true;       // the same: a standby's clients
    m.tell(Note{Note::Level::info, "promoting: the leader key is ours"});
    // Should it end over this: asynchronous members that are not on it lack what only this one has.
    if (!sync_rules(s)) s.led_timeline = s.pg->timeline;
    s.syncing = {};  // it begins by the names that it is promoted with
    m.emit(PromotePg{
        m.fence_at(),
        {s.pg->timeline, s.grant->number, promote_within, names_to_lead_with(s), needs_gate(m)},
        s.self.has_pre_promote});
    return true;
}

}  // namespace

bool serves_as_primary(const Mind& m) {
    const auto& pg = *m.s.pg;
    if (pg.server != cluster::Server::stopped && (!pg.in_recovery || m.s.promotion_open))
        return true;
    return std::ranges::any_of(m.s.running, [&](const Running& r) {
        const auto* start = std::get_if<StartPg>(&r.effect);
        const bool becomes = (start && start->plan.as_primary) || holds<PromotePg>(r.effect);
        return becomes && r.since >= m.s.killed_at;
    });
}

// Before the DCS was seen nothing is known against a primary.
bool comes_up_as_primary(const Mind& m) {
    const auto& pg = *m.s.pg;
    return m.s.dcs && pg.server == cluster::Server::stopped &&
           pg.data_dir == cluster::DataDir::initialized && !pg.standby_signal;
}

namespace {

// A server that ran before us on data of another cluster: a mistake in the configuration, and not
// ours to stop. wrong_cluster() says so and ends.
bool anothers(const State& s) {
    return !s.started_by_us && s.dcs && s.dcs->initialized() && !s.pg->system_id.empty() &&
           *s.dcs->initialize != s.pg->system_id;
}

}  // namespace

// While enough voters follow this primary nobody can be elected without one of them, and nothing
// that it acknowledges can be lost: the DCS, or the key, may be away for as long as that. One
// that was elected meanwhile ends it at once.
Instant backed_until(const State& s) {
    if (!sync_rules(s) || !s.last_led || s.last_led->leader->name != s.self.name) return Instant{};
    const auto term = s.last_led->leader->create_revision;
    return s.backed.term == term && term != s.given_up ? s.backed.until : Instant{};
}

namespace {

// Nobody leads now, and by the sync key another did after this primary: it can never go on.
bool replaced(const Mind& m) {
    const State& s = m.s;
    const auto* view = m.view();
    return view && !view->leader && sync_rules(s) && !view->sync.unreadable &&
           !iequals(view->sync.leader, s.self.name) && !m.committing(CommitFor::acquire);
}

}  // namespace

bool fence(Mind& m) {
    State& s = m.s;
    if (anothers(s) && !m.running<StartPg>()) return false;
    if (m.paused() || !serves_as_primary(m) || m.running<KillPg>())
        return m.running<KillPg>() != nullptr;
    if (holds<Bootstrapping>(s.procedure) || holds<Restoring>(s.procedure)) return false;
    const bool view_is_older = s.lead && s.dcs && s.dcs->revision < s.lead->term;
    const bool other_leads =
        s.dcs && s.dcs->leader && s.dcs->leader->name != s.self.name && !view_is_older;
    const bool was_replaced = !other_leads && !m.leading() && replaced(m);
    if (!other_leads && !was_replaced) {
        if (!s.dcs) return false;  // just started: nothing is known against this primary
        if (m.may_lead()) return false;
        const Instant until = std::max({s.right_until, backed_until(s), failsafe_until(s)});
        if (m.now.mono < until) {
            m.wake_by(until);
            return false;
        }
    }
    m.say("fence", Note::Level::error,
          other_leads
              ? fmt::format("stopping PostgreSQL at once: {} is the leader", s.dcs->leader->name)
          : was_replaced
              ? fmt::format("stopping PostgreSQL at once: {} has led since", s.dcs->sync.leader)
              : std::string("stopping PostgreSQL at once: the leader key could not be kept"));
    s.stop_wanted = true;
    // Also when the DCS cannot be asked: what is stopped now is made a standby by default. A view
    // that shows the key to be ours all the same brings the lead back.
    s.lead.reset();
    s.procedure = std::monostate{};
    s.hold_start_until = m.now.mono + s.settings.loop_wait;
    m.emit(KillPg{});
    return true;
}

bool lead(Mind& m) {
    State& s = m.s;
    if (!m.leading()) return false;
    const auto& pg = *s.pg;
    if (m.given_up()) {
        if (m.committing(CommitFor::release)) return true;
        if (m.now.mono < s.release_again_at)
            m.wake_by(s.release_again_at);
        else
            m.commit(CommitFor::release, cluster::keys::release_leader(s.lead->term, std::nullopt));
        return true;
    }
    if (pg.data_dir != cluster::DataDir::initialized) {
        m.say("lead", Note::Level::error,
              "giving the leader key back: the data directory is missing or unreadable");
        if (!m.committing(CommitFor::release))
            m.commit(CommitFor::release, cluster::keys::release_leader(s.lead->term, std::nullopt));
        return true;
    }
    if (pg.server == cluster::Server::stopped) return recover_in_place(m);
    if (pg.server == cluster::Server::hung) {
        m.say("hung", Note::Level::error, "PostgreSQL lives but does not answer: " + pg.problem);
        return recover_in_place(m);
    }
    // Longer than primary_start_timeout, or by itself on a full disk, where it would only end
    // again: better a replica that can serve now.
    if (pg.server == cluster::Server::starting && (s.start_failures > 0 || leaves_for_room(m)) &&
        can_fail_over(m))
        return recover_in_place(m);
    if (pg.server != cluster::Server::running) return true;
    if (m.paused()) {
        // A replica may hold the key in pause only when asked to; it is neither promoted nor
        // demoted.
        const bool asked = s.leads_by_order == s.lead->term;
        // A promotion that may still happen would find another in the lead.
        const bool taking = m.committing(CommitFor::acquire);  // and for whom, its answer tells
        if (!pg.primary() && !asked && !taking && !s.promotion_open &&
            !m.committing(CommitFor::release))
            m.commit(CommitFor::release, cluster::keys::release_leader(s.lead->term, std::nullopt));
        if (!pg.primary() && asked) return promote(m);
        return true;
    }
    if (!pg.primary()) return promote(m);
    (void)watchdog_stands(m);
    tell_tail(m);
    m.say("role", Note::Level::info, fmt::format("I am {}, the leader with the lock", s.self.name));
    m.forget("fence");
    m.forget("promote");
    s.follow_known = false;
    s.judged.reset();
    return true;
}

// A server that stopped while it was not ours to lead must not come up as a primary by itself:
// whoever starts it (systemd, an operator) gets a standby.
bool demoted(Mind& m) {
    const bool hands_off = m.paused() && !m.s.stopped_by_order;
    if (hands_off || m.leading() || !comes_up_as_primary(m)) return false;
    make_standby(m);
    return true;
}

// A disk that is full stays so for a while.
void make_standby(Mind& m) {
    if (m.running<MakeStandby>()) return;
    if (m.now.mono < m.s.standby_again_at) return m.wake_by(m.s.standby_again_at);
    m.emit(MakeStandby{});
}

}  // namespace relevo::core
