// What the core knows after an event. No decisions here, but for what an answer means by itself.
#include <fmt/core.h>

#include <utility>

#include "core/candidate.h"
#include "core/mind.h"

namespace relevo::core {
namespace {

// Whether an operator's word brought us here: one that he gave to who led already did not.
void note_order(State& s) {
    if (named(s) && s.dcs->failover_revision < s.lead->term) s.leads_by_order = s.lead->term;
}

// The key in the view against the key we believe we hold.
void see_leader_key(Mind& m) {
    State& s = m.s;
    const auto& key = s.dcs->leader;
    if (s.lead && s.dcs->revision >= s.lead->term) {
        if (!key || key->create_revision != s.lead->term) {
            s.lead.reset();
            if (!m.committing(CommitFor::release) && !m.committing(CommitFor::give_way))
                m.say("lead", Note::Level::warning,
                      key ? "lost the leader key to " + key->name : "the leader key is gone");
        }
    } else if (!s.lead && key && key->name == s.self.name && s.lease && key->lease == s.lease->id &&
               s.dcs->revision >= s.floor) {
        // A write whose answer is on its way, or never came, did happen.
        s.lead = Lead{key->create_revision, m.now.mono};
        note_order(s);
    }
    if (key) {
        s.cut.reset();
        s.sealed.reset();
        s.last_led = s.dcs;
        s.unlocked_since.reset();
        s.race_answers.reset();
    } else if (!s.unlocked_since) {
        s.unlocked_since = m.now.mono;
        s.race_answers.reset();
        s.rivals.clear();
        s.race_probe_at = m.now.mono;
    }
}

// Patroni's leader leaves its timeline out while it is being stopped or restarted as asked, which
// does not change it. One that crashed comes up as a replica and is promoted again, to a new one.
void see_leader_serve(State& s) {
    const auto& key = s.dcs->leader;
    const auto* record = s.dcs->leader_member();
    if (!key || !record || record->mod_revision < key->create_revision) return;
    const bool serves = record->running() && record->role == cluster::Role::primary;
    const bool ends =
        record->state == cluster::State::stopping || record->state == cluster::State::stopped;
    if (serves && record->timeline != 0)
        s.shown_term = key->create_revision;
    else if (!serves && !ends)
        s.shown_term = 0;
}

void learn_view(Mind& m, const DcsView& e) {
    State& s = m.s;
    if (s.rules.forward && s.dcs && e.snapshot->revision < s.dcs->revision) return;
    // A primary that the agent finds at its start gets the time of one operation to have its key
    // confirmed.
    if (!s.dcs)
        s.right_until = std::max(s.right_until, m.now.mono + Duration(s.settings.retry_timeout));
    s.dcs = e.snapshot;
    s.dcs_seen = m.now.mono;
    if (s.dcs_down) {
        m.tell(Note{Note::Level::info, "the DCS answers again"});
        s.lease_retry_at =
            std::min(s.lease_retry_at, m.now.mono);  // there may be little left of it
    }
    s.dcs_down = false;
    m.forget("dcs");
    for (const auto& [name, member] : s.dcs->members) {
        s.slot_seen[cluster::slot_name(name)] = m.now.mono;
        auto& known = s.known[name];
        if (known.mod_revision != member.mod_revision) known = member;
    }
    see_leader_key(m);
    see_leader_serve(s);
    learn_grant(m);
}

// What became a primary, however it did, holds more than it has shown. One that hung goes on.
void see_admission(State& s, const cluster::LocalPostgres& seen) {
    using cluster::Server;
    const auto begins = [](Server server) {
        return server == Server::stopped || server == Server::starting;
    };
    auto& known = s.admission.server;
    const bool standby = seen.server == Server::running && seen.in_recovery;
    const bool another = !known.empty() && !seen.postmaster_start_time.empty() &&
                         known != seen.postmaster_start_time;
    if (!s.pg || begins(s.pg->server) || begins(seen.server) || standby || another)
        s.admission = {};
    if (!seen.postmaster_start_time.empty()) known = seen.postmaster_start_time;
}

void learn_postgres(Mind& m, const cluster::LocalPostgres& pg) {
    State& s = m.s;
    const bool was_down = !s.pg || s.pg->server != cluster::Server::running;
    if (pg.server != cluster::Server::stopped) {
        s.tail.reset();  // somebody started it past us
        s.all_dead = false;
    }
    see_admission(s, pg);
    if (pg.server == cluster::Server::stopped || pg.primary()) s.promotion_open = false;
    s.pg = pg;
    s.pg_seen = m.now.mono;
    s.pg_stale = false;
    if (pg.server != cluster::Server::stopped && !pg.in_recovery)
        s.writers = State::Writers::perhaps;
    if (pg.server == cluster::Server::running) {
        s.stopped_by_order = false;
        // It could not run beside what is left of an earlier one.
        if (pg.in_recovery && !s.promotion_open) s.writers = State::Writers::none;
        s.crashed = false;
        s.crash_recovered = false;
        s.start_failures = 0;
        if (pg.primary() && (was_down || !s.was_primary)) s.primary_since = m.now.mono;
        s.was_primary = pg.primary();
        s.led_timeline = pg.primary() || s.lead ? pg.timeline : 0;
        if (was_down && !pg.primary()) s.check_divergence = true;
        if (was_down && !s.started_by_us) s.follow_known = false;  // it came up past us, as it was
    } else if (pg.server == cluster::Server::stopped) {
        s.started_by_us = false;
    }
}

void learn_lease(Mind& m, const EffectDone& done) {
    State& s = m.s;
    if (done.error) {
        // The call had its own deadline: with a small ttl there is time for one more before the
        // fence.
        s.lease_retry_at =
            m.now.mono + std::min<Duration>(std::chrono::seconds(1), Duration(s.settings.ttl) / 30);
        return;
    }
    const auto& kept = std::get<LeaseKept>(done.payload);
    const bool changed = !s.lease || s.lease->id != kept.lease.id;
    s.lease =
        HeldLease{kept.lease.id, kept.asked_at, kept.asked_at + kept.lease.ttl, s.settings.ttl};
    if (changed) {
        s.published.reset();  // the member key dies with the old lease
        // The leader key, if we hold it, still hangs on the lease that is gone: no right before it
        // is rewritten under the new one (look.cpp).
        if (s.lead) {
            s.lead.reset();
            m.tell(
                Note{Note::Level::warning, "the lease was lost: the leader key must be confirmed"});
        }
    }
}

cluster::Revision released_term(const Commit& release) {
    for (const auto& compare : release.txn.compares)
        if (compare.key == cluster::keys::leader) return compare.revision;
    return 0;
}

void learn_taken(Mind& m, const Commit& commit, const cluster::TxnResult* result) {
    State& s = m.s;
    if (!result) return;
    if (!result->succeeded) {
        s.taken_over.reset();
        s.fine = {};
        return;
    }
    s.lead = Lead{result->revision, m.now.mono};
    if (commit.purpose == CommitFor::acquire && s.asked_timeline != 0)
        s.grant = Grant{s.asked_timeline, result->revision};
    // The view may be newer than this answer, and the key gone again.
    if (s.dcs && s.dcs->revision >= s.lead->term) see_leader_key(m);
    if (!s.lead) return;
    s.unlocked_since.reset();
    // The order that brought us here is carried out, but for the promotion.
    if (commit.purpose == CommitFor::acquire && s.dcs && s.dcs->failover &&
        !s.dcs->failover->scheduled_at) {
        note_order(s);
        m.commit(CommitFor::clear_failover,
                 cluster::keys::clear_failover(s.dcs->failover_revision));
    }
}

// The answer may be late: by then another term may be ours.
void learn_given_away(Mind& m, const Commit& release, const EffectDone& done, bool done_ok) {
    State& s = m.s;
    if (!s.lead || s.lead->term != released_term(release)) return;
    if (done.error) {
        if (done.error->code == ErrorCode::outcome_unknown) s.given_up = s.lead->term;
        s.release_again_at = m.now.mono + std::chrono::seconds(1);
    }
    if (done_ok) s.lead.reset();
}

void learn_sync_write(Mind& m, const EffectDone& done, bool done_ok) {
    State& s = m.s;
    if (done.error && s.dcs) s.syncing.unsure = s.dcs->sync.mod_revision;
    if (done.error)
        m.say("sync write", Note::Level::warning,
              "the sync key cannot be written: " + done.error->message);
    else
        m.forget("sync write");
    if (!done_ok) s.sync_again_at = m.now.mono + std::chrono::milliseconds(done.error ? 500 : 50);
}

void learn_commit(Mind& m, const Commit& commit, const EffectDone& done) {
    State& s = m.s;
    const auto* result = done.error ? nullptr : std::get_if<cluster::TxnResult>(&done.payload);
    const bool done_ok = result && result->succeeded;
    if (done_ok) {
        s.floor = std::max(s.floor, result->revision);
        s.floor_since = m.now.mono;
    }
    // Lease gone at the server: the next KeepLease grants a new one.
    if (done.error && done.error->code == ErrorCode::not_found) s.lease_retry_at = m.now.mono;
    switch (commit.purpose) {
        case CommitFor::acquire:
        case CommitFor::finish_bootstrap:
        case CommitFor::finish_restore: learn_taken(m, commit, result); break;
        case CommitFor::timeline:
            if (done_ok && s.lead && s.asked_timeline != 0)
                s.grant = Grant{s.asked_timeline, s.lead->term};
            if (!done_ok) s.timeline_again_at = m.now.mono + std::chrono::milliseconds(50);
            break;
        case CommitFor::rewrite_leader:
            // A rewrite keeps the create revision: the view says which.
            if (!done_ok) s.confirm_again_at = m.now.mono + std::chrono::milliseconds(200);
            break;
        case CommitFor::release:
        case CommitFor::give_way: learn_given_away(m, commit, done, done_ok); break;
        case CommitFor::member:
            if (!done_ok) s.published.reset();
            if (!done_ok) s.published_at = m.now.mono;  // again at the next look, not in a loop
            break;
        case CommitFor::status:
            if (!done_ok) s.status_written.reset();
            // Refused: the term is over, and the view does not show it yet.
            if (result && !done_ok && !m.running<ReadDcs>()) m.emit(ReadDcs{m.dcs_deadline()});
            break;
        case CommitFor::sync:
        case CommitFor::remove_sync: learn_sync_write(m, done, done_ok); break;
        case CommitFor::depose:
            // Refused: somebody was faster, or the votes have changed. Asked again either way.
            if (s.suspected && !done_ok) {
                s.suspected->answers.reset();
                s.suspected->ask_again_at = m.now.mono + std::chrono::milliseconds(100);
            }
            break;
        case CommitFor::history:
        case CommitFor::failsafe:
        case CommitFor::config:
        case CommitFor::claim_initialize:
        case CommitFor::put_initialize:
        case CommitFor::cancel_initialize:
        case CommitFor::clear_failover:
        case CommitFor::grant_restore:
        case CommitFor::cancel_restore:
        case CommitFor::failover_due: break;
        case CommitFor::ask_handover: handover_asked(m, done); break;
        case CommitFor::claim_rebuild: rebuild_claimed(m, done); break;
        case CommitFor::end_rebuild: rebuild_end_written(m, done); break;
    }
}

}  // namespace

void watchdog_done(Mind& m, const Effect& effect, const EffectDone& done);  // watchdog.cpp

// What each finished procedure step means is decided where the procedure lives.
void procedure_done(Mind& m, const Effect& effect, const EffectDone& done);

namespace {

// What an action made of the server, until the next look: the fence does not wait for one, which a
// server that hangs may hold up for two seconds. In doubt it is a primary.
void see_role(Mind& m, const Effect& effect, const EffectDone& done) {
    State& s = m.s;
    if (!s.pg) return;
    const auto* start = std::get_if<StartPg>(&effect);
    if (start && (!done.error || done.error->code == ErrorCode::outcome_unknown)) {
        s.pg->server = cluster::Server::starting;
        s.pg->in_recovery = !start->plan.as_primary;
    } else if (holds<PromotePg>(effect) && s.pg->server != cluster::Server::stopped &&
               (!done.error || done.error->code == ErrorCode::outcome_unknown)) {
        s.pg->in_recovery = false;
        s.pg->timeline = 0;  // not the old one any more; which, the next look tells
    }
}

// After these nothing of the old server is left, or something may be.
void see_writers(State& s, const Effect& effect, const EffectDone& done) {
    const auto* start = std::get_if<StartPg>(&effect);
    const bool ends = holds<StopPg>(effect) || holds<KillPg>(effect);
    if ((start && start->plan.as_primary) || holds<PromotePg>(effect))
        s.writers = State::Writers::perhaps;
    else if (ends && !done.error)
        s.writers = State::Writers::none;
}

void learn_suspicion(Mind& m, const LeaderSuspected& e) {
    State& s = m.s;
    if (!e.suspected) {
        s.suspected.reset();
        return;
    }
    if (!s.suspected || s.suspected->term != e.term)
        s.suspected =
            State::Suspected{e.term, m.now.mono, false, {}, {}, m.now.mono, m.now.mono, {}, {}};
    if (e.alone && !s.suspected->alone) s.suspected->since = m.now.mono;
    s.suspected->alone = e.alone;
}

void learn_done(Mind& m, const EffectDone& done) {
    State& s = m.s;
    const auto at = std::ranges::find(s.running, done.id, &Running::id);
    if (at == s.running.end()) return;
    const Effect effect = std::move(at->effect);
    const Instant asked = at->since;
    // A look that began before the server changed may show it as it was.
    const bool outdated = holds<Observe>(effect) && at->pg_changes != s.pg_changes;
    s.running.erase(at);
    if (outdated) {
        s.pg_stale = true;
        return;
    }

    if (holds<ReadDcs>(effect)) {
        if (done.error) {
            s.dcs_down = true;
            s.read_again_at = m.now.mono + std::chrono::seconds(1);
            m.say("dcs", Note::Level::warning, "the DCS cannot be read: " + done.error->message);
        } else {
            s.dcs_seen = m.now.mono;
            s.read_asked = asked;
            if (s.doubts && asked >= *s.doubts) s.doubts.reset();
        }
    } else if (holds<KeepLease>(effect)) {
        learn_lease(m, done);
    } else if (const auto* commit = std::get_if<Commit>(&effect)) {
        learn_commit(m, *commit, done);
    } else if (const auto* observe = std::get_if<Observe>(&effect)) {
        if (const auto* pg = std::get_if<cluster::LocalPostgres>(&done.payload)) {
            s.pg_asked = asked;
            learn_postgres(m, *pg);
            s.pg_stale = observe->look == cluster::Look::files;
        }
    } else if (!holds<ProbePeers>(effect) && !holds<AskFailsafe>(effect) &&
               !holds<ComparePg>(effect) && !holds<SyncSlots>(effect) &&
               !holds<CheckpointPg>(effect) && !holds<RefuseWrites>(effect) &&
               !holds<AdmitPg>(effect) && !holds<AuditCommits>(effect) &&
               !holds<EndSender>(effect) && !holds<ResetCommit>(effect) &&
               !holds<ArchiveRestPg>(effect) && !holds<FindWalEnd>(effect) &&
               !holds<CheckRebuild>(effect) &&
               !holds<TakeTail>(effect) &&  // nothing is replayed yet
               !holds<MakeStandby>(effect) && !is_watchdog(effect)) {
        s.pg_stale = true;  // the server was changed: look before the next decision
        ++s.pg_changes;
    }
    if (holds<MakeStandby>(effect)) {
        if (s.pg && !done.error) s.pg->standby_signal = true;
    } else if (holds<KillPg>(effect) && s.pg && !done.error) {
        s.pg->server = cluster::Server::stopped;
        s.promotion_open = false;
        s.killed_at = m.now.mono;
        s.all_dead = true;
    }
    see_role(m, effect, done);
    see_writers(s, effect, done);
    if (is_watchdog(effect)) return watchdog_done(m, effect, done);
    if (holds<StopPg>(effect) || holds<KillPg>(effect)) s.stop_wanted = false;
    if (holds<StopPg>(effect)) {
        // Also when the key was lost meanwhile, and with it the switchover.
        const bool hands_over = std::exchange(s.stops_to_hand_over, false);
        if (!done.error) s.stopped_by_order = hands_over && m.paused();
        if (!done.error) s.promotion_open = false;
    }
    procedure_done(m, effect, done);
}

}  // namespace

void learn(Mind& m, const Event& event) {
    State& s = m.s;
    notice_sleep(m);
    if (const auto* view = std::get_if<DcsView>(&event)) {
        learn_view(m, *view);
    } else if (holds<PostmasterExited>(event)) {
        s.pg_stale = true;
        ++s.pg_changes;
        // initdb, pg_rewind and single-user recovery run servers of their own; after a restore the
        // new cluster is started once more.
        const bool inside = m.running<BootstrapPg>() || m.running<PostBootstrapPg>() ||
                            m.running<RewindPg>() || m.running<ClonePg>() ||
                            m.running<CrashRecoverPg>();
        if (!s.stop_wanted && !inside) {
            s.crashed = true;
            m.tell(Note{Note::Level::error, "PostgreSQL ended unexpectedly"});
        }
        if (s.pg) s.pg->server = cluster::Server::stopped;
    } else if (const auto* self = std::get_if<SelfChanged>(&event)) {
        s.self = self->self;
        s.fine = {};
        s.published.reset();
    } else if (const auto* settings = std::get_if<SettingsChanged>(&event)) {
        const bool resumed = s.settings.pause && !settings->settings.pause;
        if (s.lease && s.lease->ttl != settings->settings.ttl) s.lease_retry_at = m.now.mono;
        s.settings = settings->settings;
        s.fine = {};
        if (resumed) s.check_divergence = true;
    } else if (const auto* woke = std::get_if<Woke>(&event)) {
        m.tell(Note{Note::Level::warning,
                    fmt::format("this agent did not run for {:.1f} s (host frozen, suspended or "
                                "overloaded?): asking the DCS who leads",
                                to_s(woke->late))});
        s.next_look = m.now.mono;
        s.doubts = m.now.mono;
    } else if (holds<StopAsked>(event)) {
        s.stop_asked = true;
    } else if (const auto* restart = std::get_if<RestartAsked>(&event)) {
        if (s.restart_asked || holds<Restarting>(s.procedure))
            m.tell(Answer{restart->order, 503, "restart already in progress"});
        else
            s.restart_asked = *restart;
    } else if (const auto* reinit = std::get_if<ReinitAsked>(&event)) {
        if (s.reinit_asked || holds<Reinitializing>(s.procedure))
            m.tell(Answer{reinit->order, 503, "reinitialize already in progress"});
        else
            s.reinit_asked = *reinit;
    } else if (const auto* suspected = std::get_if<LeaderSuspected>(&event)) {
        learn_suspicion(m, *suspected);
    } else if (const auto* backed = std::get_if<LeaderBacked>(&event)) {
        s.backed = *backed;
        s.doubts.reset();
    } else if (const auto* disk = std::get_if<DiskSeen>(&event)) {
        s.disk = *disk;
        s.spare.measured = true;
        if (!cluster::unfit(s.disk.state)) {
            s.spare.pause = {};
            s.spare.could_not.clear();
        }
    } else if (const auto* corruption = std::get_if<CorruptionSeen>(&event)) {
        s.corruption = *corruption;
        s.corruption_known = true;
        if (!s.corruption.corrupted) {
            s.spare.pause = {};
            s.spare.could_not.clear();
        }
    } else if (const auto* archive = std::get_if<ArchiveSeen>(&event)) {
        s.archive = *archive;
    } else if (const auto* ping = std::get_if<FailsafePing>(&event)) {
        // By the longer of both ttls, and whatever is configured later: the leader may not know.
        Instant until = m.now.mono + std::max(ping->ttl, s.settings.ttl);
        if (s.failsafe_ping) until = std::max(until, s.failsafe_ping->until);
        s.failsafe_ping = State::Agreed{ping->from, until};
    } else if (const auto* done = std::get_if<EffectDone>(&event)) {
        learn_done(m, *done);
    }
}

}  // namespace relevo::core
