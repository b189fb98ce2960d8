// Who leads and asks for jobs, and who takes them on.
#include <gtest/gtest.h>

#include "backup/keeper_facts.h"

namespace relevo::backup {
namespace {

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
    EXPECT_FALSE(request(facts.look, JobWhat::full, {}, noon));
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

TEST(Request, IsRefusedWhileAJobIsActive) {
    auto look = three();
    EXPECT_TRUE(request(look, JobWhat::full, {}, noon));
    look.job = running("pg-2", "pg-2/1", 12);
    const auto refused = request(look, JobWhat::full, {}, noon);
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

}  // namespace
}  // namespace relevo::backup
