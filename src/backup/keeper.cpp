#include "backup/keeper.h"

#include <fmt/chrono.h>
#include <fmt/core.h>

#include <algorithm>

namespace relevo::backup {
namespace {

using cluster::BackupJob;
using cluster::JobAsker;
using cluster::JobState;
using cluster::JobWhat;
using std::chrono::minutes;
using std::chrono::seconds;

// A repository changes behind our back too: somebody deletes a backup, or makes one by hand.
constexpr Duration listing_lasts = std::chrono::hours(1);
// Before a backup is asked for: nobody else may have made it meanwhile.
constexpr Duration listing_is_fresh = seconds(30);
// Between two looks into a repository that cannot be used or does not answer.
constexpr Duration list_again = seconds(5);
// Each is a revision of the DCS that every member reads.
constexpr Duration progress_every = seconds(10);
// The calendar may be set back or forth while we sleep.
constexpr Duration calendar_again = seconds(60);

void wake(Decision& out, Instant at) {
    out.wake_at = out.wake_at ? std::min(*out.wake_at, at) : at;
}

// Since when that has been so, from the first time it was asked.
Instant since(std::optional<Mind::Since>& kept, const std::string& what, Instant now) {
    if (!kept || kept->what != what) kept = Mind::Since{what, now};
    return kept->at;
}

bool names_run(const Look& look, const std::string& token, const MemberName& self) {
    return look.job && look.job->state == JobState::running && look.job->run == token &&
           look.job->member == self && !token.empty();
}

bool in_force(const Look& look, const std::string& token, const MemberName& self) {
    return names_run(look, token, self) && !look.runner_gone();
}

std::string new_id(const Look& look, WallTime wall) {
    return fmt::format("{:%Y%m%dT%H%M%SZ}-{}", std::chrono::floor<seconds>(wall),
                       look.job_revision);
}

// What the next job is to know of the proof that was ended for a backup.
std::optional<WallTime> made_way(const Look& look) {
    if (!look.job) return std::nullopt;
    const auto& job = *look.job;
    const bool ended = job.what == JobWhat::proof && job.state == JobState::failed &&
                       job.interrupted && !job.stop.empty() && job.due;
    return ended ? job.due : job.made_way;
}

BackupJob failed(BackupJob job, std::string why, WallTime wall) {
    job.state = JobState::failed;
    job.interrupted = true;
    job.ended = wall;
    job.result = cluster::job_sentence(why);
    return job;
}

// An operator's job that failed by no verdict: it is made again by itself.
bool comes_again(const BackupJob& job) {
    return job.state == JobState::failed && job.asker == JobAsker::operator_ && job.interrupted &&
           job.stop.empty();
}

BackupJob ended(BackupJob job, const Outcome& outcome, const cluster::JobProgress& progress,
                WallTime wall) {
    job.state = outcome.ok ? JobState::done : JobState::failed;
    job.interrupted = !outcome.ok && outcome.interrupted;
    job.label = outcome.label;
    job.result = cluster::job_sentence(outcome.text);
    job.progress = progress;
    job.ended = wall;
    return job;
}

// ---- who runs it

std::optional<std::string> why_end(const Mind& mind, const Facts& f) {
    if (f.stopping) return "the agent stops";
    if (!names_run(f.look, mind.token, f.self))
        return "its record in the DCS is gone, or names another run";
    if (f.look.runner_gone()) return "this member's lease ran out meanwhile";
    const auto& job = *f.look.job;
    if (!job.stop.empty()) return job.stop;
    if (job.what == JobWhat::proof && f.look.leader == f.self && job.primary != f.self)
        return "this member leads now, and a proof is not made beside the primary";
    if (!cluster::reads_only(job.what) && !f.look.leader.empty() && f.look.leader != job.primary)
        return fmt::format("{} leads now, no longer {}", f.look.leader, job.primary);
    if (!mind.heard || f.now >= *mind.heard + patience(seconds(job.ttl_s)))
        return fmt::format("the DCS has not answered for {} s", to_s(patience(seconds(job.ttl_s))));
    return std::nullopt;
}

void show_progress(Mind& mind, const Facts& f, Decision& out) {
    const auto& job = *f.look.job;
    const auto shown_at = since(mind.shown, job.run, f.now);
    if (f.run->progress == job.progress || f.now < shown_at + progress_every) return;
    mind.shown->at = f.now;
    auto next = job;
    next.progress = f.run->progress;
    out.write = Decision::Write{std::move(next), f.look.job_revision, std::nullopt};
}

void tend(Mind& mind, const Facts& f, Decision& out) {
    if (f.run->outcome) {
        // Whoever waits for the end of this run gets it, also when the lease was lost meanwhile: it
        // has ended, that is all that counts.
        if (names_run(f.look, f.run->token, f.self))
            out.write =
                Decision::Write{ended(*f.look.job, *f.run->outcome, f.run->progress, f.wall),
                                f.look.job_revision, std::nullopt, f.run->outcome->proof};
        else
            out.forget_run = true;
        return;
    }
    out.read = true;
    out.end = why_end(mind, f);
    if (out.end) return;
    show_progress(mind, f, out);
    wake(out, *mind.heard + patience(seconds(f.look.job->ttl_s)));
}

// Its runner can say nothing any more.
void bury(Mind& mind, const Facts& f, Decision& out) {
    const auto& job = *f.look.job;
    const Instant gone = since(mind.gone, job.run, f.now);
    const Instant over = gone + grave(std::max(f.policy.ttl, seconds(job.ttl_s)));
    if (f.now < over) return wake(out, over);
    out.write =
        Decision::Write{failed(job, fmt::format("its runner {} is gone", job.member), f.wall),
                        f.look.job_revision, f.term};
}

// It names this member, which does not run it.
void take_up(Mind& mind, const Facts& f, Decision& out) {
    const auto& job = *f.look.job;
    if (job.run == mind.token && !mind.begun) {
        out.read = true;
        if (f.look.leader.empty() && !f.stopping) return;
        if (f.stopping || f.look.runner_gone() || f.look.leader != job.primary) {
            out.write = Decision::Write{failed(job, "it was given up before it began", f.wall),
                                        f.look.job_revision, std::nullopt};
            return;
        }
        if (!mind.heard || f.now >= *mind.heard + patience(seconds(job.ttl_s))) return;
        mind.begun = true;
        out.begin =
            Decision::Begin{job.run, job.id, job.what, job.primary != f.self, job.primary, job.due};
        return;
    }
    // An earlier life's. The kernel has ended its pgBackRest; but what that had started may live a
    // little longer, and pgBackRest's own lock on this host says how long.
    if (f.leads && f.look.runner_gone()) bury(mind, f, out);
    if (out.write) return;
    const bool looked = f.listing && f.listing->job_revision >= f.look.job_revision;
    if (looked && !f.listing->running_here)
        out.write = Decision::Write{
            failed(job, fmt::format("the agent of {} ended meanwhile", f.self), f.wall),
            f.look.job_revision, std::nullopt};
    else if (!f.listing || !looked || f.now >= f.listing->at + list_again)
        out.list = true;
    wake(out, f.now + list_again);
}

void take_on(Mind& mind, const Facts& f, Decision& out) {
    const auto me = f.look.members.find(f.self);
    if (f.stopping || f.look.leader.empty() || me == f.look.members.end()) return;
    auto job = *f.look.job;
    const bool proves = job.what == JobWhat::proof;
    const bool fit =
        (proves && may_prove(f.look, f.policy.proof, f.self)) || job.what == JobWhat::verify ||
        (!proves &&
         (f.look.leader == f.self || (me->second.standby && f.policy.standbys_reach_primary)));
    if (!fit) {
        job.member.clear();
        job.declined.push_back(f.self);
        out.write = Decision::Write{std::move(job), f.look.job_revision, std::nullopt};
        return;
    }
    mind.token = f.fresh_token;
    mind.begun = false;
    mind.heard.reset();
    job.state = JobState::running;
    job.run = mind.token;
    job.under = me->second.created;
    job.ttl_s = static_cast<int>(f.policy.ttl.count());
    job.primary = f.look.leader;
    ++job.attempts;
    job.begun = f.wall;
    job.progress = {};
    out.write = Decision::Write{std::move(job), f.look.job_revision, std::nullopt};
}

// ---- who leads

// A proof that nobody can make holds up no backup. It counts as a run that was interrupted: it is
// asked for again at growing pauses, as long as nothing else is due.
void give_up(const Facts& f, BackupJob proof, const std::string& why, Decision& out) {
    proof.member.clear();
    ++proof.attempts;
    out.write = Decision::Write{failed(std::move(proof), why, f.wall), f.look.job_revision, f.term};
}

void give(const Facts& f, BackupJob job, Decision& out) {
    const bool proof = job.what == JobWhat::proof;
    const auto choice = proof ? choose_for_proof(f.look, f.policy.proof, job)
                              : choose(f.look, f.policy.from, f.policy.standbys_reach_primary, job);
    out.waits = choice.why_not;
    if (proof && choice.member.empty()) return give_up(f, std::move(job), choice.why_not, out);
    const auto& now = f.look.job;
    if (now && now->state == JobState::requested && now->id == job.id &&
        now->member == choice.member)
        return;  // as it is
    job.member = choice.member;
    out.write = Decision::Write{std::move(job), f.look.job_revision, f.term};
}

// A job that is not in the key yet; false: nobody can do it, and it is not written there, where it
// would be in the way of what somebody can do.
bool offer(const Facts& f, BackupJob job, Decision& out) {
    give(f, std::move(job), out);
    if (out.write && !out.write->job.member.empty()) return true;
    out.write.reset();
    return false;
}

// Chosen, and not begun.
void hurry(Mind& mind, const Facts& f, Decision& out) {
    auto job = *f.look.job;
    const Instant chosen =
        since(mind.chosen, fmt::format("{} {}", job.id, f.look.job_revision), f.now);
    const Instant over = chosen + f.policy.ttl;
    const bool there = f.look.members.contains(job.member);
    if (f.now < over) wake(out, over);
    if (there && f.now < over) return;
    // Who cannot do it now may be able to later: where nobody can, all are asked again in turn.
    if (job.member.empty() && f.now >= over) job.declined.clear();
    if (!job.member.empty() && job.member != f.self) job.declined.push_back(job.member);
    give(f, std::move(job), out);
}

BackupJob fresh_job(const Facts& f, JobWhat what, JobAsker asker) {
    BackupJob job;
    job.id = new_id(f.look, f.wall);
    job.what = what;
    job.asker = asker;
    job.requested = f.wall;
    job.made_way = made_way(f.look);
    return job;
}

// False: no listing that can be relied on, yet.
bool has_listing(const Facts& f, Duration lasts, Decision& out) {
    const bool fits = f.listing && f.listing->job_revision == f.look.job_revision &&
                      f.now < f.listing->at + lasts;
    if (fits && f.listing->usable) return true;
    out.list = !fits || f.now >= f.listing->at + list_again;
    wake(out, f.now + list_again);
    return false;
}

// Behind the newest backup of the listing: what was found behind another one is old news, whatever
// became of it.
bool hole_is_open(const Facts& f) {
    return f.hole && f.listing && !f.listing->backups.empty() &&
           f.listing->backups.back().label == f.hole->backup;
}

// What is due now. proof_rests: one has just failed.
std::optional<Due> wanted_now(const Facts& f, bool proof_rests) {
    if (hole_is_open(f)) return Due{JobWhat::full, std::nullopt};
    std::optional<MadeFor> made;
    const auto& last = f.look.job;
    if (last && last->state == JobState::done && last->due && !cluster::reads_only(last->what))
        made = {last->label, *last->due};
    // A backup before a proof: one waits for its turn, the other is late.
    if (auto backup = due(f.policy.schedule, f.listing->backups, made, f.wall)) return backup;
    if (proof_rests || f.listing->backups.empty()) return std::nullopt;
    const auto proof = proof_due(f.policy.proof, f.policy.schedule.zone, f.look.proofs, f.wall);
    return proof ? std::optional(Due{JobWhat::proof, proof}) : std::nullopt;
}

// Not before the calendar can have changed what is due.
void wake_by_calendar(const Facts& f, Decision& out) {
    wake(out, f.now + calendar_again);
    for (const auto& next :
         {next_instant(f.policy.schedule, f.wall),
          next_proof(f.policy.proof, f.policy.schedule.zone, f.look.proofs, f.wall)})
        if (next && *next - f.wall < calendar_again) wake(out, f.now + (*next - f.wall));
}

void keep_schedule(const Facts& f, bool proof_rests, Decision& out) {
    if ((f.policy.schedule.empty() && !f.policy.proof.when && !f.hole) || f.paused) return;
    wake(out, f.now + calendar_again);
    if (!has_listing(f, listing_lasts, out)) return;
    wake_by_calendar(f, out);
    const auto wanted = wanted_now(f, proof_rests);
    if (!wanted || !has_listing(f, listing_is_fresh, out)) return;
    auto job = fresh_job(f, wanted->what, JobAsker::schedule);
    job.due = wanted->since;
    const auto& last = f.look.job;
    const bool same = last && (last->what == JobWhat::proof) == (job.what == JobWhat::proof);
    if (same && last->state == JobState::failed && last->asker == JobAsker::schedule)
        job.attempts = last->attempts;
    (void)offer(f, std::move(job), out);
}

// WAL is archived while a proof goes on, and nothing is lost by a backup that is late; but it is
// not late by hours. The schedule's own proof is ended once only for less than a full backup: where
// one is made every hour none would ever come to its end.
void make_way_for_backups(const Facts& f, Decision& out) {
    const auto& job = *f.look.job;
    if (f.stopping || f.paused || !job.stop.empty() || !job.begun) return;
    auto wanted = fell_due(f.policy.schedule, *job.begun, f.wall);
    if (hole_is_open(f)) wanted = JobWhat::full;
    const bool again = job.asker == JobAsker::operator_ || (job.due && job.due == job.made_way);
    if (!wanted || (again && *wanted != JobWhat::full)) return wake_by_calendar(f, out);
    auto next = job;
    next.stop = fmt::format("it makes way for the {} that is due", cluster::name_of(*wanted));
    out.write = Decision::Write{std::move(next), f.look.job_revision, f.term, std::nullopt};
}

void lead(Mind& mind, const Facts& f, Decision& out) {
    if (f.look.unreadable) {
        out.waits =
            "the key \"backup\" in the DCS is not understood: if no newer version of relevo runs "
            "in this cluster, delete it";
        return;
    }
    const auto& job = f.look.job;
    if (job && job->state == JobState::running) {
        if (f.look.runner_gone()) return bury(mind, f, out);
        if (job->what == JobWhat::proof) make_way_for_backups(f, out);
        return;
    }
    if (job && job->state == JobState::requested) return hurry(mind, f, out);
    if (f.stopping) return;
    bool proof_rests = false;
    if (job && job->state == JobState::failed) {
        const bool again = comes_again(*job);
        if (again || job->asker == JobAsker::schedule) {
            const auto what = fmt::format("{} {}", job->id, f.look.job_revision);
            const Instant known = since(mind.failed, what, f.now);
            // Whoever found a hole had an answer from the repository: what failed before it may
            // well succeed now.
            const bool answers_since =
                f.hole && f.hole->found > known && job->asker == JobAsker::schedule;
            const Instant over = answers_since ? known : known + backoff(*job);
            proof_rests = job->what == JobWhat::proof && f.now < over;
            if (f.now < over) wake(out, over);
            if (f.now < over && !proof_rests) return;
        }
        if (again && !proof_rests) {
            // Under the same id: somebody may wait for its end.
            auto next = fresh_job(f, job->what, job->asker);
            next.id = job->id;
            next.requested = job->requested;
            next.attempts = job->attempts;
            if (offer(f, std::move(next), out)) return;
        }
    }
    keep_schedule(f, proof_rests, out);
}

std::string in_the_way(const BackupJob& job) {
    const auto name = cluster::name_of(job.what);
    const char* otherwise =
        job.what == JobWhat::proof ? ", or end it (relevoctl backup prove --cancel)" : "";
    if (job.state == JobState::running)
        return fmt::format("{} runs on {}, begun {}: wait for its end{}", name, job.member,
                           job.begun ? to_iso(*job.begun) : "just now", otherwise);
    return fmt::format("{} has been asked for and is about to begin: wait for its end{}", name,
                       otherwise);
}

}  // namespace

void heard(Mind& mind, const Look& look, const MemberName& self, Instant began) {
    if (!in_force(look, mind.token, self)) return;
    mind.heard = mind.heard ? std::max(*mind.heard, began) : began;
}

Duration backoff(const cluster::BackupJob& job) {
    const int times = std::clamp(job.attempts - 1, 0, 10);
    if (job.what == JobWhat::proof) {
        // It restores everything; after a verdict the proofs themselves tell when it is due. One
        // that was ended for a backup begins after that, whose record takes the place of this.
        if (!job.interrupted) return {};
        if (!job.stop.empty()) return minutes(60);
        return seconds(1) * (1 << times);  // up to 17 minutes
    }
    if (job.interrupted) return std::min<Duration>(seconds(1) * (1 << times), minutes(1));
    // A repository that was away for hours is not left alone for hours more.
    return std::min<Duration>(minutes(1) * (1 << times), minutes(15));
}

Result<cluster::BackupJob> request(const Look& look, JobWhat what, const ProofPolicy& proofs,
                                   WallTime wall) {
    if (look.unreadable)
        return fail(ErrorCode::conflict,
                    "the key \"backup\" in the DCS is not understood: if no newer version of "
                    "relevo runs in this cluster, delete it and ask again");
    if (look.job && look.job->active()) return fail(ErrorCode::conflict, in_the_way(*look.job));
    cluster::BackupJob job;
    job.id = new_id(look, wall);
    job.what = what;
    job.asker = JobAsker::operator_;
    job.requested = wall;
    job.made_way = made_way(look);
    // Without a leader nobody knows yet.
    if (what == JobWhat::proof && look.members.contains(look.leader))
        if (const auto choice = choose_for_proof(look, proofs, job); choice.member.empty())
            return fail(ErrorCode::conflict, choice.why_not);
    return job;
}

Result<cluster::BackupJob> cancel_proof(const Look& look, WallTime wall) {
    const bool wanted = look.job && (look.job->active() || comes_again(*look.job));
    if (!wanted || look.job->what != JobWhat::proof)
        return fail(ErrorCode::not_found, "no proof of restore goes on");
    auto job = *look.job;
    job.stop = "an operator ended it";
    if (job.state == JobState::running) return job;
    return failed(std::move(job), "an operator ended it", wall);
}

Decision decide(Mind& mind, const Facts& facts) {
    Decision out;
    const auto& job = facts.look.job;
    if (facts.run) {
        tend(mind, facts, out);
        return out;
    }
    const bool mine = job && job->member == facts.self;
    if (mine && job->state == JobState::running) {
        take_up(mind, facts, out);
        return out;
    }
    if (mine && job->state == JobState::requested) take_on(mind, facts, out);
    if (out.write || !facts.leads) return out;
    if (facts.look.leader != facts.self || facts.look.term != facts.term) return out;
    lead(mind, facts, out);
    return out;
}

}  // namespace relevo::backup
