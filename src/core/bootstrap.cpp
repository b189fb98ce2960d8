// A new cluster, or a running single server that becomes the first member of one (contract 7.6).
#include <fmt/core.h>

#include "core/mind.h"

namespace relevo::core {
namespace {

constexpr Duration recovery_look_again = std::chrono::milliseconds(500);

// A data directory with a system identifier and a DCS that knows of no cluster: claim it for this
// one.
bool adopt(Mind& m, const cluster::Snapshot& view) {
    State& s = m.s;
    const auto& pg = *s.pg;
    if (pg.data_dir != cluster::DataDir::initialized || pg.system_id.empty()) return false;
    if (view.initialized() || view.leader || m.paused()) return false;
    if (view.initialize) {
        m.say("adopt", Note::Level::info, "another member is bootstrapping the cluster");
        return false;
    }
    if (pg.server == cluster::Server::running && pg.in_recovery) {
        s.exiting = true;
        m.tell(Exit{1,
                    "PostgreSQL runs here as a replica, but the DCS knows of no cluster of this "
                    "scope: start relevo "
                    "on its primary first"});
        return true;
    }
    if (pg.server != cluster::Server::running && pg.server != cluster::Server::stopped)
        return false;
    if (m.committing(CommitFor::put_initialize)) return true;
    m.tell(Note{Note::Level::info, "the existing data becomes the first member of the cluster"});
    m.commit(CommitFor::put_initialize,
             cluster::keys::put_initialize(pg.system_id, view.initialize_revision));
    return true;
}

void undo(Mind& m, Bootstrapping& p, std::string why) {
    p.failure = std::move(why);
    p.stage = Bootstrapping::Stage::undo;
    m.tell(Note{Note::Level::error, "bootstrap failed: " + p.failure});
    m.s.stop_wanted = true;
    m.emit(KillPg{});
    m.commit(CommitFor::cancel_initialize, cluster::keys::cancel_initialize(p.claim));
}

// The cluster is ours to make.
void initialize(Mind& m, Bootstrapping& p) {
    const bool empty = m.s.pg->data_dir == cluster::DataDir::empty;
    p.stage = empty ? Bootstrapping::Stage::initialize : Bootstrapping::Stage::clear;
    if (empty)
        m.emit(BootstrapPg{});
    else
        m.emit(SetAsidePg{});
}

void finish(Mind& m, Bootstrapping& p) {
    State& s = m.s;
    if (m.committing(CommitFor::finish_bootstrap)) return;
    if (s.pg->system_id.empty())
        return undo(m, p, "the new cluster's system identifier cannot be read");
    m.commit(CommitFor::finish_bootstrap,
             cluster::keys::finish_bootstrap(s.self.name, s.pg->system_id, s.self.initial_config,
                                             p.claim, s.dcs->sync.mod_revision));
}

void finished(Mind& m) {
    m.tell(Note{Note::Level::info, "initialized a new cluster"});
    m.s.procedure = std::monostate{};
}

// The last write's outcome was unknown; now the DCS was read.
void find_out(Mind& m, Bootstrapping& p) {
    State& s = m.s;
    if (m.committing(CommitFor::finish_bootstrap)) return;
    if (s.dcs->initialize == s.pg->system_id) return finished(m);
    if (s.dcs->initialize == "" && s.dcs->initialize_revision == p.claim && !s.dcs->leader)
        return finish(m, p);
    undo(m, p, "the claim was lost");
}

}  // namespace

namespace {

// Our right to make the cluster: the claim, which ends with the lease it hangs on.
std::string claim_lost(const Mind& m) {
    const State& s = m.s;
    if (!s.lease || m.now.mono >= s.lease->until)
        return "the lease that the claim hangs on has run out";
    const auto* view = m.view();
    if (!view) return {};
    if (view->leader && view->leader->name != s.self.name)
        return view->leader->name + " leads the cluster meanwhile";
    return {};
}

// A restored cluster may recover for hours, and nobody but a primary takes the roles.
void await_primary(Mind& m, Bootstrapping& p) {
    const auto& pg = *m.s.pg;
    if (m.running<Observe>()) return;
    if (pg.primary()) {
        p.stage = Bootstrapping::Stage::roles;
        m.emit(PostBootstrapPg{});
        m.emit(Observe{});
        return;
    }
    if (pg.server == cluster::Server::stopped)
        return undo(m, p, "PostgreSQL ended before its recovery was over; its own log tells why");
    m.say("recovery", Note::Level::info,
          pg.replay_paused
              ? "the recovery of the new cluster is paused at its target: pg_wal_replay_resume() "
                "ends it (recovery_target_action: promote would have)"
              : "waiting for the recovery of the new cluster to end");
    const Instant due = m.s.pg_seen + recovery_look_again;
    if (m.now.mono >= due)
        m.emit(Observe{});
    else
        m.wake_by(due);
}

// Goes on in bootstrap_done; here only what no effect's end tells.
bool go_on(Mind& m, Bootstrapping& p) {
    using Stage = Bootstrapping::Stage;
    if (p.stage == Stage::undo) {
        if (m.pg_busy()) return true;
        p.stage = Stage::undo_files;
        m.emit(SetAsidePg{});
    } else if (p.stage != Stage::claim && p.stage != Stage::undo_files && !m.running<KillPg>()) {
        const auto why = claim_lost(m);
        if (!why.empty() && (p.unsure || m.committing(CommitFor::finish_bootstrap))) {
            // Perhaps the cluster is made and others have joined: nothing is undone, and the
            // ordinary rules decide on what the DCS says when it can be read.
            m.tell(Note{Note::Level::warning, "the end of the bootstrap is not known: " + why});
            m.s.unfinished_claim = p.claim;
            m.s.procedure = std::monostate{};
            return false;
        }
        if (!why.empty())
            undo(m, p, why);
        else
            m.wake_by(m.s.lease->until);
        if (p.stage == Stage::recover) await_primary(m, p);
    }
    return true;
}

// The cluster of a bootstrap whose end was not known, when the DCS says that the end was not
// written and that nobody else began: without this our own claim, which lives as long as our lease,
// would keep everybody waiting.
bool finish_what_was_made(Mind& m, const cluster::Snapshot& view) {
    State& s = m.s;
    if (s.unfinished_claim == 0 || s.pg->data_dir != cluster::DataDir::initialized) return false;
    if (view.initialize != "" || view.initialize_revision != s.unfinished_claim || view.leader) {
        s.unfinished_claim = 0;
        return false;
    }
    // Only the files tell the identifier of a server that cannot be asked yet.
    if (s.pg->system_id.empty() || !claim_lost(m).empty()) return false;
    m.tell(Note{Note::Level::info, "finishing the bootstrap that was interrupted"});
    s.procedure = Bootstrapping{Bootstrapping::Stage::finish, {}, true, s.unfinished_claim};
    finish(m, std::get<Bootstrapping>(s.procedure));
    return true;
}

}  // namespace

// A server that came up in a bootstrap whose agent did not see the end: without the roles and what
// post_bootstrap does nobody could go on with it, and nobody was promised anything of it.
bool unfinished_cluster(Mind& m) {
    State& s = m.s;
    if (!s.pg->unfinished_cluster || s.pg->server == cluster::Server::stopped || m.paused() ||
        m.pg_busy() || holds<Bootstrapping>(s.procedure) || holds<Restoring>(s.procedure))
        return false;
    m.tell(Note{Note::Level::warning,
                "stopping a server whose bootstrap was interrupted: it is made anew"});
    s.stop_wanted = true;
    m.emit(KillPg{});
    return true;
}

bool bootstrap(Mind& m) {
    State& s = m.s;
    if (auto* p = procedure<Bootstrapping>(m)) return go_on(m, *p);
    const auto* view = m.view();
    if (!view || !holds<std::monostate>(s.procedure)) return false;
    if (finish_what_was_made(m, *view)) return true;
    if (adopt(m, *view)) return true;
    // Half made, while the DCS knows of no cluster: an earlier bootstrap of ours that did not
    // finish.
    const bool fillable =
        s.pg->data_dir == cluster::DataDir::empty || s.pg->data_dir == cluster::DataDir::half_made;
    if (!fillable || view->leader || m.paused()) return false;
    const bool ours = view->initialize && view->initialize->empty() && s.lease &&
                      view->initialize_lease == s.lease->id;
    if (ours) {  // the claim was made after all, though its answer was lost
        s.procedure =
            Bootstrapping{Bootstrapping::Stage::claim, {}, false, view->initialize_revision};
        initialize(m, std::get<Bootstrapping>(s.procedure));
        return true;
    }
    if (view->initialize) return false;  // initialised, or somebody is at it
    if (m.committing(CommitFor::claim_initialize)) return true;
    if (!s.self.may_bootstrap || s.self.tags.nofailover() || s.settings.standby_cluster) {
        m.say("bootstrap", Note::Level::info,
              "waiting for another member to bootstrap the cluster");
        return false;
    }
    if (watchdog_failed(s)) {
        m.say("bootstrap", Note::Level::error,
              "not bootstrapping: watchdog.mode is required, but " + s.watchdog.problem);
        return false;
    }
    // The claim hangs on the lease: on one that is good, or it would be refused in a loop.
    if (!s.lease || m.now.mono >= s.lease->until || s.lease_retry_at > s.lease->asked_at)
        return false;
    s.procedure = Bootstrapping{};
    m.tell(Note{Note::Level::info, "trying to bootstrap a new cluster"});
    m.commit(CommitFor::claim_initialize, cluster::keys::claim_initialize());
    return true;
}

void bootstrap_done(Mind& m, Bootstrapping& p, const Effect& effect, const EffectDone& done) {
    State& s = m.s;
    using Stage = Bootstrapping::Stage;
    const auto* commit = std::get_if<Commit>(&effect);
    const auto* result = std::get_if<cluster::TxnResult>(&done.payload);
    const bool refused = done.error || (result && !result->succeeded);
    switch (p.stage) {
        case Stage::claim:
            if (!commit || commit->purpose != CommitFor::claim_initialize) return;
            if (refused) {  // somebody else was first; or unknown: the next view tells
                s.procedure = std::monostate{};
                if (done.error && !m.running<ReadDcs>()) m.emit(ReadDcs{m.dcs_deadline()});
                return;
            }
            p.claim = result->revision;
            initialize(m, p);
            return;
        case Stage::clear:
            if (!holds<SetAsidePg>(effect)) return;
            if (done.error) return undo(m, p, done.error->message);
            p.stage = Stage::initialize;
            m.emit(BootstrapPg{});
            return;
        case Stage::initialize: {
            if (!holds<BootstrapPg>(effect)) return;
            if (done.error) return undo(m, p, done.error->message);
            p.stage = Stage::start;
            cluster::StartPlan plan;
            plan.as_primary = true;
            plan.callback_role = cluster::Role::primary;
            m.emit(StartPg{plan, Instant::max()});
            return;
        }
        case Stage::start:
            if (!holds<StartPg>(effect)) return;
            if (done.error && done.error->code != ErrorCode::outcome_unknown)
                return undo(m, p, done.error->message);
            p.stage = Stage::recover;  // go_on, once it was looked at
            return;
        case Stage::recover: return;
        case Stage::roles:
            if (!holds<PostBootstrapPg>(effect)) return;
            if (done.error) return undo(m, p, done.error->message);
            p.stage = Stage::finish;
            m.emit(Observe{});
            return;
        case Stage::finish:
            if (holds<Observe>(effect) && !p.unsure) return finish(m, p);
            if (holds<ReadDcs>(effect) && p.unsure && !done.error) return find_out(m, p);
            if (!commit || commit->purpose != CommitFor::finish_bootstrap) return;
            if (refused && (done.error ||
                            p.unsure)) {  // perhaps it was written: look before anything is undone
                p.unsure = true;
                if (!m.running<ReadDcs>()) m.emit(ReadDcs{m.dcs_deadline()});
                return;
            }
            if (refused) return undo(m, p, "the claim was lost");
            finished(m);
            return;
        case Stage::undo: return;
        case Stage::undo_files:
            if (!holds<SetAsidePg>(effect)) return;
            s.exiting = true;
            m.tell(Exit{1, "bootstrap failed: " + p.failure +
                               ". What was made is kept beside the data directory as "
                               "*.failed"});
            return;
    }
}

}  // namespace relevo::core
