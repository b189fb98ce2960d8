// The agent stops (SIGTERM): PostgreSQL stops with it, and a leader hands its key over on the way
// (contract 7.17). In maintenance mode PostgreSQL is left alone.
#include "core/mind.h"

namespace relevo::core {

namespace {

void stop_or_hand_on(Mind& m, Leaving& p) {
    State& s = m.s;
    if (s.pg->server == cluster::Server::stopped) {
        p.stage = s.lead ? Leaving::Stage::release : Leaving::Stage::say;
        if (s.lead || comes_up_as_primary(m)) m.emit(MakeStandby{});
        if (s.lead) m.emit(Observe{});
        return;
    }
    p.stage = Leaving::Stage::stop;
    m.tell(Note{Note::Level::info, "stopping PostgreSQL: the agent was asked to stop"});
    s.stop_wanted = true;
    m.emit(StopPg{cluster::StopMode::fast, false, s.settings.primary_stop_timeout, true});
}

}  // namespace

namespace {

// A restore may take hours, and begins anew with the agent's next start.
bool ends_restore(Mind& m) {
    auto* p = procedure<Restoring>(m);
    if (!p) return false;
    if (!p->ends) {
        p->ends = true;
        m.s.stop_wanted = true;
        m.emit(KillPg{});
        return true;
    }
    if (m.pg_busy() || m.committing(CommitFor::finish_restore)) return true;
    m.s.procedure = std::monostate{};
    return false;
}

}  // namespace

bool leave(Mind& m) {
    State& s = m.s;
    if (!s.stop_asked) return false;
    if (ends_restore(m)) return true;
    auto* p = procedure<Leaving>(m);
    if (!p) {
        if (m.running<StartPg>() && !m.paused()) {
            // Replaying may take hours, and nothing is lost when it begins anew.
            if (!m.running<KillPg>()) {
                s.stop_wanted = true;
                m.emit(KillPg{});
            }
            return true;
        }
        if (m.pg_busy() && !m.running<ClonePg>() && !m.paused())
            return true;  // let a short action end first
        s.procedure = Leaving{};
        p = procedure<Leaving>(m);
        if (m.paused()) {
            p->stage = Leaving::Stage::gone;
        } else if (begin_quiet(m)) {
            p->stage = Leaving::Stage::quiet;
        } else {
            stop_or_hand_on(m, *p);
        }
    }
    if (p->stage == Leaving::Stage::release) {
        if (!s.lead)
            p->stage = Leaving::Stage::say;
        else if (!p->seen && !m.running<Observe>())  // a look that came too early does not count
            m.emit(Observe{});
    }
    if (p->stage == Leaving::Stage::say) {
        if (!m.committing(CommitFor::member)) {
            m.commit(CommitFor::member, cluster::keys::put_member(member_record(s)));
            p->stage = Leaving::Stage::gone;
        }
        return true;
    }
    if (p->stage == Leaving::Stage::gone && !m.committing(CommitFor::member) &&
        !m.running<MakeStandby>()) {
        // What stopped is told of, also when the look that would show it has not come back.
        if (s.started_announced && s.pg->server == cluster::Server::stopped)
            m.tell(Callback{"on_stop", shown_role(s)});
        // One whose PostgreSQL could not be stopped is left counting.
        if (s.watchdog.armed && (m.paused() || s.writers == State::Writers::none))
            m.emit(DisarmWatchdog{});
        s.exiting = true;
        m.tell(Exit{0, "stopped"});
    }
    return true;
}

void leave_done(Mind& m, Leaving& p, const Effect& effect, const EffectDone& done) {
    State& s = m.s;
    using Stage = Leaving::Stage;
    const bool made = holds<MakeStandby>(effect);
    if (p.stage == Stage::quiet) {
        if (!quiet(m, p.quieting, effect, done)) return;
        if (!m.paused()) return stop_or_hand_on(m, p);
        p.quieting = {};  // maintenance mode began meanwhile
        p.stage = Stage::gone;
    } else if (p.stage == Stage::stop && holds<StopPg>(effect)) {
        if (done.error) {  // the key stays: the lease keeps others away from a server that still
                           // runs
            m.tell(Note{Note::Level::error, "PostgreSQL did not stop: " + done.error->message});
            p.stage = Stage::gone;
            return;
        }
        p.stage = Stage::release;
        m.emit(MakeStandby{});
        m.emit(Observe{});
    } else if (p.stage == Stage::release && (made || holds<Observe>(effect))) {
        if (made) p.standby_made = !done.error;
        if (!made) p.seen = true;
        // While whoever starts it next would get a primary, the key is left to its lease.
        if (!s.lead || (made && done.error)) {
            p.stage = Stage::say;
            return;
        }
        if (!p.standby_made || !p.seen) return;
        cluster::StatusKey status = s.dcs ? s.dcs->status : cluster::StatusKey{};
        if (s.pg->control && s.pg->control->state == cluster::ControlState::shut_down)
            status.optime = s.pg->control->checkpoint;
        m.commit(CommitFor::release, cluster::keys::release_leader(s.lead->term, status));
    } else if (const auto* commit = std::get_if<Commit>(&effect);
               commit && commit->purpose == CommitFor::release && p.stage == Stage::release) {
        p.stage = Stage::say;
    }
}

}  // namespace relevo::core
