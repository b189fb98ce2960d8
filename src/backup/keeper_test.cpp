#include "backup/keeper.h"

#include <gtest/gtest.h>

namespace relevo::backup {
namespace {

using cluster::BackupJob;
using cluster::JobAsker;
using cluster::JobState;
using cluster::JobWhat;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr Instant start{std::chrono::hours(1)};
const WallTime noon = parse_iso("2026-05-14T12:00:00Z")->time;

// pg-0 leads, pg-1 and pg-2 stream from it.
Look three() {
    Look look;
    look.leader = "pg-0";
    look.term = 70;
    look.members["pg-0"] = {.created = 10, .standby = false, .synchronous = false, .lag = 0};
    look.members["pg-1"] = {.created = 11, .standby = true, .synchronous = true, .lag = 0};
    look.members["pg-2"] = {.created = 12, .standby = true, .synchronous = false, .lag = 500};
    return look;
}

Kept full_backup(std::string_view started) {
    return {std::string(started), cluster::BackupType::full, parse_iso(started)->time};
}

Facts facts_of(const MemberName& self) {
    Facts facts;
    facts.now = start;
    facts.wall = noon;
    facts.self = self;
    facts.leads = self == "pg-0";
    facts.term = 70;
    facts.policy.schedule.full = *cluster::Cron::parse("0 1 * * *");
    facts.policy.standbys_reach_primary = true;
    facts.look = three();
    facts.fresh_token = self + "/1";
    facts.listing = Listing{start, 0, {}, true, false};
    return facts;
}

BackupJob requested(const MemberName& member) {
    BackupJob job;
    job.id = "j1";
    job.requested = noon;
    job.member = member;
    return job;
}

void set_job(Facts& facts, BackupJob job, Revision revision = 100) {
    job.revision = revision;
    facts.look.job = std::move(job);
    facts.look.job_revision = revision;
    if (facts.listing) facts.listing->job_revision = revision;
}

BackupJob running(const MemberName& member, const std::string& run, Revision under) {
    auto job = requested(member);
    job.state = JobState::running;
    job.run = run;
    job.under = under;
    job.ttl_s = 30;
    job.primary = "pg-0";
    job.attempts = 1;
    job.begun = noon;
    return job;
}

// pg-2 runs it, and read the DCS just now.
struct Runner {
    Mind mind;
    Facts facts = facts_of("pg-2");
    Runner() {
        set_job(facts, running("pg-2", "pg-2/1", 12));
        mind.token = "pg-2/1";
        mind.begun = true;
        facts.run = Run{"pg-2/1", std::nullopt, {}};
        heard(mind, facts.look, "pg-2", start);
    }
    Decision decide() { return backup::decide(mind, facts); }
};

TEST(Lead, AsksForWhatIsDueAndChoosesAStandbyNoCommitWaitsFor) {
    Mind mind;
    auto facts = facts_of("pg-0");
    const auto decision = decide(mind, facts);
    ASSERT_TRUE(decision.write);
    EXPECT_EQ(decision.write->job.what, JobWhat::full);
    EXPECT_EQ(decision.write->job.member, "pg-2");
    EXPECT_EQ(decision.write->job.asker, JobAsker::schedule);
    EXPECT_EQ(decision.write->known, 0);
    EXPECT_EQ(decision.write->term, 70);
}

TEST(Lead, NobodyElseAsks) {
    Mind mind;
    auto facts = facts_of("pg-1");
    EXPECT_FALSE(decide(mind, facts).write);
    facts = facts_of("pg-0");
    facts.leads = false;  // the lease has run out, the key is still there
    EXPECT_FALSE(decide(mind, facts).write);
}

TEST(Lead, LooksIntoTheRepositoryBeforeItAsks) {
    Mind mind;
    auto facts = facts_of("pg-0");
    facts.listing.reset();
    auto decision = decide(mind, facts);
    EXPECT_FALSE(decision.write);
    EXPECT_TRUE(decision.list);
    // An old list, or one from before the last job, is not relied on.
    facts.listing = Listing{start - minutes(1), 0, {}, true, false};
    decision = decide(mind, facts);
    EXPECT_FALSE(decision.write);
    EXPECT_TRUE(decision.list);
    facts.listing = Listing{start, 7, {}, true, false};
    EXPECT_TRUE(decide(mind, facts).list);
    EXPECT_FALSE(decide(mind, facts).write);
}

TEST(Lead, NothingIsBegunInMaintenanceModeByItself) {
    Mind mind;
    auto facts = facts_of("pg-0");
    facts.paused = true;
    EXPECT_FALSE(decide(mind, facts).write);
}

TEST(Lead, WakesForTheSchedule) {
    Mind mind;
    auto facts = facts_of("pg-0");
    facts.wall = parse_iso("2026-05-15T00:59:50Z")->time;
    facts.listing->backups = {full_backup("2026-05-14T01:00:00Z")};
    const auto decision = decide(mind, facts);
    EXPECT_FALSE(decision.write);
    EXPECT_EQ(decision.wake_at, start + seconds(10));
}

Facts with_a_hole() {
    auto facts = facts_of("pg-0");
    facts.listing->backups = {full_backup("2026-05-14T01:00:00Z")};
    facts.hole = HoleBehind{facts.listing->backups.back().label, start};
    return facts;
}

TEST(Hole, IsClosedByAFullBackupWhateverTheCalendarSays) {
    Mind mind;
    auto facts = with_a_hole();
    ASSERT_TRUE(decide(mind, facts).write);
    EXPECT_EQ(decide(mind, facts).write->job.what, JobWhat::full);
    EXPECT_FALSE(decide(mind, facts).write->job.due);
    facts.policy.schedule = {};
    EXPECT_TRUE(decide(mind, facts).write) << "no schedule at all";
    facts.hole.reset();
    EXPECT_FALSE(decide(mind, facts).write);
    facts = with_a_hole();
    facts.paused = true;
    EXPECT_FALSE(decide(mind, facts).write) << "maintenance mode";
}

// Whoever found it has not looked since the backup was made.
TEST(Hole, BehindAnotherBackupThanTheNewestIsOldNews) {
    Mind mind;
    auto facts = with_a_hole();
    facts.listing->backups.push_back(full_backup("2026-05-14T11:59:00Z"));
    EXPECT_FALSE(decide(mind, facts).write);
}

TEST(Hole, DoesNotWaitForTheRestOfWhatFailedBeforeTheRepositoryAnswered) {
    Mind mind;
    auto facts = with_a_hole();
    facts.hole.reset();
    auto job = requested("pg-0");
    job.state = JobState::failed;
    job.attempts = 9;
    job.ended = noon;
    set_job(facts, job);
    EXPECT_FALSE(decide(mind, facts).write);
    facts.now += seconds(20);
    facts.hole = HoleBehind{facts.listing->backups.back().label, facts.now};
    ASSERT_TRUE(decide(mind, facts).write);
    EXPECT_EQ(decide(mind, facts).write->job.attempts, 9);
    // And it fails in turn: that rests.
    job.attempts = 10;
    set_job(facts, job, 101);
    facts.now += seconds(5);
    facts.listing->at = facts.now;
    EXPECT_FALSE(decide(mind, facts).write);
    facts.now += minutes(15);
    facts.listing->at = facts.now;
    EXPECT_TRUE(decide(mind, facts).write);
}

TEST(Hole, EndsAProofThatGoesOn) {
    Mind mind;
    auto facts = with_a_hole();
    auto job = running("pg-2", "pg-2/1", 12);
    job.what = JobWhat::proof;
    set_job(facts, job);
    ASSERT_TRUE(decide(mind, facts).write);
    EXPECT_EQ(decide(mind, facts).write->job.stop, "it makes way for the full backup that is due");
    facts.hole.reset();
    EXPECT_FALSE(decide(mind, facts).write);
}

TEST(Lead, LeavesARunThatLivesAlone) {
    Mind mind;
    auto facts = facts_of("pg-0");
    set_job(facts, running("pg-2", "pg-2/1", 12));
    facts.now += std::chrono::hours(20);
    EXPECT_FALSE(decide(mind, facts).write);
}

TEST(Lead, BuriesARunOnlyALeaseAfterItsRunnerWasSeenToBeGone) {
    Mind mind;
    auto facts = facts_of("pg-0");
    set_job(facts, running("pg-2", "pg-2/1", 12));
    facts.look.members.erase("pg-2");
    auto decision = decide(mind, facts);
    EXPECT_FALSE(decision.write);
    EXPECT_EQ(decision.wake_at, start + seconds(30));
    // It is back, under another key: that is another life of it, and the wait goes on.
    facts.look.members["pg-2"] = {.created = 99, .standby = true, .synchronous = false, .lag = 0};
    facts.now += seconds(29);
    EXPECT_FALSE(decide(mind, facts).write);
    facts.now += seconds(1);
    decision = decide(mind, facts);
    ASSERT_TRUE(decision.write);
    EXPECT_EQ(decision.write->job.state, JobState::failed);
    EXPECT_TRUE(decision.write->job.interrupted);
    EXPECT_EQ(decision.write->known, 100);
}

TEST(Lead, WaitsByTheLongerLeaseOfTheTwo) {
    Mind mind;
    auto facts = facts_of("pg-0");
    set_job(facts, running("pg-2", "pg-2/1", 12));
    facts.look.members.erase("pg-2");
    facts.policy.ttl = seconds(5);  // shortened since: the runner may not know
    EXPECT_EQ(decide(mind, facts).wake_at, start + seconds(30));
}

TEST(Lead, LeavesTimeToDieWhereTheLeaseIsShort) {
    for (const int ttl : {3, 4, 5, 30})
        EXPECT_GE(grave(seconds(ttl)), patience(seconds(ttl)) + dying) << ttl;
}

TEST(Lead, GivesAJobThatIsNotBegunToAnother) {
    Mind mind;
    auto facts = facts_of("pg-0");
    set_job(facts, requested("pg-2"));
    EXPECT_FALSE(decide(mind, facts).write);
    facts.now += seconds(30);
    const auto decision = decide(mind, facts);
    ASSERT_TRUE(decision.write);
    EXPECT_EQ(decision.write->job.member, "pg-1");
    EXPECT_EQ(decision.write->job.declined, std::vector<std::string>{"pg-2"});
}

TEST(Lead, ThePrimaryServesWhereNoStandbyCan) {
    Mind mind;
    auto facts = facts_of("pg-0");
    auto job = requested("");
    job.declined = {"pg-1", "pg-2"};
    set_job(facts, job);
    auto decision = decide(mind, facts);
    ASSERT_TRUE(decision.write);
    EXPECT_EQ(decision.write->job.member, "pg-0");
    // Where a standby is demanded, nobody is until one can; then all are asked again.
    facts.policy.from = From::standby;
    decision = decide(mind, facts);
    EXPECT_FALSE(decision.write);
    EXPECT_NE(decision.waits, "");
    facts.now += seconds(30);
    decision = decide(mind, facts);
    ASSERT_TRUE(decision.write);
    EXPECT_EQ(decision.write->job.member, "pg-2");
}

TEST(Lead, AFailedJobIsMadeAgainLaterAndLater) {
    Mind mind;
    auto facts = facts_of("pg-0");
    auto job = running("pg-2", "pg-2/1", 12);
    job.state = JobState::failed;
    job.attempts = 3;
    set_job(facts, job);
    auto decision = decide(mind, facts);
    EXPECT_FALSE(decision.write);
    EXPECT_EQ(decision.wake_at, start + minutes(4));
    facts.now += minutes(4);
    facts.listing->at = facts.now;
    decision = decide(mind, facts);
    ASSERT_TRUE(decision.write);
    EXPECT_EQ(decision.write->job.attempts, 3);
    EXPECT_NE(decision.write->job.id, "j1");
    job.attempts = 900;
    EXPECT_EQ(backoff(job), minutes(15));
    job.interrupted = true;
    EXPECT_EQ(backoff(job), minutes(1));
    job.attempts = 1;
    EXPECT_EQ(backoff(job), seconds(1));
}

TEST(Lead, AnOperatorsJobIsMadeAgainWhenItWasInterruptedOnly) {
    Mind mind;
    auto facts = facts_of("pg-0");
    facts.policy.schedule = {};
    auto job = running("pg-2", "pg-2/1", 12);
    job.state = JobState::failed;
    job.asker = JobAsker::operator_;
    job.what = JobWhat::incremental;
    job.interrupted = true;
    set_job(facts, job);
    EXPECT_FALSE(decide(mind, facts).write);
    facts.now += seconds(1);
    const auto decision = decide(mind, facts);
    ASSERT_TRUE(decision.write);
    EXPECT_EQ(decision.write->job.asker, JobAsker::operator_);
    EXPECT_EQ(decision.write->job.what, JobWhat::incremental);
    job.interrupted = false;
    set_job(facts, job, 101);
    facts.now += std::chrono::hours(1);
    EXPECT_FALSE(decide(mind, facts).write);
}

TEST(Lead, WhatItCannotReadItDoesNotOverwrite) {
    Mind mind;
    auto facts = facts_of("pg-0");
    facts.look.unreadable = true;
    facts.look.job_revision = 5;
    const auto decision = decide(mind, facts);
    EXPECT_FALSE(decision.write);
    EXPECT_NE(decision.waits.find("delete it"), std::string::npos);
    EXPECT_FALSE(request(facts.look, JobWhat::full, noon));
}

TEST(TakeOn, TheChosenMemberWritesItsRunFirstAndBeginsWhenAReadShowsIt) {
    Mind mind;
    auto facts = facts_of("pg-2");
    set_job(facts, requested("pg-2"));
    auto decision = decide(mind, facts);
    ASSERT_TRUE(decision.write);
    EXPECT_FALSE(decision.begin);
    EXPECT_EQ(decision.write->job.state, JobState::running);
    EXPECT_EQ(decision.write->job.run, "pg-2/1");
    EXPECT_EQ(decision.write->job.under, 12);
    EXPECT_EQ(decision.write->job.primary, "pg-0");
    EXPECT_EQ(decision.write->job.attempts, 1);

    // The watch shows that it was written: a read must, since what a watch shows may be old.
    set_job(facts, decision.write->job, 101);
    decision = decide(mind, facts);
    EXPECT_FALSE(decision.begin);
    EXPECT_TRUE(decision.read);
    heard(mind, facts.look, "pg-2", start);
    decision = decide(mind, facts);
    ASSERT_TRUE(decision.begin);
    EXPECT_TRUE(decision.begin->from_standby);
    EXPECT_EQ(decision.begin->primary, "pg-0");
}

TEST(TakeOn, AReadThatIsTooOldIsNotEnough) {
    Mind mind;
    auto facts = facts_of("pg-2");
    set_job(facts, running("pg-2", "pg-2/1", 12));
    mind.token = "pg-2/1";
    heard(mind, facts.look, "pg-2", start - seconds(15));
    EXPECT_FALSE(decide(mind, facts).begin);
}

TEST(TakeOn, WhoIsNoStandbyDeclines) {
    Mind mind;
    auto facts = facts_of("pg-2");
    set_job(facts, requested("pg-2"));
    facts.look.members["pg-2"].standby = false;
    const auto decision = decide(mind, facts);
    ASSERT_TRUE(decision.write);
    EXPECT_EQ(decision.write->job.state, JobState::requested);
    EXPECT_EQ(decision.write->job.member, "");
    EXPECT_EQ(decision.write->job.declined, std::vector<std::string>{"pg-2"});
}

TEST(TakeUp, WhatAnEarlierLifeBeganIsGivenUpOnceItsLockIsFree) {
    Mind mind;
    auto facts = facts_of("pg-2");
    set_job(facts, running("pg-2", "pg-2/0", 12));
    facts.listing->running_here = true;
    EXPECT_FALSE(decide(mind, facts).write);
    facts.listing->running_here = false;
    const auto decision = decide(mind, facts);
    ASSERT_TRUE(decision.write);
    EXPECT_EQ(decision.write->job.state, JobState::failed);
    EXPECT_TRUE(decision.write->job.interrupted);
    // A look at the lock from before is none.
    facts.listing->job_revision = 99;
    EXPECT_FALSE(decide(mind, facts).write);
    EXPECT_TRUE(decide(mind, facts).list);
}

TEST(Run, GoesOnAsLongAsReadsShowIt) {
    Runner runner;
    runner.facts.now += seconds(14);
    const auto decision = runner.decide();
    EXPECT_FALSE(decision.end);
    EXPECT_TRUE(decision.read);
    EXPECT_EQ(decision.wake_at, start + seconds(15));
}

TEST(Run, EndsWhenTheDcsIsSilentForHalfALease) {
    Runner runner;
    runner.facts.now += seconds(15);
    EXPECT_TRUE(runner.decide().end);
}

TEST(Run, EndsWhenItsRecordIsAnothers) {
    Runner runner;
    set_job(runner.facts, running("pg-1", "pg-1/1", 11), 101);
    EXPECT_TRUE(runner.decide().end);
}

TEST(Run, EndsWhenItsRecordIsGone) {
    Runner runner;
    runner.facts.look.job.reset();
    EXPECT_TRUE(runner.decide().end);
}

TEST(Run, EndsWhenItsMemberKeyIsAnotherOne) {
    Runner runner;
    runner.facts.look.members["pg-2"].created = 99;
    // And a read that shows this counts for nothing.
    heard(runner.mind, runner.facts.look, "pg-2", start + seconds(5));
    EXPECT_EQ(runner.mind.heard, start);
    EXPECT_TRUE(runner.decide().end);
}

TEST(Run, EndsWhenAnotherLeadsThanWhomItCopiesFor) {
    Runner runner;
    runner.facts.look.leader = "";  // between two leaders: that may still be the same one
    EXPECT_FALSE(runner.decide().end);
    runner.facts.look.leader = "pg-1";
    EXPECT_TRUE(runner.decide().end);
}

TEST(Run, EndsWithTheAgent) {
    Runner runner;
    runner.facts.stopping = true;
    EXPECT_TRUE(runner.decide().end);
}

TEST(Run, ItsEndIsWritten) {
    Runner runner;
    runner.facts.run->outcome = Outcome{true, false, "20260514-120000F", "made"};
    const auto decision = runner.decide();
    ASSERT_TRUE(decision.write);
    EXPECT_EQ(decision.write->job.state, JobState::done);
    EXPECT_EQ(decision.write->job.label, "20260514-120000F");
    EXPECT_FALSE(decision.forget_run);
    set_job(runner.facts, decision.write->job, 101);
    EXPECT_TRUE(runner.decide().forget_run);
}

TEST(Run, ShowsItsProgressNowAndThen) {
    Runner runner;
    runner.facts.run->progress.percent_x100 = 1234;
    EXPECT_FALSE(runner.decide().write);
    runner.facts.now += seconds(10);
    const auto decision = runner.decide();
    ASSERT_TRUE(decision.write);
    EXPECT_EQ(decision.write->job.progress.percent_x100, 1234);
    EXPECT_EQ(decision.write->job.state, JobState::running);
    EXPECT_FALSE(runner.decide().write);
}

TEST(Request, IsRefusedWhileAJobIsActive) {
    auto look = three();
    EXPECT_TRUE(request(look, JobWhat::full, noon));
    look.job = running("pg-2", "pg-2/1", 12);
    const auto refused = request(look, JobWhat::full, noon);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::conflict);
    EXPECT_NE(refused.error().message.find("pg-2"), std::string::npos);
}

TEST(Choose, APrimaryWithoutAWayForStandbys) {
    const auto look = three();
    EXPECT_EQ(choose(look, From::prefer_standby, false, requested("")).member, "pg-0");
    EXPECT_EQ(choose(look, From::primary, true, requested("")).member, "pg-0");
    const auto none = choose(look, From::standby, false, requested(""));
    EXPECT_EQ(none.member, "");
    EXPECT_NE(none.why_not.find("backup.primary_host"), std::string::npos);
}

TEST(Choose, RetentionIsThePrimarys) {
    auto job = requested("");
    job.what = JobWhat::expire;
    EXPECT_EQ(choose(three(), From::standby, true, job).member, "pg-0");
}

TEST(Verify, IsForAStandbyThatNeedsNoWayToThePrimary) {
    BackupJob job = requested("");
    job.what = JobWhat::verify;
    EXPECT_EQ(choose(three(), From::primary, false, job).member, "pg-2");
    auto alone = three();
    alone.members.erase("pg-1");
    alone.members.erase("pg-2");
    EXPECT_EQ(choose(alone, From::standby, false, job).member, "pg-0");

    Mind mind;
    auto facts = facts_of("pg-2");
    facts.policy.standbys_reach_primary = false;
    job.member = "pg-2";
    set_job(facts, job);
    const auto decision = decide(mind, facts);
    ASSERT_TRUE(decision.write);
    EXPECT_EQ(decision.write->job.state, JobState::running);
}

TEST(Verify, GoesOnUnderAnotherLeader) {
    Runner runner;
    runner.facts.look.leader = "pg-1";
    EXPECT_TRUE(runner.decide().end);
    runner.facts.look.job->what = JobWhat::verify;
    EXPECT_FALSE(runner.decide().end);
}

cluster::ProofRecord proven(std::string_view begun, bool ok) {
    cluster::ProofRecord out;
    out.begun = parse_iso(begun)->time;
    out.ok = ok;
    return out;
}

ProofPolicy every_sunday() {
    ProofPolicy policy;
    policy.when = *cluster::Cron::parse("0 3 * * 0");  // the last one before noon: 2026-05-10
    return policy;
}

TEST(ProofIsDue, WhenItsInstantIsLaterThanTheLastOne) {
    const auto policy = every_sunday();
    EXPECT_FALSE(proof_due({}, {}, {}, noon));
    EXPECT_TRUE(proof_due(policy, {}, {}, noon));  // none was ever made
    EXPECT_TRUE(proof_due(policy, {}, {proven("2026-05-09T10:00:00Z", true)}, noon));
    EXPECT_FALSE(proof_due(policy, {}, {proven("2026-05-10T03:00:00Z", true)}, noon));
    // One from the future keeps none from being made.
    EXPECT_TRUE(proof_due(policy, {}, {proven("2027-05-10T03:00:00Z", true)}, noon));
    // By a clock that is behind it was begun before it was due.
    auto early = proven("2026-05-10T02:59:58Z", true);
    early.due = parse_iso("2026-05-10T03:00:00Z")->time;
    EXPECT_FALSE(proof_due(policy, {}, {early}, noon));
}

TEST(ProofIsDue, AgainAfterAFailureAtGrowingPauses) {
    const auto policy = every_sunday();
    const std::vector once{proven("2026-05-14T11:30:00Z", false)};
    EXPECT_FALSE(proof_due(policy, {}, once, noon));
    EXPECT_TRUE(proof_due(policy, {}, once, noon + minutes(30)));
    const std::vector twice{proven("2026-05-14T09:00:00Z", false),
                            proven("2026-05-14T10:30:00Z", false)};
    EXPECT_FALSE(proof_due(policy, {}, twice, noon));
    EXPECT_TRUE(proof_due(policy, {}, twice, noon + minutes(30)));
    const std::vector often(11, proven("2026-05-14T11:00:00Z", false));
    EXPECT_FALSE(proof_due(policy, {}, often, noon + std::chrono::hours(22)));
    EXPECT_TRUE(proof_due(policy, {}, often, noon + std::chrono::hours(23)));
}

TEST(ProofHost, IsAStandbysAndNeverThePrimarys) {
    BackupJob job = requested("");
    job.what = JobWhat::proof;
    ProofPolicy policy;
    EXPECT_EQ(choose_for_proof(three(), policy, job).member, "pg-2");
    policy.on = "pg-1";
    EXPECT_EQ(choose_for_proof(three(), policy, job).member, "pg-1");
    job.declined = {"pg-1"};
    EXPECT_EQ(choose_for_proof(three(), policy, job).member, "");
    policy.on = "pg-0";
    policy.on_only_member = true;
    EXPECT_EQ(choose_for_proof(three(), policy, job).member, "");
    auto alone = three();
    alone.members.erase("pg-1");
    alone.members.erase("pg-2");
    EXPECT_EQ(choose_for_proof(alone, policy, job).member, "pg-0");
    policy = {};
    EXPECT_EQ(choose_for_proof(alone, policy, job).member, "");
}

struct Leader {
    Mind mind;
    Facts facts = facts_of("pg-0");
    Leader() {
        facts.policy.proof = every_sunday();
        facts.listing->backups = {full_backup("2026-05-14T01:00:00Z")};
    }
    Decision decide() { return backup::decide(mind, facts); }
};

TEST(Proof, IsAskedForWhenNoBackupIsDue) {
    Leader leader;
    auto decision = leader.decide();
    ASSERT_TRUE(decision.write);
    EXPECT_EQ(decision.write->job.what, JobWhat::proof);
    EXPECT_EQ(decision.write->job.member, "pg-2");
    leader.facts.listing->backups = {full_backup("2026-05-13T01:00:00Z")};
    EXPECT_EQ(leader.decide().write->job.what, JobWhat::full);
    leader.facts.listing->backups = {full_backup("2026-05-14T01:00:00Z")};
    leader.facts.look.proofs = {proven("2026-05-14T01:00:00Z", true)};
    EXPECT_FALSE(leader.decide().write);
}

TEST(Proof, ThatIsDoneIsNoBackup) {
    Leader leader;
    leader.facts.wall = parse_iso("2026-05-15T05:00:00Z")->time;
    auto job = running("pg-2", "pg-2/1", 12);
    job.what = JobWhat::proof;
    job.state = JobState::done;
    job.label = leader.facts.listing->backups.front().label;
    job.due = parse_iso("2026-05-15T04:00:00Z")->time;
    set_job(leader.facts, job);
    leader.facts.look.proofs = {proven("2026-05-15T04:00:00Z", true)};
    ASSERT_TRUE(leader.decide().write);
    EXPECT_EQ(leader.decide().write->job.what, JobWhat::full);
}

TEST(Proof, MakesWayForABackupAndThatOnlyOnceForLessThanAFullOne) {
    Leader leader;
    leader.facts.policy.schedule.incremental = *cluster::Cron::parse("0 * * * *");
    auto job = running("pg-2", "pg-2/1", 12);
    job.what = JobWhat::proof;
    job.due = parse_iso("2026-05-10T03:00:00Z")->time;
    job.begun = noon - minutes(30);
    set_job(leader.facts, job);
    auto decision = leader.decide();
    ASSERT_TRUE(decision.write);
    EXPECT_EQ(decision.write->job.stop, "it makes way for the incremental backup that is due");
    EXPECT_EQ(decision.write->term, 70);
    // Its runner ends it, and the next job remembers.
    Runner runner;
    runner.facts.look.job = decision.write->job;
    EXPECT_TRUE(runner.decide().end);
    auto ended = decision.write->job;
    ended.state = JobState::failed;
    ended.interrupted = true;
    set_job(leader.facts, ended, 101);
    decision = leader.decide();
    ASSERT_TRUE(decision.write);
    EXPECT_EQ(decision.write->job.what, JobWhat::incremental);
    EXPECT_EQ(decision.write->job.made_way, job.due);
    job.made_way = job.due;
    set_job(leader.facts, job, 102);
    EXPECT_FALSE(leader.decide().write);
    // A full one always.
    leader.facts.policy.schedule.full = *cluster::Cron::parse("45 11 * * *");
    EXPECT_TRUE(leader.decide().write);
    // Before anything was due again it goes on.
    leader.facts.policy.schedule.full = *cluster::Cron::parse("0 1 * * *");
    job.made_way.reset();
    job.begun = noon + minutes(1);
    set_job(leader.facts, job, 103);
    EXPECT_FALSE(leader.decide().write);
}

TEST(Proof, ThatWasInterruptedHoldsUpNoBackup) {
    Leader leader;
    auto job = running("pg-2", "pg-2/1", 12);
    job.what = JobWhat::proof;
    job.state = JobState::failed;
    job.interrupted = true;
    set_job(leader.facts, job);
    EXPECT_FALSE(leader.decide().write);  // it rests
    job.attempts = 1;
    EXPECT_EQ(backoff(job), seconds(1));
    job.attempts = 100;
    EXPECT_EQ(backoff(job), seconds(1024));
    leader.facts.listing->backups = {full_backup("2026-05-13T01:00:00Z")};
    ASSERT_TRUE(leader.decide().write);
    EXPECT_EQ(leader.decide().write->job.what, JobWhat::full);
    leader.facts.listing->backups = {full_backup("2026-05-14T01:00:00Z")};
    leader.facts.now += minutes(2);
    leader.facts.listing->at = leader.facts.now;
    EXPECT_EQ(leader.decide().write->job.what, JobWhat::proof);
}

TEST(Proof, EndsWhereItsHostIsThePrimarysNow) {
    Runner runner;
    runner.facts.look.job->what = JobWhat::proof;
    runner.facts.look.leader = "pg-1";
    EXPECT_FALSE(runner.decide().end);
    runner.facts.look.leader = "pg-2";
    EXPECT_TRUE(runner.decide().end);
}

TEST(Proof, ItsVerdictIsWrittenWithItsEnd) {
    Runner runner;
    runner.facts.look.job->what = JobWhat::proof;
    Outcome outcome;
    outcome.proof = proven("2026-05-14T11:00:00Z", false);
    runner.facts.run->outcome = outcome;
    const auto decision = runner.decide();
    ASSERT_TRUE(decision.write);
    EXPECT_EQ(decision.write->job.state, JobState::failed);
    EXPECT_EQ(decision.write->proof, outcome.proof);
}

TEST(Proof, IsCancelledByAnOperator) {
    auto look = three();
    EXPECT_FALSE(cancel_proof(look, noon));
    auto job = running("pg-2", "pg-2/1", 12);
    look.job = job;
    EXPECT_FALSE(cancel_proof(look, noon));  // a backup
    look.job->what = JobWhat::proof;
    EXPECT_EQ(cancel_proof(look, noon)->stop, "an operator ended it");
    look.job->state = JobState::requested;
    EXPECT_EQ(cancel_proof(look, noon)->state, JobState::failed);
}

}  // namespace
}  // namespace relevo::backup
