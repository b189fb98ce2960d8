// show-config, edit-config, pause, resume, demote-cluster, promote-cluster.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ctl/fake_context.h"

namespace relevo::ctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class Config : public testing::Test, public World {
protected:
    Config() { three_members(); }
};

TEST_F(Config, isShownAsSortedYaml) {
    store().put("config", R"({"ttl":30,"postgresql":{"parameters":{"max_connections":100}},)"
                          R"("loop_wait":10})");
    EXPECT_EQ(run({"show-config"}), 0);
    EXPECT_EQ(terminal.output,
              "loop_wait: 10\npostgresql:\n  parameters:\n    max_connections: 100\nttl: 30\n");
}

TEST_F(Config, ofAClusterThatIsNotThereIsAnError) {
    EXPECT_EQ(run({"show-config", "nothing"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("is its name right"));
    EXPECT_EQ(run({"edit-config", "nothing", "-s", "ttl=40", "--force"}), 1);
    EXPECT_EQ(stores["nothing"].at("config"), "(none)");
}

TEST_F(Config, editShowsTheDifferenceAndAsks) {
    terminal.typed = {"y"};
    EXPECT_EQ(run({"edit-config", "-s", "ttl=40", "-p", "max_connections=200"}), 0);
    EXPECT_EQ(terminal.output,
              "--- \n+++ \n@@ -1,3 +1,6 @@\n loop_wait: 10\n+postgresql:\n+  parameters:\n"
              "+    max_connections: 200\n retry_timeout: 10\n-ttl: 30\n+ttl: 40\n"
              "Configuration changed\n");
    EXPECT_THAT(terminal.questions, ElementsAre("Apply these changes? [y/N]: "));
    EXPECT_THAT(store().at("config"),
                HasSubstr(R"("postgresql":{"parameters":{"max_connections":200}})"));
}

TEST_F(Config, editTakesSeveralSettingsAndTheClustersName) {
    EXPECT_EQ(run({"edit-config", "orders", "--force", "-q", "-s", "ttl=25", "-s", "loop_wait=5"}),
              0);
    EXPECT_EQ(store().at("config"), R"({"loop_wait":5,"retry_timeout":10,"ttl":25})");
    EXPECT_EQ(run({"edit-config", "-s", "ttl=26", "orders", "--force", "-q"}), 0);
    EXPECT_THAT(store().at("config"), HasSubstr(R"("ttl":26)"));
    EXPECT_THAT(terminal.output, Not(HasSubstr("@@")));
}

TEST_F(Config, editThatIsDeclinedExitsWithZero) {
    terminal.typed = {"n"};
    const auto before = store().at("config");
    EXPECT_EQ(run({"edit-config", "-s", "ttl=40"}), 0);
    EXPECT_EQ(store().at("config"), before);
    EXPECT_EQ(run({"edit-config", "-s", "ttl=40"}), 1);  // the input ended
    EXPECT_EQ(terminal.errors, "Aborted!\n");
}

TEST_F(Config, editThatChangesNothingSaysSo) {
    EXPECT_EQ(run({"edit-config", "-s", "ttl=30"}), 0);
    EXPECT_EQ(terminal.output, "Not changed\n");
}

TEST_F(Config, editTakesFiles) {
    desk.files["new.yml"] = "ttl: 40\nloop_wait: 10\n";
    desk.files["patch.yml"] = "loop_wait: null\nmaximum_lag_on_failover: 5\n";
    EXPECT_EQ(run({"edit-config", "--replace", "new.yml", "--apply", "patch.yml", "-s",
                   "synchronous_mode=on", "--force"}),
              0);
    EXPECT_EQ(store().at("config"),
              R"({"ttl":40,"maximum_lag_on_failover":5,"synchronous_mode":true})");
    EXPECT_EQ(run({"edit-config", "--apply", "missing.yml", "--force"}), 1);
    desk.files["bad.yml"] = "- 1\n";
    EXPECT_EQ(run({"edit-config", "--replace", "bad.yml", "--force"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("bad.yml: expected a map"));
}

TEST_F(Config, editFromStandardInputNeedsForce) {
    desk.files["-"] = "ttl: 40\n";
    const auto before = store().at("config");
    EXPECT_EQ(run({"edit-config", "--apply", "-"}), 0);
    EXPECT_THAT(terminal.output, HasSubstr("Use --force to apply these changes\n"));
    EXPECT_EQ(store().at("config"), before);
    EXPECT_EQ(run({"edit-config", "--apply", "-", "--force"}), 0);
    EXPECT_NE(store().at("config"), before);
}

TEST_F(Config, editOpensTheEditorWhereNothingIsGiven) {
    terminal.is_terminal = true;
    terminal.typed = {"y"};
    desk.editor = [](const std::string& text) { return text + "synchronous_mode: quorum\n"; };
    EXPECT_EQ(run({"edit-config"}), 0);
    EXPECT_THAT(store().at("config"), HasSubstr(R"("synchronous_mode":"quorum")"));
    ASSERT_EQ(desk.paged.size(), 1U);
    EXPECT_THAT(desk.paged.front(), HasSubstr("+synchronous_mode: quorum"));
}

TEST_F(Config, editDoesNotOverwriteWhatSomebodyElseChanged) {
    store().before_commit = [this] { store().put("config", R"({"ttl":99})"); };
    EXPECT_EQ(run({"edit-config", "-s", "ttl=40", "--force"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("somebody else changed the configuration"));
    EXPECT_EQ(store().at("config"), R"({"ttl":99})");
}

TEST_F(Config, editRepairsAConfigurationThatIsNoJson) {
    store().put("config", "nonsense");
    EXPECT_EQ(run({"show-config"}), 1);
    desk.files["good.yml"] = "ttl: 30\n";
    EXPECT_EQ(run({"edit-config", "--replace", "good.yml", "--force"}), 0);
    EXPECT_EQ(store().at("config"), R"({"ttl":30})");
}

TEST_F(Config, editWarnsOfWhatTheMembersWillNotTake) {
    EXPECT_EQ(run({"edit-config", "-s", "ttl=1", "--force"}), 0);
    EXPECT_THAT(terminal.errors, StartsWith("Warning: "));
}

TEST_F(Config, editRefusesWhatNobodyShouldGoBy) {
    const auto before = store().at("config");
    EXPECT_EQ(run({"edit-config", "-s", "suspect_after=100", "--force"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("suspect_after: 100 is below the minimum of 200ms; the "
                                           "configuration is unchanged"));
    EXPECT_EQ(run({"edit-config", "-s", "suspect_after=31s", "--force"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("31000 ms is longer than ttl (30 s)"));
    EXPECT_EQ(run({"edit-config", "-s", "synchronous_mode=qorum", "--force"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("synchronous_mode: must be off, on or quorum"));
    EXPECT_EQ(store().at("config"), before);
    // What is there already, by other hands, does not stand in the way of something else.
    store().put("config", R"({"suspect_after":100})");
    EXPECT_EQ(run({"edit-config", "-s", "ttl=40", "--force"}), 0);
}

TEST_F(Config, pausePatchesThroughTheLeader) {
    http.answer("PATCH db-a /config", 200);
    EXPECT_EQ(run({"pause"}), 0);
    EXPECT_THAT(http.sent, ElementsAre(R"(PATCH db-a /config {"pause":true})"));
    EXPECT_EQ(terminal.output, "Success: cluster management is paused\n");
}

TEST_F(Config, pauseGoesToTheNextMemberWhenTheLeaderDoesNotAnswer) {
    http.answer("PATCH db-b /config", 200);
    EXPECT_EQ(run({"pause"}), 0);
    EXPECT_EQ(http.sent.size(), 2U);
}

TEST_F(Config, pauseOfAPausedClusterIsAnError) {
    EXPECT_EQ(run({"resume"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("is not paused"));
    store().put("config", R"({"pause":true})");
    EXPECT_EQ(run({"pause"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("is already paused"));
    http.answer("PATCH db-a /config", 200);
    EXPECT_EQ(run({"resume", "orders"}), 0);
    EXPECT_THAT(http.sent.back(), HasSubstr(R"({"pause":null})"));
}

TEST_F(Config, pauseThatNobodyHearsIsAnError) {
    EXPECT_EQ(run({"pause"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("db-c: connection refused"));
}

TEST_F(Config, pauseThatIsRefusedIsTold) {
    http.answer("PATCH db-a /config", 401, "no auth");
    EXPECT_EQ(run({"pause"}), 0);
    EXPECT_THAT(terminal.output, HasSubstr("Failed: pause for member db-a, status code=401"));
    EXPECT_EQ(run({"--strict", "pause"}), 1);
}

TEST_F(Config, pauseWaitsForAllMembers) {
    http.answer("PATCH db-a /config", 200);
    clock.on_sleep = [this] {
        if (clock.sleeps < 3) return;
        for (const char* name : {"db-a", "db-b", "db-c"})
            store().put(std::string("members/") + name,
                        member(name, 11, R"("state":"running","role":"replica","pause":true)"));
    };
    EXPECT_EQ(run({"pause", "--wait"}), 0);
    EXPECT_EQ(clock.sleeps, 3);
    EXPECT_THAT(terminal.output, HasSubstr("Success: cluster management is paused\n"));
}

TEST_F(Config, pauseWaitsNoLongerThanALoop) {
    http.answer("PATCH db-a /config", 200);
    EXPECT_EQ(run({"pause", "--wait", "--strict"}), 1);
    EXPECT_EQ(clock.time, Instant(std::chrono::seconds(11)));
    EXPECT_THAT(terminal.output, HasSubstr("not recognized yet by db-a, db-b, db-c"));
}

TEST_F(Config, demoteClusterWaitsForTheStandbyLeader) {
    http.answer("PATCH db-a /config", 200);
    clock.on_sleep = [this] {
        store().put("members/db-a",
                    member("db-a", 11, R"("state":"running","role":"standby_leader")"));
    };
    EXPECT_EQ(run({"demote-cluster", "--host", "other", "--port", "5432", "--force"}), 0);
    EXPECT_THAT(http.sent, ElementsAre(R"(PATCH db-a /config {"standby_cluster":)"
                                       R"({"host":"other","port":5432}})"));
    EXPECT_THAT(terminal.output, HasSubstr("Success: cluster orders is demoted\n"));
    EXPECT_EQ(run({"demote-cluster", "--force"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("--restore-command"));
}

TEST_F(Config, promoteClusterNeedsAStandbyCluster) {
    EXPECT_EQ(run({"promote-cluster", "--force"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("no standby cluster"));
    store().put("config", R"({"standby_cluster":{"host":"x"}})");
    http.answer("PATCH db-a /config", 200);
    EXPECT_EQ(run({"promote-cluster", "--force"}), 0);
    EXPECT_THAT(terminal.output, HasSubstr("Success: cluster orders is promoted\n"));
}

}  // namespace
}  // namespace relevo::ctl
