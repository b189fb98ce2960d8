// switchover, failover, remove: the dialogues, what is sent, and how it ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ctl/fake_context.h"

namespace relevo::ctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

class Change : public testing::Test, public World {
protected:
    Change() { three_members(); }
};

TEST_F(Change, switchoverAsksAndTellsTheLeader) {
    terminal.typed = {"", "db-b", "", "y"};
    http.answer("POST db-a /switchover", 200, "Successfully switched over to \"db-b\"");
    EXPECT_EQ(run({"switchover"}), 0);
    EXPECT_THAT(
        terminal.questions,
        ElementsAre("Primary [db-a]: ", "Candidate ['db-b', 'db-c'] []: ",
                    "When should the switchover take place (e.g. 2030-03-17T20:46 ) [now]: ",
                    "Are you sure you want to switchover cluster orders, demoting current "
                    "leader db-a? [y/N]: "));
    EXPECT_THAT(http.sent,
                ElementsAre(R"(POST db-a /switchover {"leader":"db-a","candidate":"db-b"})"));
    EXPECT_THAT(terminal.output, StartsWith("Current cluster topology\n+ Cluster: orders"));
    EXPECT_THAT(
        terminal.output,
        HasSubstr("2030-03-17 19:46:40.00 Successfully switched over to \"db-b\"\n+ Cluster"));
}

TEST_F(Change, switchoverByForceAsksNothing) {
    http.answer("POST db-a /switchover", 200, "ok");
    EXPECT_EQ(run({"switchover", "orders", "--force"}), 0);
    EXPECT_THAT(terminal.questions, IsEmpty());
    EXPECT_THAT(http.sent, ElementsAre(R"(POST db-a /switchover {"leader":"db-a"})"));
}

TEST_F(Change, switchoverIsScheduledInTheOperatorsZone) {
    terminal.typed = {"y"};
    http.answer("POST db-a /switchover", 202, "Switchover scheduled");
    EXPECT_EQ(run({"switchover", "--primary", "db-a", "--candidate", "db-b", "--scheduled",
                   "2031-02-03T04:05"}),
              0);
    EXPECT_THAT(terminal.questions.back(),
                StartsWith("Are you sure you want to schedule switchover of cluster orders at "
                           "2031-02-03T02:05:00+00:00"));
    EXPECT_THAT(http.sent.back(), HasSubstr(R"("scheduled_at":"2031-02-03T02:05:00+00:00")"));
}

