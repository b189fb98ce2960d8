// restart, reload, reinit, flush.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ctl/fake_context.h"

namespace relevo::ctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

class Members : public testing::Test, public World {
protected:
    Members() { three_members(); }
    void schedule_restart_of_c() {
        store().put("members/db-c",
                    member("db-c", 13,
                           replica(1509949656) +
                               R"(,"scheduled_restart":{"schedule":"2031-02-03T04:05:06+00:00"})"));
    }
};

TEST_F(Members, restartAsksWhenAndWhomAndWhichVersion) {
    terminal.typed = {"", "y", ""};
    for (const char* name : {"db-a", "db-b", "db-c"})
        http.answer(fmt::format("POST {} /restart", name), 200, "restarted successfully");
    EXPECT_EQ(run({"restart", "orders"}), 0);
    EXPECT_THAT(terminal.questions,
                ElementsAre("When should the restart take place (e.g. 2030-03-17T20:47)  [now]: ",
                            "Are you sure you want to restart members db-a, db-b, db-c? [y/N]: ",
                            HasSubstr("version is less than")));
    EXPECT_THAT(http.sent, ElementsAre("POST db-a /restart {}", "POST db-b /restart {}",
                                       "POST db-c /restart {}"));
    EXPECT_THAT(terminal.output, HasSubstr("Success: restart on member db-a\n"
                                           "Success: restart on member db-b\n"
                                           "Success: restart on member db-c\n"));
}

TEST_F(Members, restartTakesOnlyWhoIsMeant) {
    http.answer("POST db-c /restart", 200);
    EXPECT_EQ(run({"restart", "orders", "--pending", "--force"}), 0);
    EXPECT_EQ(run({"restart", "orders", "-r", "replica", "--any", "--force"}), 0);
    EXPECT_EQ(
        run({"restart", "orders", "db-c", "--pg-version", "15.4", "--timeout", "30s", "--force"}),
        0);
    EXPECT_THAT(
        http.sent,
        ElementsAre(R"(POST db-c /restart {"restart_pending":true})", "POST db-c /restart {}",
                    R"(POST db-c /restart {"postgres_version":"15.4","timeout":"30s"})"));
}

TEST_F(Members, restartNamesWhatWentWrong) {
    http.answer("POST db-a /restart", 503, "restart failed");
    http.answer("POST db-b /restart", 409);
    http.break_off("POST db-c /restart", ErrorCode::outcome_unknown);
    EXPECT_EQ(run({"restart", "orders", "--force"}), 0);
    EXPECT_THAT(terminal.output,
                HasSubstr("Failed: restart for member db-a, status code=503, (restart failed)\n"
                          "Failed: another restart is already scheduled on member db-b\n"
                          "Failed: restart for member db-c, its result is unknown"));
    EXPECT_EQ(run({"restart", "orders", "--force", "--strict"}), 1);
}

TEST_F(Members, restartIsScheduled) {
    schedule_restart_of_c();
    http.answer("DELETE db-c /restart", 200);
    http.answer("POST db-c /restart", 202, "Restart scheduled");
    EXPECT_EQ(run({"restart", "orders", "db-c", "--scheduled", "2031-02-03T04:05:06Z", "--force"}),
              0);
    EXPECT_THAT(http.sent,
                ElementsAre("DELETE db-c /restart",
                            R"(POST db-c /restart {"schedule":"2031-02-03T04:05:06+00:00"})"));
    EXPECT_THAT(terminal.output, HasSubstr("Success: restart scheduled on member db-c\n"));
}

TEST_F(Members, restartIsNotScheduledInPause) {
    store().put("config", R"({"pause":true})");
    EXPECT_EQ(run({"restart", "orders", "--scheduled", "2031-02-03T04:05", "--force"}), 1);
    EXPECT_THAT(http.sent, IsEmpty());
}

