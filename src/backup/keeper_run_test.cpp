// Who runs a job: until when it may, and what it writes.
#include <gtest/gtest.h>

#include "backup/keeper_facts.h"

namespace relevo::backup {
namespace {

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

}  // namespace
}  // namespace relevo::backup
