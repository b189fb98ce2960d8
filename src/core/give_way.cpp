// The leader of a cluster that is to be restored in place (docs/adr/0020): it stops PostgreSQL
// cleanly, so that its standbys and the archive have all that was acknowledged, and gives the key
// back in the transaction after which nobody may lead. What goes wrong before that is called off:
// it starts again, and the old data goes on being the cluster's.
#include <fmt/core.h>

#include "core/mind.h"

namespace relevo::core {
namespace {

using cluster::Restoration;
using Phase = Restoration::Phase;
using Stage = GivingWay::Stage;

// Why the cluster is not stopped for this; empty: it is.
std::string cannot(const Mind& m, const cluster::Snapshot& view, const Restoration& r) {
    for (const auto& [name, member] : view.members)
        if (!member.restores_in_place)
            return fmt::format(
                "{}'s agent does not know of restores in place: it is Patroni's, or "
                "an older one",
                name);
    const auto* restorer = view.member(r.member);
    if (!restorer) return r.member + ", which is to restore, is not there";
    if (restorer->tags.nofailover()) return r.member + " may not lead: nofailover is set";
    return m.s.settings.standby_cluster ? "standby_cluster is set" : "";
}

void stop(Mind& m, GivingWay& p) {
    State& s = m.s;
    p.stage = Stage::stop;
    s.stop_wanted = true;
    m.tell(
        Note{Note::Level::warning, "stopping PostgreSQL: the cluster is to be restored in place"});
    m.emit(StopPg{cluster::StopMode::fast, false, s.settings.primary_stop_timeout, true});
}

// The record is the one for which this began.
const Restoration* record_of(const Mind& m, const GivingWay& p) {
    const auto* view = m.view();
    if (!view || !view->restoration || view->restoration->revision != p.record) return nullptr;
    return &*view->restoration;
}

void give_up(Mind& m, const std::string& why) {
    State& s = m.s;
    m.tell(Note{Note::Level::error, "the restore in place is called off: " + why});
    if (s.dcs && s.dcs->restoration) give_up_restore(m, *s.dcs->restoration, why);
    s.procedure = std::monostate{};
}

// Stopped, and not to stay so.
void call_off(Mind& m, GivingWay& p, const std::string& why) {
    p.stage = Stage::call_off;
    p.failure = why;
    if (!m.may_lead()) return give_up(m, why + "; the leader key has run out");
    if (watchdog_failed(m.s))
        return give_up(m, why + "; and watchdog.mode is required, but " + m.s.watchdog.problem);
    cluster::StartPlan plan;
    plan.as_primary = true;
    plan.callback_role = cluster::Role::primary;
    plan.hold_clients = needs_gate(m);
    m.emit(StartPg{plan, m.fence_at()});
}

void release(Mind& m, GivingWay& p) {
    State& s = m.s;
    const auto* record = record_of(m, p);
    if (!record || !s.lead) return call_off(m, p, "its record was changed meanwhile");
    p.stage = Stage::release;
    auto next = *record;
    next.phase = Phase::restoring;
    cluster::StatusKey status = s.dcs->status;
    status.optime = s.pg->control->checkpoint;
    m.commit(CommitFor::give_way, cluster::keys::give_way(next, s.lead->term, status));
}

// What the record asks of a leader that does nothing else.
bool begins(Mind& m) {
    State& s = m.s;
    const auto* view = m.view();
    if (!view || !view->restoration || view->restoration->phase != Phase::stopping) return false;
    if (!m.leading() || m.paused() || !holds<std::monostate>(s.procedure) || m.pg_busy())
        return false;
    const auto& r = *view->restoration;
    if (given_up_restore(s, r)) {
        cancel_given_up(m, r);
        return false;
    }
    if (!s.pg->primary() || !m.may_lead()) return false;
    if (const auto why = cannot(m, *view, r); !why.empty()) {
        give_up(m, why);
        return false;
    }
    GivingWay p;
    p.record = r.revision;
    s.procedure = p;
    if (!begin_quiet(m)) stop(m, std::get<GivingWay>(s.procedure));
    return true;
}

}  // namespace

bool give_way(Mind& m) {
    State& s = m.s;
    auto* p = procedure<GivingWay>(m);
    if (!p) return begins(m);
    if (!m.leading()) {
        s.procedure = std::monostate{};
        return false;
    }
    if (p->stage != Stage::quiet) return true;
    // It crashed: that is another procedure's.
    if (s.pg->server == cluster::Server::stopped || (m.view() && !record_of(m, *p))) {
        s.procedure = std::monostate{};
        return false;
    }
    return true;
}

void give_way_done(Mind& m, GivingWay& p, const Effect& effect, const EffectDone& done) {
    State& s = m.s;
    const auto* commit = std::get_if<Commit>(&effect);
    const bool made = holds<MakeStandby>(effect);
    if (p.stage == Stage::quiet) {
        if (quiet(m, p.quieting, effect, done)) stop(m, p);
    } else if (p.stage == Stage::stop && holds<StopPg>(effect)) {
        if (done.error) return give_up(m, "PostgreSQL did not stop: " + done.error->message);
        m.emit(MakeStandby{});
        m.emit(Observe{});
    } else if (p.stage == Stage::stop && (made || holds<Observe>(effect))) {
        if (made && done.error) return call_off(m, p, "standby.signal could not be written");
        if (made) p.standby_made = true;
        if (!made) p.seen = s.pg->server == cluster::Server::stopped;
        if (!p.standby_made || !p.seen) return;
        if (!s.pg->control || s.pg->control->state != cluster::ControlState::shut_down)
            return call_off(m, p, "PostgreSQL was not shut down cleanly");
        p.stage = Stage::archive;
        m.emit(ArchiveRestPg{});
    } else if (p.stage == Stage::archive && holds<ArchiveRestPg>(effect)) {
        if (done.error)
            return call_off(m, p, "the last WAL could not be archived: " + done.error->message);
        release(m, p);
    } else if (p.stage == Stage::release && commit && commit->purpose == CommitFor::give_way) {
        const auto* result = std::get_if<cluster::TxnResult>(&done.payload);
        if (!done.error && result && result->succeeded) {
            m.tell(Note{Note::Level::warning,
                        "the leader key is given back: nobody leads until the restore is over"});
            s.hold_start_until = m.now.mono + s.settings.loop_wait;
            s.procedure = std::monostate{};
        } else if (!s.lead ||
                   m.given_up()) {  // lost meanwhile, or nobody knows: it is only released
            s.procedure = std::monostate{};
        } else {
            call_off(m, p,
                     done.error ? "it could not be written: " + done.error->message
                                : "its record was changed meanwhile");
        }
    } else if (p.stage == Stage::call_off && holds<StartPg>(effect)) {
        give_up(m, p.failure);
    }
}

}  // namespace relevo::core