TEST_F(Members, restartOfNobodyIsAnError) {
    EXPECT_EQ(run({"restart", "orders", "db-x", "--force"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("choose among db-a, db-b, db-c"));
    EXPECT_EQ(run({"restart", "nothing", "--force"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("cluster nothing has no member"));
}

TEST_F(Members, aMisspeltNameBesideAGoodOneIsAWarning) {
    http.answer("POST db-a /restart", 200);
    EXPECT_EQ(run({"restart", "orders", "db-x", "db-a", "--force"}), 0);
    EXPECT_THAT(terminal.errors, StartsWith("Warning: db-x is no member"));
    EXPECT_THAT(http.sent, ElementsAre("POST db-a /restart {}"));
}

TEST_F(Members, restartThatIsDeclinedChangesNothing) {
    terminal.typed = {"now", "n"};
    EXPECT_EQ(run({"restart", "orders"}), 1);
    EXPECT_EQ(terminal.errors, "Error: Restart canceled; nothing was changed\n");
    EXPECT_THAT(http.sent, IsEmpty());
}

TEST_F(Members, reloadSaysWhenItWillHappen) {
    terminal.typed = {"y"};
    http.answer("POST db-a /reload", 202);
    http.answer("POST db-b /reload", 200);
    http.answer("POST db-c /reload", 500, "no");
    EXPECT_EQ(run({"reload", "orders"}), 0);
    EXPECT_THAT(terminal.output,
                HasSubstr("Reload request received for member db-a and will be processed within 10 "
                          "seconds\nNo changes to apply on member db-b\nFailed: reload for member "
                          "db-c, status code=500, (no)\n"));
}

TEST_F(Members, reinitAsksForOneReplica) {
    terminal.typed = {"db-b", "y"};
    http.answer("POST db-b /reinitialize", 200, "reinitialize started");
    EXPECT_EQ(run({"reinit", "orders"}), 0);
    EXPECT_THAT(terminal.questions,
                ElementsAre("Which member do you want to reinitialize [db-b, db-c]? []: ",
                            "Are you sure you want to reinitialize members db-b? [y/N]: "));
    EXPECT_THAT(http.sent,
                ElementsAre(R"(POST db-b /reinitialize {"force":false,"from_leader":false})"));
    EXPECT_THAT(terminal.output, HasSubstr("Success: reinitialize on member db-b\n"));
}

TEST_F(Members, reinitNeverTouchesTheLeader) {
    EXPECT_EQ(run({"reinit", "orders", "db-a", "--force"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("choose among db-b, db-c"));
    EXPECT_THAT(http.sent, IsEmpty());
}

TEST_F(Members, reinitByForceWithoutNamesDoesNothing) {
    EXPECT_EQ(run({"reinit", "orders", "--force"}), 0);
    EXPECT_THAT(http.sent, IsEmpty());
}

TEST_F(Members, reinitOffersToCancelWhatRuns) {
    terminal.typed = {"y", "y"};
    http.answer("POST db-b /reinitialize", 503, "restart already in progress");
    http.answer("POST db-b /reinitialize", 200);
    EXPECT_EQ(run({"reinit", "orders", "db-b", "--from-leader"}), 0);
    EXPECT_THAT(terminal.questions.back(), HasSubstr("cancel it"));
    EXPECT_THAT(http.sent.back(), HasSubstr(R"({"force":true,"from_leader":true})"));
}

TEST_F(Members, reinitWaitsUntilTheMemberIsBack) {
    http.answer("POST db-b /reinitialize", 200);
    http.answer("GET db-b /patroni", 503, R"({"state": "creating replica"})");
    http.answer("GET db-b /patroni", 200, R"({"state": "running"})");
    EXPECT_EQ(run({"reinit", "orders", "db-b", "--force", "--wait"}), 0);
    EXPECT_EQ(clock.time, Instant(std::chrono::seconds(4)));
    EXPECT_THAT(terminal.output, HasSubstr("Reinitialize is completed on: db-b\n"));
}

TEST_F(Members, flushDropsAScheduledRestart) {
    schedule_restart_of_c();
    terminal.typed = {"y"};
    http.answer("DELETE db-b /restart", 404, "no restart is scheduled");
    http.answer("DELETE db-c /restart", 200);
    EXPECT_EQ(run({"flush", "orders", "db-b", "db-c", "restart"}), 0);
    EXPECT_THAT(http.sent, ElementsAre("DELETE db-b /restart", "DELETE db-c /restart"));
    EXPECT_THAT(terminal.output, HasSubstr("No scheduled restart for member db-b\n"
                                           "Success: flush scheduled restart on member db-c\n"));
}

// Its key in the DCS may be older than its schedule, and a dead one has none to drop.
TEST_F(Members, flushAsksEachMemberItself) {
    http.answer("DELETE db-b /restart", 200);  // db-c does not answer
    EXPECT_EQ(run({"flush", "orders", "db-b", "db-c", "restart", "--force"}), 0);
    EXPECT_THAT(terminal.output, HasSubstr("Success: flush scheduled restart on member db-b\n"
                                           "No scheduled restart for member db-c\n"));
}

TEST_F(Members, flushSaysThatDataIsGood) {
    terminal.typed = {"y"};
    http.answer("DELETE db-b /corruption", 404, "nothing was found");
    http.answer("DELETE db-c /corruption", 200);
    EXPECT_EQ(run({"flush", "orders", "db-b", "db-c", "corruption"}), 0);
    EXPECT_THAT(terminal.output, HasSubstr("Nothing was found on member db-b\n"
                                           "Success: flush corruption on member db-c\n"));
    // Who does not answer was told nothing.
    EXPECT_EQ(run({"flush", "orders", "db-a", "corruption", "--force", "--strict"}), 1);
    EXPECT_THAT(terminal.output, HasSubstr("Failed: flush corruption for member db-a"));
}

TEST_F(Members, amcheckIsAskedOfReplicasUnlessMembersAreNamed) {
    http.answer("POST db-b /amcheck", 202);
    http.answer("POST db-c /amcheck", 409, "it goes on since then");
    EXPECT_EQ(run({"amcheck", "orders", "--strict"}), 1);
    EXPECT_THAT(http.sent, ElementsAre("POST db-b /amcheck", "POST db-c /amcheck"));
    EXPECT_THAT(terminal.output, HasSubstr("Member db-b looks through its tables and indexes"));
    EXPECT_THAT(terminal.output, HasSubstr("Failed: amcheck for member db-c"));
    http.answer("DELETE db-b /amcheck", 404, "none");
    http.answer("DELETE db-a /amcheck", 200);
    EXPECT_EQ(run({"amcheck", "orders", "db-a", "db-b", "--cancel"}), 0);
    EXPECT_THAT(terminal.output, HasSubstr("Success: end amcheck on member db-a\n"
                                           "None goes on on member db-b\n"));
}

TEST_F(Members, flushDropsAScheduledSwitchover) {
    EXPECT_EQ(run({"flush", "orders", "switchover"}), 0);
    EXPECT_THAT(terminal.output, HasSubstr("No pending scheduled switchover"));
    store().put("failover", R"({"leader":"db-a","scheduled_at":"2031-02-03T04:05:06+00:00"})");
    http.answer("DELETE db-b /switchover", 200);  // db-a, the leader, does not answer
    EXPECT_EQ(run({"flush", "orders", "switchover"}), 0);
    EXPECT_THAT(http.sent, ElementsAre("DELETE db-a /switchover", "DELETE db-b /switchover"));
    EXPECT_THAT(terminal.output, HasSubstr("Success: scheduled switchover deleted\n"));
}

TEST_F(Members, flushGoesThroughTheDcsWhenNobodyAnswers) {
    store().put("failover", R"({"leader":"db-a","scheduled_at":"2031-02-03T04:05:06+00:00"})");
    EXPECT_EQ(run({"flush", "orders", "switchover"}), 0);
    EXPECT_EQ(store().at("failover"), "{}");
}

}  // namespace
}  // namespace relevo::ctl
