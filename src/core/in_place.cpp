// A restore in place of the cluster's data, the member's side (docs/adr/0020): who restores does it
// behind a closed door and takes the lead in one transaction, the swap; everybody else stays down,
// and is cloned from what was restored. What the leader does before that: give_way.cpp.
//
// All is decided by the record and by what stands on this member's disk, so that an agent that was
// away goes on where it is.
#include <fmt/core.h>

#include <algorithm>

#include "core/mind.h"

namespace relevo::core {
namespace {

using cluster::Restoration;
using cluster::Server;
using Phase = Restoration::Phase;
using Stage = Restoring::Stage;

constexpr Duration recovery_look_again = std::chrono::milliseconds(500);
constexpr Duration say_again_after = std::chrono::seconds(1);
constexpr Duration move_again_after = std::chrono::seconds(5);
// The record is about to show what refused a write, or made it needless.
constexpr Duration write_again_after = std::chrono::milliseconds(200);
constexpr Duration old_server_stops_within = std::chrono::seconds(5);

cluster::Timeline newest_timeline(const cluster::LocalPostgres& pg) {
    cluster::Timeline newest = pg.timeline;
    if (pg.control)
        newest = std::max(
            {newest, pg.control->checkpoint_timeline, pg.control->min_recovery_end_timeline});
    return newest;
}

bool set_aside(const cluster::LocalPostgres& pg, const std::string& id) {
    return pg.aside_for == id && pg.aside_done;
}

// The data is of the cluster that was restored last, or what was from before is out of its place.
// A server that starts or hangs does not tell what it has: it is left alone until it does.
bool has_joined(const State& s, const Restoration& r) {
    if (r.floor() == 0 || set_aside(*s.pg, r.floor_id()) || !s.rules.old_stays_out) return true;
    const auto newest = newest_timeline(*s.pg);
    const bool tells = newest != 0 || s.pg->data_dir != cluster::DataDir::initialized;
    return newest >= r.floor() || !tells;
}

// An order for a server that is not to run.
void refuse_orders(Mind& m) {
    State& s = m.s;
    const char* why = "the cluster is being restored in place";
    if (s.restart_asked) m.tell(Answer{s.restart_asked->order, 503, why});
    if (s.reinit_asked) m.tell(Answer{s.reinit_asked->order, 503, why});
    s.restart_asked.reset();
    s.reinit_asked.reset();
    s.leaves_votes_since.reset();
}

// true: it is not stopped yet, or would come up as a primary when somebody starts it.
bool goes_down(Mind& m, const std::string& why) {
    State& s = m.s;
    const auto& pg = *s.pg;
    if (pg.server == Server::stopped) {
        if (!comes_up_as_primary(m)) return false;
        make_standby(m);
        return true;
    }
    m.say("in place", Note::Level::warning, "stopping PostgreSQL: " + why);
    s.stop_wanted = true;
    if (pg.server == Server::hung)
        m.emit(KillPg{});
    else
        m.emit(StopPg{cluster::StopMode::fast, false, old_server_stops_within, false});
    return true;
}

// ---- the member that restores

void undo(Mind& m, Restoring& p, std::string why) {
    m.tell(Note{Note::Level::error, "restore in place: " + why});
    p.failure = why;
    p.stage = Stage::undo;
    give_up_restore(m, p.record, std::move(why));
    m.s.stop_wanted = true;
    m.emit(KillPg{});
}

// The next number above all that were ever given out or shown: an attempt that comes to nothing
// has used its own up, in the archive too.
void grant(Mind& m, Restoring& p) {
    State& s = m.s;
    auto newest = std::max({s.dcs->granted.number, s.dcs->timeline(), newest_timeline(*s.pg),
                            s.taken_timeline, p.record.timeline, p.record.target.timeline.number,
                            cluster::Timeline{1}});
    for (const auto& [name, member] : s.known) newest = std::max(newest, member.timeline);
    auto next = p.record;
    next.timeline = newest + 1;
    const auto& key = s.dcs->granted;
    p.stage = Stage::grant;
    m.commit(CommitFor::grant_restore,
             cluster::keys::grant_restore(
                 next, {next.timeline, key.line, key.settled, key.mod_revision, {}, 0}));
    p.record.timeline = next.timeline;
}

void start(Mind& m, Restoring& p) {
    p.stage = Stage::start;
    cluster::StartPlan plan;
    plan.as_primary = true;
    plan.callback_role = cluster::Role::primary;
    plan.sync_names = "";
    // Nobody may write, or read, what may be undone.
    plan.hold_clients = true;
    m.emit(StartPg{plan, Instant::max()});
}

// Its data was set aside and what stands there is whole: by an agent before this one.
bool is_whole(const State& s, const Restoration& r) {
    return set_aside(*s.pg, r.id) && s.pg->data_dir == cluster::DataDir::initialized;
}

void begin(Mind& m, const Restoration& r) {
    State& s = m.s;
    s.procedure = Restoring{};
    auto& p = std::get<Restoring>(s.procedure);
    p.record = r;
    if (watchdog_failed(s))
        return undo(m, p, "watchdog.mode is required, but " + s.watchdog.problem);
    if (is_whole(s, r)) {
        m.tell(Note{Note::Level::info, "going on with what was restored in place"});
        if (s.pg->server == Server::stopped) return start(m, p);
        p.stage = Stage::recover;
        return;
    }
    m.tell(Note{Note::Level::info, fmt::format("restoring the cluster in place: {} from backup {}",
                                               describe(r.target), r.backup)});
    grant(m, p);
}

void await_primary(Mind& m, Restoring& p) {
    const auto& pg = *m.s.pg;
    if (m.running<Observe>()) return;
    if (pg.primary()) {
        p.stage = Stage::roles;
        m.emit(PostBootstrapPg{});
        return;
    }
    if (pg.server == Server::stopped)
        return undo(m, p, "PostgreSQL ended before its recovery was over; its own log tells why");
    m.say("recovery", Note::Level::info, "waiting for the recovery of the restored data to end");
    const Instant due = m.s.pg_seen + recovery_look_again;
    if (m.now.mono >= due)
        m.emit(Observe{});
    else
        m.wake_by(due);
}

// The swap, when all is as it should be.
void swap(Mind& m, Restoring& p, const cluster::Snapshot& view) {
    State& s = m.s;
    if (m.committing(CommitFor::finish_restore) || m.running<Observe>()) return;
    const auto& pg = *s.pg;
    if (!pg.primary()) return undo(m, p, "the restored server does not run as a primary");
    if (pg.timeline != p.record.timeline)
        return undo(m, p,
                    fmt::format("the restored server began timeline {}, and was to begin {}: does "
                                "the archive have a history file of another cluster?",
                                pg.timeline, p.record.timeline));
    if (view.initialize != pg.system_id)
        return undo(m, p, "its system identifier is not the cluster's: " + pg.system_id);
    // The leader key hangs on the lease: on one that is good.
    const bool good = s.lease && s.lease_retry_at <= s.lease->asked_at &&
                      s.lease->until - m.now.mono > Duration(s.settings.ttl) / 3;
    if (!good || m.now.mono < p.again_at)
        return m.wake_by(std::max(p.again_at, m.now.mono + write_again_after));
    auto restored = p.record;
    restored.phase = Phase::restored;
    const auto& key = view.granted;
    const auto number = std::max(key.number, pg.timeline);
    s.taken_over.reset();
    s.fine = {};
    s.asked_timeline = 0;
    m.commit(CommitFor::finish_restore,
             cluster::keys::finish_restore(s.self.name, restored,
                                           {number, pg.timeline, number, key.mod_revision, {}, 0},
                                           pg.system_id));
}

// What the record says of this attempt by now. Empty: it goes on.
std::string called_off(const Restoring& p, const cluster::Snapshot& view, bool by_me) {
    const auto& r = view.restoration;
    if (!r || r->id != p.record.id) return "its record is gone";
    if (r->phase == Phase::cancelled)
        return r->problem.empty() ? std::string("it was cancelled") : r->problem;
    if (view.leader && !by_me) return view.leader->name + " leads the cluster meanwhile";
    return {};
}

// What no effect's end tells. The rest: restoring_done.
bool go_on(Mind& m, Restoring& p) {
    State& s = m.s;
    if (p.stage == Stage::undo) {
        if (m.pg_busy()) return true;
        s.procedure = std::monostate{};
        return true;
    }
    const auto* view = m.view();
    if (m.running<KillPg>()) return true;
    if (view) {
        const auto& r = view->restoration;
        const bool mine = r && r->id == p.record.id;
        if (mine && r->phase == Phase::restored) {
            m.tell(Note{Note::Level::info, "the cluster is restored"});
            s.procedure = std::monostate{};
            return false;
        }
        if (const auto why = called_off(p, *view, view->led_by(s.self.name)); !why.empty()) {
            undo(m, p, why);
            return true;
        }
        if (mine) p.record.revision = std::max(p.record.revision, r->revision);
    }
    switch (p.stage) {
        case Stage::grant:
            if (view && !m.committing(CommitFor::grant_restore)) {
                if (m.now.mono >= p.again_at)
                    grant(m, p);
                else
                    m.wake_by(p.again_at);
            }
            break;
        case Stage::recover: await_primary(m, p); break;
        case Stage::finish:
            if (view) swap(m, p, *view);
            break;
        case Stage::aside:
        case Stage::make:
        case Stage::start:
        case Stage::roles:
        case Stage::undo: break;
    }
    return true;
}

// ---- by phase

bool under_way(Mind& m, const cluster::Snapshot& view, const Restoration& r) {
    State& s = m.s;
    refuse_orders(m);
    if (m.pg_busy()) return true;
    const bool here = r.member == s.self.name;
    if (here && given_up_restore(s, r)) {
        cancel_given_up(m, r);
        return true;
    }
    if (here && is_whole(s, r) && s.pg->server != Server::hung) {
        if (s.pg->server == Server::running && s.pg->in_recovery) {
            goes_down(m, "it was started as a standby, past this agent");
            return true;
        }
        begin(m, r);
        return true;
    }
    const auto why = fmt::format("the cluster is being restored in place by {}", r.member);
    if (goes_down(m, why) || !here) return true;
    if (view.leader) {
        give_up_restore(m, r, view.leader->name + " leads the cluster meanwhile");
        return true;
    }
    begin(m, r);
    return true;
}

bool joins(Mind& m, const Restoration& r) {
    State& s = m.s;
    if (m.leading() || has_joined(s, r) || s.pg->data_dir == cluster::DataDir::unusable)
        return false;
    refuse_orders(m);
    if (m.pg_busy()) return true;
    if (goes_down(m, "the cluster was restored in place, and this data is from before"))
        return true;
    const auto* leader = primary_member(m);
    if (!leader || leader->role != cluster::Role::primary || !is_of_restored(s, *leader)) {
        m.say("in place", Note::Level::info,
              "waiting for a leader of the restored cluster, to be cloned from it");
        return true;
    }
    if (m.now.mono < s.aside_again_at) {
        m.wake_by(s.aside_again_at);
        return true;
    }
    m.tell(Note{Note::Level::warning,
                fmt::format("the cluster was restored in place: this member's data is kept as "
                            "*{}, and it is cloned from {}",
                            cluster::aside_suffix(r.floor_id()), leader->name)});
    m.emit(SetAsidePg{r.floor_id()});
    return true;
}

bool goes_back(Mind& m, const Restoration& r) {
    State& s = m.s;
    if (m.leading() || s.pg->aside_for != r.id) return false;
    refuse_orders(m);
    if (m.pg_busy()) return true;
    if (s.pg->server != Server::stopped) {
        s.stop_wanted = true;
        m.emit(KillPg{});
        return true;
    }
    if (m.now.mono < s.aside_again_at) {
        m.wake_by(s.aside_again_at);
        return true;
    }
    m.tell(Note{Note::Level::warning, "the restore in place was cancelled (" + r.problem +
                                          "): the old data is put back"});
    m.emit(PutBackPg{r.id});
    return true;
}

}  // namespace

void give_up_restore(Mind& m, const Restoration& record, std::string why) {
    m.s.restore_given_up = {record.id, std::move(why), {}};
    m.wake_by(m.now.mono + std::chrono::milliseconds(1));
}

bool given_up_restore(const State& s, const Restoration& record) {
    return s.restore_given_up.id == record.id;
}

void cancel_given_up(Mind& m, const Restoration& record) {
    auto& given_up = m.s.restore_given_up;
    if (m.committing(CommitFor::cancel_restore)) return;
    if (m.now.mono < given_up.say_again_at) return m.wake_by(given_up.say_again_at);
    given_up.say_again_at = m.now.mono + say_again_after;
    auto cancelled = record;
    cancelled.phase = Phase::cancelled;
    cancelled.problem = given_up.why;
    m.commit(CommitFor::cancel_restore, cluster::keys::cancel_restore(cancelled, false));
}

std::string held_by_restore(const State& s) {
    const auto& r = s.dcs->restoration;
    if (!r) return {};
    if (s.pg->timeline < r->floor() && s.rules.old_stays_out)
        return fmt::format(
            "the cluster was restored in place (timeline {}), and my data is from before",
            r->floor());
    switch (r->phase) {
        case Phase::stopping:
        case Phase::restored: return {};
        case Phase::restoring: return "the cluster is being restored in place by " + r->member;
        case Phase::cancelled:
            return s.pg->aside_for == r->id ? "my data from before the restore is not back yet"
                                            : std::string();
        case Phase::unreadable: return "the key `restore` cannot be read: repair or remove it";
    }
    return {};
}

bool is_of_restored(const State& s, const cluster::MemberRecord& member) {
    const auto& r = s.dcs->restoration;
    return !r || r->floor() == 0 || member.timeline >= r->floor() || !s.rules.old_stays_out;
}

bool in_place(Mind& m) {
    if (auto* p = procedure<Restoring>(m)) return go_on(m, *p);
    const auto* view = m.view();
    if (!view || !view->restoration || m.paused() || !holds<std::monostate>(m.s.procedure))
        return false;
    const auto& r = *view->restoration;
    switch (r.phase) {
        case Phase::restoring: return under_way(m, *view, r);
        case Phase::cancelled: return goes_back(m, r) || joins(m, r);
        case Phase::stopping:
        case Phase::restored: return joins(m, r);
        case Phase::unreadable: break;
    }
    return false;
}

void restoring_done(Mind& m, Restoring& p, const Effect& effect, const EffectDone& done) {
    State& s = m.s;
    const auto* commit = std::get_if<Commit>(&effect);
    const auto* result = std::get_if<cluster::TxnResult>(&done.payload);
    const bool refused = done.error || (result && !result->succeeded);
    if (p.ends) return;  // told to: nothing new is begun
    switch (p.stage) {
        case Stage::grant:
            if (!commit || commit->purpose != CommitFor::grant_restore) return;
            if (refused) {  // or nobody knows: by the next view
                p.again_at = m.now.mono + write_again_after;
                if (!m.running<ReadDcs>()) m.emit(ReadDcs{m.dcs_deadline()});
                return;
            }
            p.record.revision = result->revision;
            p.stage = Stage::aside;
            m.emit(SetAsidePg{p.record.id});
            return;
        case Stage::aside:
            if (!holds<SetAsidePg>(effect)) return;
            if (done.error) return undo(m, p, done.error->message);
            p.stage = Stage::make;
            m.emit(BootstrapPg{p.record});
            return;
        case Stage::make:
            if (!holds<BootstrapPg>(effect)) return;
            if (done.error) return undo(m, p, done.error->message);
            return start(m, p);
        case Stage::start:
            if (!holds<StartPg>(effect)) return;
            if (done.error && done.error->code != ErrorCode::outcome_unknown)
                return undo(m, p, done.error->message);
            p.stage = Stage::recover;  // go_on, once it was looked at
            return;
        case Stage::roles:
            if (!holds<PostBootstrapPg>(effect)) return;
            if (done.error) return undo(m, p, done.error->message);
            p.stage = Stage::finish;
            m.emit(Observe{});
            return;
        case Stage::finish:
            if (!commit || commit->purpose != CommitFor::finish_restore) return;
            if (refused) {  // perhaps it was written: the record tells
                p.again_at = m.now.mono + write_again_after;
                if (!m.running<ReadDcs>()) m.emit(ReadDcs{m.dcs_deadline()});
                return;
            }
            m.tell(Note{Note::Level::info, "the cluster is restored"});
            s.procedure = std::monostate{};
            return;
        case Stage::recover:
        case Stage::undo: return;
    }
}

// The answer to SetAsidePg and PutBackPg.
void moved_aside(Mind& m, const EffectDone& done) {
    if (!done.error) return m.forget("aside");
    m.s.aside_again_at = m.now.mono + move_again_after;
    m.say("aside", Note::Level::error,
          "the data directory cannot be moved: " + done.error->message);
}

}  // namespace relevo::core
