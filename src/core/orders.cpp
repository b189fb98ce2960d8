// What an operator asked this member for through its API: restart and reinitialize.
#include <fmt/core.h>

#include "core/mind.h"

namespace relevo::core {

namespace {

void stop_to_restart(Mind& m, bool checkpoint_first) {
    m.s.stop_wanted = true;
    m.emit(StopPg{cluster::StopMode::fast, checkpoint_first, Duration{}, true});
}

}  // namespace

bool restart_order(Mind& m) {
    State& s = m.s;
    if (procedure<Restarting>(m)) return true;
    if (!s.restart_asked) return false;
    const RestartAsked asked = *s.restart_asked;
    s.restart_asked.reset();
    // What is refused takes nobody's turn: the round goes on.
    const auto refuse = [&](const std::string& why) {
        m.tell(Answer{asked.order, 503, why});
        return false;
    };
    if (!holds<std::monostate>(s.procedure) || m.pg_busy())
        return refuse("another action is already in progress");
    if (!asked.role.empty() && asked.role != to_string(shown_role(s)))
        return refuse("restart conditions are not satisfied: the role is " +
                      std::string(to_string(shown_role(s))));
    if (asked.restart_pending && !s.pg->pending_restart)
        return refuse("restart conditions are not satisfied: no restart is pending");
    if (asked.version_below && s.pg->version >= asked.version_below)
        return refuse("restart conditions are not satisfied: the version is not lower");
    if (s.pg->server == cluster::Server::starting) return refuse("PostgreSQL is still starting");
    Restarting p;
    p.order = asked.order;
    p.timeout = asked.timeout.value_or(s.settings.primary_start_timeout);
    p.as_primary = !s.pg->in_recovery;
    p.ran = s.pg->server != cluster::Server::stopped;
    m.tell(Note{Note::Level::info, "restarting PostgreSQL as asked"});
    if (begin_quiet(m))
        p.stage = Restarting::Stage::quiet;
    else
        stop_to_restart(m, true);
    s.procedure = p;
    return true;
}

namespace {

// A restart brings back what was there. Never a primary beside another one: in maintenance mode one
// that ran goes on, as it would have without the restart, but a stopped one is not made to run.
bool comes_back_as_primary(const Mind& m, const Restarting& p) {
    const State& s = m.s;
    if (!p.as_primary || s.pg->standby_signal || s.pg->stopped_in_recovery()) return false;
    if (!m.paused()) return m.may_lead() && !watchdog_failed(s);
    const bool other_leads = s.dcs && s.dcs->leader && s.dcs->leader->name != s.self.name;
    return p.ran || !other_leads;
}

}  // namespace

void restart_done(Mind& m, Restarting& p, const Effect& effect, const EffectDone& done) {
    State& s = m.s;
    if (p.stage == Restarting::Stage::quiet) {
        if (!quiet(m, p.quieting, effect, done)) return;
        p.stage = Restarting::Stage::stop;
        stop_to_restart(m, false);
    } else if (p.stage == Restarting::Stage::stop && holds<StopPg>(effect)) {
        if (done.error) {
            m.tell(Answer{p.order, 503, "restart failed: " + done.error->message});
            s.procedure = std::monostate{};
            return;
        }
        cluster::StartPlan plan;
        plan.as_primary = comes_back_as_primary(m, p);
        plan.callback_role = plan.as_primary ? cluster::Role::primary : cluster::Role::replica;
        plan.timeout = p.timeout;
        if (!plan.as_primary) {
            if (plan.timeout.count() == 0) plan.timeout = standby_start_timeout;
            if (p.ran || upstream_is_safe(m)) plan.upstream = upstream_at_start(m);
        }
        plan.hold_clients = plan.as_primary && needs_gate(m);
        note_followed(m, plan.upstream);
        s.follow_known = !plan.as_primary;
        p.stage = Restarting::Stage::start;
        m.emit(StartPg{plan, plan.as_primary && !m.paused() ? m.fence_at() : Instant::max()});
    } else if (p.stage == Restarting::Stage::start && holds<StartPg>(effect)) {
        if (!done.error)
            m.tell(Answer{p.order, 200, "restarted successfully"});
        else if (done.error->code == ErrorCode::outcome_unknown)
            m.tell(Answer{p.order, 503, "postgres is still starting"});
        else
            m.tell(Answer{p.order, 503, "restart failed: " + done.error->message});
        m.tell(Callback{"on_restart", shown_role(s)});
        s.procedure = std::monostate{};
    }
}

namespace {

// Another standby that votes, or will when this one does not.
bool another_votes(const Mind& m) {
    const auto& view = *m.view();
    return std::ranges::any_of(view.members, [&](const auto& entry) {
        const auto& [name, member] = entry;
        return name != m.s.self.name && !view.led_by(name) && member.running() &&
               member.replication_state == "streaming" && !member.leaves_votes &&
               !member.voteless && !member.tags.nosync() && !member.tags.nofailover();
    });
}

enum class Voter { is_none, waits, refused };

// What a voter holds may be the only copy of an acknowledged commit beside the leader's: it is
// thrown away only when the leader has seen that others have it, and the sync key says so.
Voter leave_votes(Mind& m, const ReinitAsked& asked, const cluster::MemberRecord& leader,
                  std::string& why) {
    State& s = m.s;
    const auto& view = *m.view();
    // Patroni's leader lets a standby go when it does not stream.
    if (!sync_rules(s) || !view.sync.names(s.self.name) || leader.relevo.empty())
        return Voter::is_none;
    if (!s.leaves_votes_since) {
        if (!asked.force && !another_votes(m)) {
            why = "no other standby could take over from " + leader.name +
                  " while I am copied, can not reinitialize; --force does it all the same";
            return Voter::refused;
        }
        s.leaves_votes_since = m.now.mono;
        m.tell(Note{Note::Level::info,
                    "asking " + leader.name + " to let this voter go before its data is removed"});
    }
    const Instant until = *s.leaves_votes_since + let_go_within;
    if (m.now.mono < until) {
        m.wake_by(until);
        return Voter::waits;
    }
    if (!asked.force) {
        why = fmt::format(
            "{} has not let this voter go within {} s: too few other standbys have "
            "what was acknowledged, can not reinitialize; --force does it all the "
            "same",
            leader.name, to_s(let_go_within));
        return Voter::refused;
    }
    m.tell(Note{Note::Level::warning,
                "still a voter, but told to (--force): until this member has caught up again it "
                "does not vote"});
    return Voter::is_none;
}

// Empty: it may.
std::string refuses_reinit(const Mind& m, const ReinitAsked& asked) {
    const State& s = m.s;
    if (m.leading() || s.pg->primary()) return "I am the leader, can not reinitialize";
    const auto* leader = primary_member(m);
    if (!m.view() || !leader) return "cluster has no leader, can not reinitialize";
    // The leader is the only other copy that is known to be good: it must be seen serving.
    if (leader->role != cluster::Role::primary || !leader->running())
        return "the leader " + leader->name + " does not run as a primary, can not reinitialize";
    if (!holds<std::monostate>(s.procedure)) return "another action already in progress";
    if (m.pg_busy() && !s.leaves_votes_since && !(asked.force && m.running<ClonePg>()))
        return "another action already in progress";
    return {};
}

}  // namespace

bool reinit_order(Mind& m) {
    State& s = m.s;
    if (procedure<Reinitializing>(m)) return true;
    if (!s.reinit_asked) return false;
    const ReinitAsked asked = *s.reinit_asked;
    if (m.awaits_own_write()) return false;
    auto why = refuses_reinit(m, asked);
    if (why.empty()) {
        const Voter voter = leave_votes(m, asked, *primary_member(m), why);
        // Meanwhile it is a member like any other, and its vote counts.
        if (voter == Voter::waits) return false;
        // What was begun while it waited comes to its end first.
        if (voter == Voter::is_none && s.leaves_votes_since && m.pg_busy()) return false;
    }
    s.reinit_asked.reset();
    s.leaves_votes_since.reset();
    if (!why.empty()) {
        m.tell(Answer{asked.order, 503, why});
        return false;
    }
    m.tell(Answer{asked.order, 200, "reinitialize started"});
    m.tell(Note{Note::Level::warning, "reinitializing as asked"});
    Reinitializing p;
    p.order = asked.order;
    p.from_leader = asked.from_leader;
    s.procedure = p;
    s.stop_wanted = true;
    m.emit(KillPg{});
    return true;
}

void reinit_done(Mind& m, Reinitializing& p, const Effect& effect, const EffectDone& done) {
    State& s = m.s;
    if (p.stage == Reinitializing::Stage::stop && holds<KillPg>(effect)) {
        const auto* leader = primary_member(m);
        const bool damaged_too = leader && leader->corrupted && !p.keep.empty();
        // Its own word on its data, not that of whoever led a moment ago.
        const bool another = !p.keep.empty() && s.rebuilding.word_of != term_of(s);
        if (done.error || !leader || s.stop_asked || damaged_too || another) {
            const std::string why = done.error     ? done.error->message
                                    : s.stop_asked ? "the agent was asked to stop"
                                    : damaged_too  ? "the leader's data is damaged too"
                                    : another      ? "another leads now"
                                                   : "no leader any more";
            m.tell(Note{Note::Level::error, "reinitialize given up: " + why});
            s.procedure = std::monostate{};
            rebuild_ended(m, why);
            return;
        }
        cluster::Upstream source{leader->name, leader->host(), leader->port(), {}};
        if (s.settings.use_slots) source.slot_name = cluster::slot_name(s.self.name);
        p.stage = Reinitializing::Stage::clone;
        if (const auto damaged = if_damaged(*leader); !damaged.empty())
            m.tell(Note{Note::Level::warning, "cloning anew from " + leader->name + damaged});
        m.emit(ClonePg{source, true, p.from_leader, p.keep});
    } else if (p.stage == Reinitializing::Stage::clone && holds<ClonePg>(effect)) {
        if (done.error) {
            s.procedure = std::monostate{};
            rebuild_ended(m, done.error->message);
            return;
        }
        // Part of the order: in maintenance mode nobody else would start it.
        p.stage = Reinitializing::Stage::start;
        cluster::StartPlan plan;
        plan.upstream = upstream_at_start(m);
        plan.timeout = standby_start_timeout;
        note_followed(m, plan.upstream);
        m.emit(StartPg{plan, Instant::max()});
    } else if (p.stage == Reinitializing::Stage::start && holds<StartPg>(effect)) {
        s.procedure = std::monostate{};
        // Not started in time is not failed: a copy may have much to replay.
        const bool failed = done.error && done.error->code != ErrorCode::outcome_unknown;
        rebuild_ended(m, failed ? "its copy does not start: " + done.error->message : "");
    }
}

}  // namespace relevo::core
