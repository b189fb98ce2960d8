// Proofs of restore among the jobs.
#include <gtest/gtest.h>

#include "backup/keeper_facts.h"

namespace relevo::backup {
namespace {

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

// The standby that was to make it is gone, or its own configuration names another member.
TEST(Proof, ThatNobodyCanMakeHoldsUpNoBackup) {
    for (const auto asker : {JobAsker::schedule, JobAsker::operator_}) {
        Leader leader;
        leader.facts.look.members.erase("pg-1");
        leader.facts.look.members.erase("pg-2");
        auto job = requested("");
        job.what = JobWhat::proof;
        job.asker = asker;
        job.declined = {"pg-2"};
        set_job(leader.facts, job);
        auto decision = leader.decide();
        ASSERT_TRUE(decision.write);
        job = decision.write->job;
        EXPECT_EQ(job.state, JobState::failed);
        EXPECT_TRUE(job.interrupted);
        EXPECT_NE(job.result.find("there is no standby"), std::string::npos);
        EXPECT_EQ(backoff(job), seconds(1));
        set_job(leader.facts, job, 101);
        leader.facts.listing->backups = {full_backup("2026-05-13T01:00:00Z")};
        for (int i = 0; i < 2; ++i) {  // while it rests, and when it is to be made again
            decision = leader.decide();
            ASSERT_TRUE(decision.write);
            EXPECT_EQ(decision.write->job.what, JobWhat::full);
            leader.facts.now += seconds(2);
        }
        // With nothing due it waits for a standby.
        leader.facts.listing->backups = {full_backup("2026-05-14T01:00:00Z")};
        EXPECT_FALSE(leader.decide().write);
        EXPECT_NE(leader.decide().waits, "");
        leader.facts.look.members = three().members;
        decision = leader.decide();
        ASSERT_TRUE(decision.write);
        EXPECT_EQ(decision.write->job.member, "pg-2");
        EXPECT_EQ(decision.write->job.id == job.id, asker == JobAsker::operator_);
    }
}

TEST(Proof, ThatIsDeclinedAgainAndAgainIsAskedForMoreRarely) {
    Leader leader;
    leader.facts.policy.proof.on = "pg-2";
    auto job = requested("");
    job.what = JobWhat::proof;
    job.declined = {"pg-2"};
    job.attempts = 5;
    set_job(leader.facts, job);
    ASSERT_TRUE(leader.decide().write);
    set_job(leader.facts, leader.decide().write->job, 101);
    EXPECT_EQ(backoff(*leader.facts.look.job), seconds(32));
    EXPECT_FALSE(leader.decide().write);
    leader.facts.now += seconds(32);
    leader.facts.listing->at = leader.facts.now;
    ASSERT_TRUE(leader.decide().write);
    EXPECT_EQ(leader.decide().write->job.attempts, 6);
}

TEST(Proof, IsRefusedWhereNobodyCanMakeIt) {
    auto look = three();
    EXPECT_TRUE(request(look, JobWhat::proof, {}, noon));
    look.members.erase("pg-1");
    look.members.erase("pg-2");
    const auto refused = request(look, JobWhat::proof, {}, noon);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::conflict);
    EXPECT_NE(refused.error().message.find("there is no standby"), std::string::npos);
    EXPECT_TRUE(request(look, JobWhat::full, {}, noon));
    ProofPolicy beside_the_primary;
    beside_the_primary.on_only_member = true;
    EXPECT_TRUE(request(look, JobWhat::proof, beside_the_primary, noon));
    // Who can is known when somebody leads.
    look.leader.clear();
    EXPECT_TRUE(request(look, JobWhat::proof, {}, noon));
}

TEST(Proof, ThatIsAskedForRefusesABackupWithTheWayToEndIt) {
    auto look = three();
    look.job = requested("pg-2");
    const auto word = [&] { return request(look, JobWhat::full, {}, noon).error().message; };
    EXPECT_EQ(word().find("--cancel"), std::string::npos);  // a backup
    look.job->what = JobWhat::proof;
    EXPECT_NE(word().find("relevoctl backup prove --cancel"), std::string::npos);
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
    // One that would come again does not; one that failed for good is over.
    look.job->state = JobState::failed;
    look.job->asker = JobAsker::operator_;
    EXPECT_FALSE(cancel_proof(look, noon));
    look.job->interrupted = true;
    EXPECT_EQ(cancel_proof(look, noon)->stop, "an operator ended it");
}

}  // namespace
}  // namespace relevo::backup
