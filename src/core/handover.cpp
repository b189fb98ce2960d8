// Switchover and manual failover, the leader's side (failover.md section 6): find a candidate that
// can take over, checkpoint while still serving, let the poolers hold their clients, stop, see the
// candidate hold the shutdown record, release the key. When the candidate cannot confirm in time
// the old leader starts again: never a half-way house.
#include <fmt/core.h>

#include <utility>

#include "core/mind.h"

namespace relevo::core {
namespace {

// From the stop to the candidate's confirmation: a fast shutdown waits for the walsenders, so the
// record is normally there before the postmaster has ended. A candidate that needs longer is not
// fit to take over.
constexpr Duration confirm_within = std::chrono::milliseconds(1500);
// The shutdown record, with a page header in its way. Nothing is written behind it.
constexpr std::uint64_t shutdown_record_max = 16384;
// A transaction that takes longer than this after the poolers were held calls the switchover off:
// everybody else waits for it, and a pause of seconds is an outage to them.
constexpr Duration pooler_drain = std::chrono::milliseconds(2000);
constexpr Duration confirm_again_after = std::chrono::milliseconds(30);
// One answer that was lost, a standby that is being restarted or catches up, is no reason to refuse
// an operator what is possible a moment later. Nothing waits meanwhile but he.
constexpr Duration validate_within = std::chrono::milliseconds(1500);
constexpr Duration validate_again_after = std::chrono::milliseconds(100);
// A scheduled request whose time has come is written anew, where that failed.
constexpr Duration due_again_after = std::chrono::milliseconds(500);

bool is_candidate(const Mind& m, const cluster::MemberRecord& member,
                  const cluster::FailoverRequest& request) {
    if (member.name == m.s.self.name || member.api_url.empty() || member.tags.nofailover())
        return false;
    // An operator's failover goes before the votes; a switchover does not.
    const bool by_order = request.leader.empty() && !request.member.empty();
    if (!by_order && !may_lead_by_sync(m.s, member.name)) return false;
    return request.member.empty() || request.member == member.name;
}

// Who must agree, besides the candidates (synchronous_mode: quorum).
bool is_voter(const Mind& m, const cluster::MemberName& name) {
    return sync_rules(m.s) && m.s.dcs->sync.quorum > 0 && m.s.dcs->sync.names(name);
}

// Fewer than it takes to elect a leader: the key would be given away for nobody to take.
bool too_few_votes(const Mind& m, const cluster::FailoverRequest& request,
                   const PeerAnswers& answers) {
    if (!sync_rules(m.s) || (request.leader.empty() && !request.member.empty())) return false;
    const auto votes = std::ranges::count_if(answers, [&](const auto& one) {
        return one.second && one.second->running && !one.second->primary && !one.second->voteless &&
               m.s.dcs->sync.names(one.first);
    });
    // The leader votes too, once it is a standby, where the key names it.
    const auto own = m.s.dcs->sync.names(m.s.self.name) ? 1 : 0;
    return votes + own <= m.s.dcs->sync.quorum;
}

std::vector<ProbePeers::Peer> candidates(const Mind& m, const cluster::FailoverRequest& request) {
    std::vector<ProbePeers::Peer> peers;
    if (!m.s.dcs) return peers;
    for (const auto& [name, member] : m.s.dcs->members)
        if (is_candidate(m, member, request) ||
            (name != m.s.self.name && !member.api_url.empty() && is_voter(m, name)))
            peers.push_back({member, alive_peer_deadline});
    return peers;
}

void clear_request(Mind& m, const std::string& why) {
    if (m.committing(CommitFor::clear_failover)) return;
    m.tell(Note{Note::Level::warning, "switchover request cleared: " + why, "handover"});
    spare_called_off(m, *m.s.dcs->failover);
    m.commit(CommitFor::clear_failover, cluster::keys::clear_failover(m.s.dcs->failover_revision));
}

// Whether the request is due now. A scheduled one that is far off only sets the alarm.
bool due(Mind& m, const cluster::FailoverRequest& request) {
    if (!request.scheduled_at) return true;
    if (m.paused()) return false;
    const auto ahead = std::chrono::duration_cast<Duration>(*request.scheduled_at - m.now.wall);
    if (ahead > Duration::zero()) {
        m.wake_by(m.now.mono + ahead);
        return false;
    }
    if (-ahead > Duration(m.s.settings.loop_wait) * 3 / 2) {
        clear_request(m, "its time has passed");
        return false;
    }
    return true;
}

// The time of a scheduled one has come: from now on it is one like any other. Those who elect when
// the key is free go by what it says, and their clocks are not ours.
bool now_due(Mind& m, cluster::FailoverRequest request) {
    State& s = m.s;
    if (m.committing(CommitFor::failover_due)) return false;
    if (m.now.mono < s.due_again_at) {
        m.wake_by(s.due_again_at);
        return false;
    }
    s.due_again_at = m.now.mono + due_again_after;
    request.scheduled_at.reset();
    request.scheduled_at_text.clear();
    m.commit(CommitFor::failover_due,
             cluster::keys::ask_handover(request, s.dcs->failover_revision, s.lead->term));
    return false;
}

// A new request in the key: is it for us, and is it possible at all?
bool consider(Mind& m) {
    State& s = m.s;
    const auto* view = m.view();
    if (!m.leading() || !view || !view->failover || !holds<std::monostate>(s.procedure))
        return false;
    if (!s.pg->primary() || m.pg_busy() || m.committing(CommitFor::clear_failover)) return false;
    const auto& request = *view->failover;
    if (!due(m, request)) return false;
    if (!request.leader.empty() && request.leader != s.self.name) {
        clear_request(m, "the leader is not " + request.leader);
        return false;
    }
    if (request.member == s.self.name) {
        clear_request(m, s.self.name + " is the leader already");
        return false;
    }
    if (m.paused() && request.member.empty()) {
        clear_request(m, "in maintenance mode a candidate must be named");
        return false;
    }
    if (request.scheduled_at) return now_due(m, request);
    auto asked = candidates(m, request);
    const bool none = std::ranges::none_of(
        asked, [&](const ProbePeers::Peer& peer) { return is_candidate(m, peer.member, request); });
    if (none) {
        clear_request(m, request.member.empty()
                             ? "there is no candidate"
                             : request.member + " is not a member that may lead" +
                                   (sync_rules(s) ? " (by the sync key)" : ""));
        return false;
    }
    HandingOver p;
    p.request = request;
    p.asked_at = m.now.mono;
    s.handover_failure.clear();
    s.procedure = p;
    spare_begins(m, request);
    m.tell(Note{Note::Level::info, "switchover asked for: looking for a candidate", "handover"});
    m.emit(ProbePeers{ProbeFor::handover, std::move(asked)});
    return true;
}

void give_up(Mind& m, const std::string& why) {
    if (const auto* p = procedure<HandingOver>(m)) not_handed_over(m, p->request, why);
    m.s.procedure = std::monostate{};
}

// It ended, or ends, otherwise than it should have.
bool left_for_room(Mind& m, const std::string& why) {
    if (!leaves_for_room(m)) return false;
    m.tell(Note{Note::Level::warning,
                fmt::format("{}, and {}: it is not started again here while another member can "
                            "take over",
                            why, disk_trouble(m.s)),
                "handover"});
    fail_over(m);
    return true;
}

// It may have been asked to hand over before its watchdog was armed, and then that comes first.
void start_again(Mind& m, const HandingOver& p) {
    if (!m.may_lead()) {
        give_up(m, p.failure + "; the leader key has run out");
        return;
    }
    if (watchdog_failed(m.s)) {
        give_up(m, p.failure + "; and watchdog.mode is required, but " + m.s.watchdog.problem);
        return;
    }
    if (!watchdog_stands(m)) {
        m.wake_by(m.s.lead_until());
        return;
    }
    cluster::StartPlan plan;
    plan.as_primary = true;
    plan.callback_role = cluster::Role::primary;
    plan.hold_clients = needs_gate(m);
    m.emit(StartPg{plan, m.fence_at()});
}

// Stopped, but nobody has it all: start again as the leader we still are.
void call_off(Mind& m, HandingOver& p, const std::string& why) {
    p.stage = HandingOver::Stage::call_off;
    p.failure = why;
    if (m.may_lead()) spare_given(m, p.request, false);
    start_again(m, p);
}

void stopped_badly(Mind& m, HandingOver& p, const std::string& why) {
    if (!left_for_room(m, why)) call_off(m, p, why);
}

void ask_again(Mind& m, const HandingOver& p) {
    if (m.running<ProbePeers>()) return;
    if (m.now.mono >= m.s.race_probe_at)
        m.emit(ProbePeers{ProbeFor::handover, candidates(m, p.request)});
    else
        m.wake_by(m.s.race_probe_at);
}

// It was stopped and runs: its shutdown record is nobody's measure any more.
bool started_past(const Mind& m, const HandingOver& p) {
    const bool stopped = (p.stage == HandingOver::Stage::stop && p.standby_made) ||
                         p.stage == HandingOver::Stage::call_off;
    return stopped && !m.pg_busy() && !m.s.pg_stale && !m.running<Observe>() &&
           m.s.pg->server != cluster::Server::stopped;
}

// The request is gone from its key, or another stands there.
bool withdrawn(const Mind& m, const HandingOver& p) {
    const auto* view = m.view();
    return view && (!view->failover || *view->failover != p.request);
}

}  // namespace

void not_handed_over(Mind& m, const cluster::FailoverRequest& request, const std::string& why) {
    auto& s = m.s;
    s.handover_failure = why;
    spare_called_off(m, request);
    m.tell(Note{Note::Level::warning, "switchover called off: " + why, "handover"});
    if (s.dcs && s.dcs->failover && !m.committing(CommitFor::clear_failover))
        m.commit(CommitFor::clear_failover,
                 cluster::keys::clear_failover(s.dcs->failover_revision));
}

bool hand_over(Mind& m) {
    State& s = m.s;
    if (consider(m)) return true;
    auto* p = procedure<HandingOver>(m);
    if (!p) return false;
    if (!m.leading()) {
        s.procedure = std::monostate{};
        return false;
    }
    const bool still_serving = p->stage == HandingOver::Stage::validate ||
                               p->stage == HandingOver::Stage::checkpoint ||
                               p->stage == HandingOver::Stage::hold;
    if (still_serving && s.pg->server == cluster::Server::stopped) {
        const std::string why = "PostgreSQL ended unexpectedly";
        if (!left_for_room(m, why)) give_up(m, why);
        return false;
    }
    // It began before that was known: neither a checkpoint nor a stop comes to its end there.
    if (disk_failed(s) && p->stage != HandingOver::Stage::validate &&
        p->stage <= HandingOver::Stage::stop && left_for_room(m, "PostgreSQL is ended"))
        return crash_failover(m);
    if (started_past(m, *p)) {
        give_up(m, "somebody started PostgreSQL while it was being stopped");
        return false;
    }
    if (p->stage == HandingOver::Stage::validate && withdrawn(m, *p)) {
        m.tell(Note{Note::Level::info, "the switchover was withdrawn", "handover"});
        s.procedure = std::monostate{};
        return true;
    }
    if (p->stage == HandingOver::Stage::call_off) {
        if (!m.pg_busy()) start_again(m, *p);
        return true;
    }
    if (p->stage == HandingOver::Stage::validate) ask_again(m, *p);
    if (p->stage == HandingOver::Stage::confirm && !m.pg_busy()) {
        if (m.now.mono - p->stopped_at > confirm_within) {
            call_off(m, *p, "no candidate confirmed the shutdown record in time");
            return true;
        }
        m.wake_by(p->stopped_at + confirm_within + std::chrono::milliseconds(1));
        ask_again(m, *p);
    }
    return true;
}

namespace {

// Why it cannot take over, by what it says itself; empty: it can.
std::string cannot_take_over(const Mind& m, const HandingOver& p, const std::string& name,
                             const cluster::PeerStatus& answer) {
    const State& s = m.s;
    if (answer.nofailover || answer.watchdog_failed || answer.primary)
        return name + " may not lead";
    const bool validates = p.stage == HandingOver::Stage::validate;
    if (const auto unfit = not_spared_by(m, p.request, name, answer); validates && !unfit.empty())
        return unfit;
    if (answer.timeline != s.led_timeline)  // positions are comparable on one timeline only
        return fmt::format("{} is on timeline {}, not on the leader's {}: it does not follow", name,
                           answer.timeline, s.led_timeline);
    if (validates) {
        const auto lag = distance(s.pg->wal, answer.position);
        return lag > s.settings.maximum_lag_on_failover
                   ? fmt::format("{} lags {} bytes behind, more than maximum_lag_on_failover", name,
                                 lag)
                   : std::string();
    }
    if (answer.position <= p.shutdown_lsn) return name + " has not received the shutdown record";
    return distance(answer.position, p.shutdown_lsn) > shutdown_record_max
               ? name + " has WAL that was never written here: its data has diverged"
               : std::string();
}

// Empty: one of the candidates can take over.
std::string nobody_can(const Mind& m, const HandingOver& p, const PeerAnswers* answers) {
    const State& s = m.s;
    std::string why = "no candidate answered";
    bool found = false;
    for (const auto& [name, answer] : answers ? *answers : PeerAnswers{}) {
        const auto* member = s.dcs ? s.dcs->member(name) : nullptr;
        if (!answer || !member || !is_candidate(m, *member, p.request)) continue;
        if (auto its = cannot_take_over(m, p, name, *answer); its.empty())
            found = true;
        else
            why = std::move(its);
    }
    if (found && too_few_votes(m, p.request, *answers))
        return "too few of the voters of the sync key answer to elect a leader";
    return found ? std::string() : why;
}

void candidates_answered(Mind& m, HandingOver& p, const EffectDone& done) {
    using Stage = HandingOver::Stage;
    State& s = m.s;
    if (p.stage != Stage::validate && p.stage != Stage::confirm) return;
    const auto why = nobody_can(m, p, std::get_if<PeerAnswers>(&done.payload));
    if (p.stage == Stage::validate) {
        if (!why.empty() && m.now.mono - p.asked_at < validate_within) {
            s.race_probe_at = m.now.mono + validate_again_after;
            return;
        }
        if (!why.empty()) return give_up(m, why);
        // No checkpoint ends on it, nor a shutdown: who can take over has been found, and what is
        // left of this server is killed.
        if (disk_failed(s) && left_for_room(m, "PostgreSQL is ended")) return;
        p.stage = Stage::checkpoint;
        m.emit(CheckpointPg{in_hold(s)});
        return;
    }
    if (!why.empty() || !s.lead) {  // the key may be gone meanwhile: hand_over() sees to it
        s.race_probe_at = m.now.mono + confirm_again_after;
        return;
    }
    p.stage = Stage::release;
    spare_given(m, p.request, true);
    cluster::StatusKey status = s.dcs ? s.dcs->status : cluster::StatusKey{};
    status.optime = p.shutdown_lsn;
    s.hold_start_until = m.now.mono + s.settings.loop_wait;
    m.commit(CommitFor::release, cluster::keys::release_leader(s.lead->term, status));
}

// Both its end and its standby.signal have to be seen.
void stopped_or_marked(Mind& m, HandingOver& p, const Effect& effect, const EffectDone& done) {
    State& s = m.s;
    if (holds<MakeStandby>(effect)) p.standby_made = !done.error;
    if (done.error) return stopped_badly(m, p, "standby.signal could not be written");
    if (holds<Observe>(effect)) p.seen = s.pg->server == cluster::Server::stopped;
    if (!p.standby_made || !p.seen) return;
    if (!s.pg->control || s.pg->control->state != cluster::ControlState::shut_down)
        return stopped_badly(m, p, "PostgreSQL was not shut down cleanly");
    p.shutdown_lsn = s.pg->control->checkpoint;
    p.stage = HandingOver::Stage::confirm;
    s.race_probe_at = m.now.mono;
}

}  // namespace

// The answers to the leader's questions, by stage.
void handover_done(Mind& m, HandingOver& p, const Effect& effect, const EffectDone& done) {
    State& s = m.s;
    using Stage = HandingOver::Stage;
    if (holds<ProbePeers>(effect)) {
        candidates_answered(m, p, done);
    } else if (holds<CheckpointPg>(effect) && p.stage == Stage::checkpoint) {
        // There may be another, of a promotion a moment ago: PostgreSQL makes one after the other,
        // and the stop, with clients waiting, would wait for the second.
        if (m.running<CheckpointPg>()) return;
        if (const auto gone = no_spare_any_more(m, p.request); !gone.empty())
            return give_up(m, gone);
        p.stage = Stage::hold;
        p.hold = m.emit(HoldPoolers{pooler_drain});
    } else if (holds<HoldPoolers>(effect) && p.stage == Stage::hold) {
        if (done.error && done.error->code == ErrorCode::conflict)
            return give_up(m, done.error->message);
        p.stage = Stage::stop;
        s.stop_wanted = s.stops_to_hand_over = true;
        m.tell(Note{Note::Level::info, "switchover: stopping PostgreSQL", "handover"});
        m.emit(StopPg{cluster::StopMode::fast, false, s.settings.primary_stop_timeout, true});
    } else if (holds<StopPg>(effect) && p.stage == Stage::stop) {
        if (done.error) return give_up(m, "PostgreSQL did not stop: " + done.error->message);
        p.stopped_at = m.now.mono;
        m.emit(MakeStandby{});
        m.emit(Observe{});
    } else if (p.stage == Stage::stop && (holds<Observe>(effect) || holds<MakeStandby>(effect))) {
        stopped_or_marked(m, p, effect, done);
    } else if (holds<StartPg>(effect) && p.stage == Stage::call_off) {
        give_up(m, p.failure);
    } else if (const auto* commit = std::get_if<Commit>(&effect);
               commit && commit->purpose == CommitFor::release && p.stage == Stage::release) {
        if (done.error && s.lead && !m.given_up()) {  // surely not done: try again while it is ours
            p.stage = Stage::confirm;
            s.race_probe_at = m.now.mono + confirm_again_after;
            return;
        }
        m.tell(Note{Note::Level::info, "switchover: the leader key is released", "handover"});
        s.procedure = std::monostate{};
    }
}

// A restart, and the agent's own stop, need no candidate, and a transaction that does not end does
// not call them off: it was they or it. What clients can be spared is the same.
bool begin_quiet(Mind& m) {
    const auto& pg = *m.s.pg;
    if (!m.leading() || !pg.primary() || pg.server != cluster::Server::running) return false;
    m.emit(CheckpointPg{in_hold(m.s)});
    return true;
}

bool quiet(Mind& m, Quieting& q, const Effect& effect, const EffectDone& done) {
    if (holds<CheckpointPg>(effect) && q.hold == 0 && !m.running<CheckpointPg>())
        q.hold = m.emit(HoldPoolers{pooler_drain});
    if (!holds<HoldPoolers>(effect) || done.id != q.hold) return false;
    if (done.error && done.error->code == ErrorCode::conflict)
        m.tell(Note{Note::Level::warning, done.error->message + ": it is broken off", "handover"});
    return true;
}

std::optional<PoolersHeld> holds_poolers(const State& state) {
    EffectId hold = 0;
    if (const auto* p = std::get_if<HandingOver>(&state.procedure)) hold = p->hold;
    if (const auto* p = std::get_if<CrashFailover>(&state.procedure)) hold = p->hold;
    if (const auto* p = std::get_if<Restarting>(&state.procedure)) hold = p->quieting.hold;
    if (const auto* p = std::get_if<Leaving>(&state.procedure)) hold = p->quieting.hold;
    if (const auto* p = std::get_if<GivingWay>(&state.procedure)) hold = p->quieting.hold;
    if (hold == 0) return std::nullopt;
    return PoolersHeld{hold, pooler_drain};
}

}  // namespace relevo::core
