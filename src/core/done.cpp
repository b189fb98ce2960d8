// What the end of an effect means beyond the facts it brought: verdicts, failures, the next step of
// a procedure.
#include <fmt/core.h>

#include "core/mind.h"

namespace relevo::core {

void handover_done(Mind& m, HandingOver& p, const Effect& effect, const EffectDone& done);
void bootstrap_done(Mind& m, Bootstrapping& p, const Effect& effect, const EffectDone& done);
void restart_done(Mind& m, Restarting& p, const Effect& effect, const EffectDone& done);
void reinit_done(Mind& m, Reinitializing& p, const Effect& effect, const EffectDone& done);
void sync_names_done(Mind& m, const EffectDone& done);
void failsafe_answered(Mind& m, const EffectDone& done);
void tail_found_done(Mind& m, CrashFailover& p, const EffectDone& done);
void tail_taken_done(Mind& m, const EffectDone& done);
void admitted(Mind& m, const EffectDone& done);
void senders_told(Mind& m, const PeerAnswers& answers);
void commits_audited(Mind& m, const EffectDone& done);
void commit_reset(Mind& m, const cluster::CommitSetting& setting, const EffectDone& done);
void writes_refused(Mind& m, const RefuseWrites& effect, const EffectDone& done);
void leave_done(Mind& m, Leaving& p, const Effect& effect, const EffectDone& done);
void give_way_done(Mind& m, GivingWay& p, const Effect& effect, const EffectDone& done);
void restoring_done(Mind& m, Restoring& p, const Effect& effect, const EffectDone& done);
void moved_aside(Mind& m, const EffectDone& done);

namespace {

constexpr Duration start_again_after = std::chrono::seconds(1);
constexpr Duration clone_again_after = std::chrono::seconds(5);

void start_done(Mind& m, const EffectDone& done) {
    State& s = m.s;
    s.started_by_us = !done.error || done.error->code == ErrorCode::outcome_unknown;
    if (!done.error) {
        s.start_failures = 0;
        s.crashed = false;
        m.forget("stopped");
        return;
    }
    if (done.error->code == ErrorCode::outcome_unknown) {
        m.tell(Note{Note::Level::warning, "PostgreSQL is still starting: " + done.error->message});
        if (m.leading()) ++s.start_failures;  // primary_start_timeout has passed
        return;
    }
    s.follow_known = false;
    if (s.last_start.ended) return;  // by us
    ++s.start_failures;
    s.retry_start_at = m.now.mono + start_again_after * std::min(s.start_failures, 10);
    m.tell(Note{Note::Level::error, "PostgreSQL could not be started: " + done.error->message});
}

void promote_done(Mind& m, const PromotePg& promote, const EffectDone& done) {
    State& s = m.s;
    if (done.error && done.error->code == ErrorCode::conflict) {
        // An earlier promotion here got as far as its history file. Nothing happened; the next
        // number.
        s.taken_timeline = std::max(s.taken_timeline, promote.plan.to);
        m.tell(Note{Note::Level::warning, done.error->message});
        return;
    }
    if (!done.error) {
        s.checkpoint_wanted = true;
        s.was_primary = true;
        m.tell(Note{Note::Level::info, "promoted"});
        return;
    }
    s.no_race_until = m.now.mono + Duration(s.settings.ttl);
    s.promotion_open = done.error->code == ErrorCode::outcome_unknown;
    m.tell(Note{Note::Level::error, "promotion failed: " + done.error->message});
}

void compared(Mind& m, const EffectDone& done) {
    State& s = m.s;
    if (!s.dcs || !s.dcs->leader) return;
    JudgedSource judged;
    judged.term = s.dcs->leader->create_revision;
    judged.at = m.now.mono;
    judged.at_its_end = s.compared_at_end && at_its_end(s);
    if (const auto* d = std::get_if<cluster::Divergence>(&done.payload)) {
        judged.divergence = *d;
    } else {
        judged.divergence.why = done.error ? done.error->message : "no answer";
        m.say("compare", Note::Level::warning,
              "cannot compare this member's data with the leader's: " + judged.divergence.why);
    }
    if (judged.divergence.verdict == cluster::Divergence::Verdict::streams)
        s.check_divergence = false;
    s.judged = judged;
    m.wake_by(m.now.mono + std::chrono::seconds(1));
}

void probed(Mind& m, const ProbePeers& probe, const EffectDone& done) {
    State& s = m.s;
    const auto* answers = std::get_if<PeerAnswers>(&done.payload);
    if (probe.purpose == ProbeFor::race && s.dcs && !s.dcs->leader) {
        s.race_answers = answers ? *answers : PeerAnswers{};
        for (const auto& [name, answer] : *s.race_answers) {
            auto& rival = s.rivals[name];
            if (answer)
                rival = {m.now.mono, 0};
            else
                ++rival.silent;
        }
    } else if (probe.purpose == ProbeFor::suspicion) {
        if (s.suspected) s.suspected->answers = answers ? *answers : PeerAnswers{};
    } else if (probe.purpose == ProbeFor::rebuild) {
        if (answers) rebuild_answered(m, *answers);
    } else if (probe.purpose == ProbeFor::sender) {
        if (answers) senders_told(m, *answers);
    } else if (probe.purpose == ProbeFor::vote) {
        for (const auto& [name, answer] : answers ? *answers : PeerAnswers{})
            if (answer && answer->primary && s.dcs && s.dcs->led_by(name) && s.pg &&
                answer->timeline == s.pg->timeline)
                s.joined = State::Joined{s.dcs->leader->create_revision, answer->position, {}};
    } else if (auto* crash = std::get_if<CrashFailover>(&s.procedure);
               crash && probe.purpose == ProbeFor::crash) {
        crash->candidate_known = true;
        int fit = 0, votes = 0;
        for (const auto& [name, answer] : answers ? *answers : PeerAnswers{})
            if (answer && answer->running && !answer->primary && !answer->nofailover &&
                !answer->watchdog_failed && (!sync_rules(s) || !answer->voteless) &&
                (!crash->for_room || roomier(s, *answer)) &&
                answer->disk != cluster::DiskState::failed &&
                (s.led_timeline == 0 || answer->timeline == s.led_timeline) &&
                (!s.dcs || distance(s.dcs->status.optime, answer->position) <=
                               s.settings.maximum_lag_on_failover))
                ++fit;
        for (const auto& [name, answer] : answers ? *answers : PeerAnswers{})
            if (answer && answer->running && !answer->primary && !answer->voteless) ++votes;
        // By the sync key one of the voters, and as many more as must agree.
        crash->candidate_found = fit > 0 && (!sync_rules(s) || votes > s.dcs->sync.quorum);
    }
}

// The data is now what the leader of this term had.
void note_copied(State& s, const std::optional<cluster::Upstream>& source) {
    const bool now = source && s.dcs && s.dcs->led_by(source->member) && s.copying_in == term_of(s);
    s.copied_in = now ? s.copying_in : 0;
}

void rewind_done(Mind& m, const RewindPg& rewind, const EffectDone& done) {
    State& s = m.s;
    s.judged.reset();
    s.joined.reset();
    if (!done.error) {
        note_copied(s, rewind.source);
        s.rewind_failed = false;
        s.was_primary = false;
        return;
    }
    m.tell(Note{Note::Level::error, "pg_rewind failed: " + done.error->message});
    if (done.error->code != ErrorCode::unavailable) s.rewind_failed = true;
    s.retry_start_at = m.now.mono + start_again_after;
}

void clone_done(Mind& m, const ClonePg& clone, const EffectDone& done) {
    State& s = m.s;
    s.judged.reset();
    s.joined.reset();
    s.rewind_failed = false;
    s.was_primary = false;
    if (!done.error) {
        note_copied(s, clone.source);
        m.tell(Note{Note::Level::info, "the copy is complete"});
        return;
    }
    m.tell(Note{Note::Level::error, "cloning failed: " + done.error->message});
    s.retry_clone_at = m.now.mono + clone_again_after;
}

}  // namespace

void procedure_done(Mind& m, const Effect& effect, const EffectDone& done) {
    State& s = m.s;
    if (holds<StartPg>(effect))
        start_done(m, done);
    else if (const auto* promote = std::get_if<PromotePg>(&effect))
        promote_done(m, *promote, done);
    else if (holds<ComparePg>(effect))
        compared(m, done);
    else if (const auto* rewind = std::get_if<RewindPg>(&effect))
        rewind_done(m, *rewind, done);
    else if (const auto* clone = std::get_if<ClonePg>(&effect))
        clone_done(m, *clone, done);
    else if (const auto* probe = std::get_if<ProbePeers>(&effect))
        probed(m, *probe, done);
    else if (holds<CrashRecoverPg>(effect)) {
        s.crash_recovered = true;
        if (done.error)
            m.tell(Note{Note::Level::warning, "crash recovery failed: " + done.error->message});
    } else if (holds<FollowPg>(effect) && done.error) {
        s.follow_known = false;
        s.retry_start_at = m.now.mono + start_again_after;
        m.say("follow", Note::Level::warning, "cannot change the upstream: " + done.error->message);
    } else if (holds<MakeStandby>(effect) && done.error) {
        s.standby_again_at = m.now.mono + std::chrono::milliseconds(200);
        m.say("standby", Note::Level::error,
              "standby.signal cannot be written: " + done.error->message);
    } else if (holds<SetSyncNames>(effect)) {
        sync_names_done(m, done);
    } else if (holds<TakeTail>(effect)) {
        tail_taken_done(m, done);
    } else if (holds<AdmitPg>(effect)) {
        admitted(m, done);
    } else if (const auto* refuse = std::get_if<RefuseWrites>(&effect)) {
        writes_refused(m, *refuse, done);
    } else if (holds<AuditCommits>(effect)) {
        commits_audited(m, done);
    } else if (const auto* reset = std::get_if<ResetCommit>(&effect)) {
        commit_reset(m, reset->setting, done);
    } else if (holds<AskFailsafe>(effect)) {
        failsafe_answered(m, done);
    } else if (holds<CheckRebuild>(effect)) {
        rebuild_checked(m, done);
    } else if (holds<SetAsidePg>(effect) || holds<PutBackPg>(effect)) {
        moved_aside(m, done);
    } else if (holds<SyncSlots>(effect) && done.error) {
        m.say("slots", Note::Level::warning, "replication slots: " + done.error->message);
    }

    if (auto* p = std::get_if<HandingOver>(&s.procedure))
        handover_done(m, *p, effect, done);
    else if (auto* b = std::get_if<Bootstrapping>(&s.procedure))
        bootstrap_done(m, *b, effect, done);
    else if (auto* r = std::get_if<Restarting>(&s.procedure))
        restart_done(m, *r, effect, done);
    else if (auto* i = std::get_if<Reinitializing>(&s.procedure))
        reinit_done(m, *i, effect, done);
    else if (auto* l = std::get_if<Leaving>(&s.procedure))
        leave_done(m, *l, effect, done);
    else if (auto* g = std::get_if<GivingWay>(&s.procedure))
        give_way_done(m, *g, effect, done);
    else if (auto* place = std::get_if<Restoring>(&s.procedure))
        restoring_done(m, *place, effect, done);
    else if (auto* c = std::get_if<CrashFailover>(&s.procedure)) {
        if (holds<FindWalEnd>(effect)) tail_found_done(m, *c, done);
        if (holds<MakeStandby>(effect)) c->standby_made = !done.error;
        if (const auto* commit = std::get_if<Commit>(&effect);
            commit && commit->purpose == CommitFor::release) {
            if (done.error && !m.given_up())
                c->stage = CrashFailover::Stage::fence;  // surely not done: again
            else
                s.procedure = std::monostate{};
        }
    }
}

}  // namespace relevo::core