TEST_F(Change, switchoverRefusesWhatCannotBe) {
    EXPECT_EQ(run({"switchover", "--leader", "db-b", "--force"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("db-b is not the leader of cluster orders; db-a is"));
    EXPECT_EQ(run({"switchover", "--candidate", "db-a", "--force"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("db-a leads cluster orders already"));
    EXPECT_EQ(run({"switchover", "--candidate", "db-x", "--force"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("db-x is no member"));
    EXPECT_EQ(run({"switchover", "--scheduled", "soon", "--force"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("cannot read the time"));
    store().put("members/db-b",
                member("db-b", 12, replica(1509949656) + R"(,"tags":{"nofailover":true})"));
    EXPECT_EQ(run({"switchover", "--candidate", "db-b", "--force"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("db-b is tagged nofailover; choose among db-c"));
    EXPECT_THAT(http.sent, IsEmpty());
}

TEST_F(Change, switchoverIsNotScheduledInPause) {
    store().put("config", R"({"pause":true})");
    EXPECT_EQ(run({"switchover", "--scheduled", "2031-02-03T04:05", "--force"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("relevoctl resume orders"));
}

TEST_F(Change, switchoverNeedsALeader) {
    store().put("leader", "");
    EXPECT_EQ(run({"switchover", "--force"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("no leader"));
}

TEST_F(Change, switchoverInAStandbyClusterNamesTheStandbyLeader) {
    store().put("config", R"({"standby_cluster":{"host":"x"}})");
    EXPECT_EQ(run({"switchover"}), 1);
    EXPECT_THAT(terminal.questions, ElementsAre("Standby Leader [db-a]: "));
    EXPECT_EQ(terminal.errors, "Aborted!\n");
}

TEST_F(Change, switchoverThatIsDeclinedChangesNothing) {
    terminal.typed = {"", "", "", "n"};
    EXPECT_EQ(run({"switchover"}), 1);
    EXPECT_EQ(terminal.errors, "Error: Switchover canceled; nothing was changed\n");
    EXPECT_THAT(http.sent, IsEmpty());
}

TEST_F(Change, switchoverThatFailsExitsWithZeroUnlessStrict) {
    http.answer("POST db-a /switchover", 503, "Switchover failed");
    EXPECT_EQ(run({"switchover", "--force"}), 0);
    EXPECT_THAT(terminal.output, HasSubstr("Switchover failed, details: 503, Switchover failed\n"));
    EXPECT_EQ(run({"--strict", "switchover", "--force"}), 1);
}

TEST_F(Change, switchoverThatMayHaveHappenedSaysSo) {
    http.answer("POST db-a /switchover", 503, "Switchover status unknown");
    EXPECT_EQ(run({"switchover", "--force"}), 0);
    EXPECT_THAT(terminal.output, HasSubstr("Switchover result unknown, details: 503"));
}

TEST_F(Change, switchoverFallsBackToFailoverWhereItIsUnknown) {
    http.answer("POST db-a /switchover", 501, "no");
    http.answer("POST db-a /failover", 200, "Successfully switched over");
    EXPECT_EQ(run({"switchover", "--force"}), 0);
    EXPECT_EQ(http.sent.size(), 2U);
    EXPECT_THAT(terminal.output, HasSubstr("Successfully switched over"));
}

TEST_F(Change, switchoverGoesThroughTheDcsWhenNobodyAnswers) {
    EXPECT_EQ(run({"switchover", "--candidate", "db-b", "--force"}), 0);
    EXPECT_EQ(store().at("failover"), R"({"leader":"db-a","member":"db-b"})");
    EXPECT_THAT(terminal.errors, HasSubstr("connection refused"));
}

TEST_F(Change, switchoverIsNotOrderedTwiceWhenItMayHaveBeenTaken) {
    http.break_off("POST db-a /switchover", ErrorCode::outcome_unknown);
    EXPECT_EQ(run({"switchover", "--force", "--strict"}), 1);
    EXPECT_EQ(store().at("failover"), "(none)");
    EXPECT_THAT(terminal.output, HasSubstr("Switchover result unknown"));
}

TEST_F(Change, anotherOrderInTheDcsIsNotOverwritten) {
    store().before_commit = [this] { store().put("failover", R"({"member":"db-c"})"); };
    EXPECT_EQ(run({"switchover", "--candidate", "db-b", "--force"}), 1);
    EXPECT_EQ(store().at("failover"), R"({"member":"db-c"})");
}

TEST_F(Change, failoverNeedsACandidate) {
    EXPECT_EQ(run({"failover", "--force"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("failover needs a candidate"));
}

TEST_F(Change, failoverTellsTheLeaderWhenThereIsOne) {
    terminal.typed = {"db-b", "y"};
    http.answer("POST db-a /failover", 200, "Successfully failed over to \"db-b\"");
    EXPECT_EQ(run({"failover"}), 0);
    EXPECT_THAT(terminal.questions,
                ElementsAre("Candidate ['db-b', 'db-c'] []: ",
                            "Are you sure you want to failover cluster orders, demoting current "
                            "leader db-a? [y/N]: "));
    EXPECT_THAT(http.sent, ElementsAre(R"(POST db-a /failover {"candidate":"db-b"})"));
}

TEST_F(Change, failoverTellsTheCandidateWhenThereIsNoLeader) {
    store().put("leader", "");
    http.answer("POST db-b /failover", 200, "Successfully failed over to \"db-b\"");
    EXPECT_EQ(run({"failover", "--candidate", "db-b", "--force"}), 0);
    EXPECT_EQ(http.sent.size(), 1U);
}

TEST_F(Change, failoverToAnAsynchronousMemberIsAskedTwice) {
    store().put("config", R"({"synchronous_mode":true})");
    store().put("sync", R"({"leader":"db-a","quorum":0,"sync_standby":"db-b"})");
    terminal.typed = {"n"};
    EXPECT_EQ(run({"failover", "--candidate", "db-c"}), 1);
    EXPECT_THAT(terminal.questions.front(), HasSubstr("asynchronous node db-c"));
    terminal.questions.clear();
    terminal.typed = {"n"};
    EXPECT_EQ(run({"failover", "--candidate", "db-b"}), 1);
    EXPECT_THAT(terminal.questions.front(), Not(HasSubstr("asynchronous")));
}

TEST_F(Change, removeWantsThreeAnswers) {
    terminal.typed = {"orders", "Yes I am aware", "db-a"};
    EXPECT_EQ(run({"remove", "orders"}), 0);
    EXPECT_TRUE(store().keys.tree().keys.empty());
    EXPECT_THAT(terminal.questions.back(), HasSubstr("leader name"));
}

TEST_F(Change, removeStopsAtAWrongAnswer) {
    const std::vector<std::deque<std::string>> wrong = {
        {"order"}, {"orders", "yes"}, {"orders", "Yes I am aware", "db-b"}, {}};
    for (const auto& answers : wrong) {
        terminal.typed = answers;
        EXPECT_EQ(run({"remove", "orders"}), 1);
        EXPECT_FALSE(store().keys.tree().keys.empty());
    }
    EXPECT_THAT(terminal.errors, testing::EndsWith("Aborted!\n"));
}

TEST_F(Change, removeWithoutALeaderDoesNotAskForIt) {
    store().put("leader", "");
    terminal.typed = {"orders", "Yes I am aware"};
    EXPECT_EQ(run({"remove", "orders"}), 0);
    EXPECT_TRUE(store().keys.tree().keys.empty());
}

}  // namespace
}  // namespace relevo::ctl
