// Maintenance mode: hands off, but for what an operator orders.
#include <gtest/gtest.h>

#include <optional>
#include <utility>

#include "cluster/keys.h"
#include "sim/sync_story.h"

namespace relevo::sim {
namespace {

using namespace std::chrono_literals;

TEST(PauseStory, ARestartBringsBackWhatWasThere) {
    Story story(calm_plan(5s, 300s));
    story.begin();
    const int old = story.c.leader();
    story.switch_over(old, (old + 1) % 3);
    ASSERT_TRUE(story.until_a_primary(20s));
    story.settles(60s);
    story.c.faults.pause(true);
    story.pass(10s);
    story.c.faults.crash_postgres(old);  // a standby now, but it was a primary once
    story.pass(10s);
    story.primaries.clear();
    story.effects.clear();
    story.c.members[static_cast<std::size_t>(old)]->order_restart();
    story.pass(20s);
    EXPECT_TRUE(story.first<core::StartPg>(old));
    EXPECT_TRUE(story.primaries.empty());
    story.c.faults.pause(false);
    story.settles(60s);
}

// An operator's word moves the lead also then, and the old leader is a standby afterwards.
TEST(PauseStory, ASwitchoverGoesToWhomItNames) {
    for (const auto mode : {SyncMode::off, SyncMode::on, SyncMode::quorum}) {
        SyncStory story(sync_plan(mode, 5s));
        story.begin();
        const int old = story.c.leader();
        const int to = mode == SyncMode::on ? story.c.world.index_of(story.key().voters.front())
                                            : (old + 1) % 3;
        story.c.faults.pause(true);
        story.pass(10s);
        story.switch_over(old, to);
        ASSERT_TRUE(story.until_a_primary(20s)) << static_cast<int>(mode);
        EXPECT_EQ(story.primaries.front().second, to);
        story.pass(20s);
        EXPECT_EQ(story.c.leader(), to);
        EXPECT_EQ(story.c.postgres.at(old).report().server, cluster::Server::running);
        EXPECT_FALSE(story.c.postgres.at(old).is_primary());
        EXPECT_EQ(story.primaries.size(), 1U);
        story.c.faults.crash_postgres(old);
        story.pass(20s);
        EXPECT_NE(story.c.postgres.at(old).report().server, cluster::Server::running)
            << "this one is nobody's order";
        story.c.faults.pause(false);
        story.settles(60s);
        EXPECT_EQ(story.c.checkers.findings.lost, 0U);
    }
}

// Nothing ends a primary then that has lost its key.
TEST(PauseStory, NobodyTakesOverFromWhoMayLeadOn) {
    Story story(calm_plan(5s, 300s));
    story.begin();
    const int old = story.c.leader(), to = (old + 1) % 3;
    story.c.faults.pause(true);
    story.pass(10s);
    story.c.faults.crash_agent(old, 600s);
    story.switch_over(old, to);
    story.pass(60s);
    EXPECT_TRUE(story.primaries.empty());
    EXPECT_TRUE(story.c.postgres.at(old).is_primary());
    story.c.faults.power_loss(old);
    story.pass(10s);
    EXPECT_TRUE(story.primaries.empty()) << "nobody knows";
    story.c.faults.switchover({}, story.c.world.name(to), {});
    ASSERT_TRUE(story.until_a_primary(20s));
    EXPECT_EQ(story.primaries.front().second, to);
    story.c.faults.power_back(old);
    story.c.faults.pause(false);
    story.settles(120s);
}

// Which of the two the candidate hears first is drawn: that its transaction has succeeded, or by
// the watch that the key is its own.
TEST(PauseStory, WhoWasNamedDoesNotGiveItsKeyBackBeforeItIsPromoted) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        auto plan = calm_plan(5s, 300s);
        plan.seed = seed;
        Story story(plan);
        story.begin();
        const int old = story.c.leader(), to = (old + 1) % 3;
        story.c.faults.pause(true);
        story.pass(10s);
        story.effects.clear();
        story.switch_over(old, to);
        ASSERT_TRUE(story.until_a_primary(20s)) << seed;
        story.pass(5s);
        for (const auto& [at, member, effect] : story.effects) {
            const auto* commit = std::get_if<core::Commit>(&effect);
            EXPECT_FALSE(member == to && commit && commit->purpose == core::CommitFor::release)
                << seed;
        }
        EXPECT_EQ(story.c.leader(), to);
    }
}

// Its switchover is over then, and its server stopped by its own agent all the same.
TEST(PauseStory, ALeaderThatLosesItsKeyWhileItHandsOverComesBackAsAStandby) {
    SyncStory story(calm_plan(5s, 300s));
    story.begin();
    const int old = story.c.leader(), to = (old + 1) % 3;
    story.c.faults.pause(true);
    story.pass(10s);
    bool lost = false;
    story.on_effect = [&](Member& who, const core::Effect& effect) {
        if (who.index() != old || !holds<core::StopPg>(effect) || std::exchange(lost, true)) return;
        story.c.world.after({}, [&] {
            const auto& key = story.c.dcs.truth()->leader;
            if (key && key->name == story.c.world.name(old))
                story.c.dcs.operate(
                    cluster::keys::release_leader(key->create_revision, std::nullopt));
        });
    };
    story.switch_over(old, to);
    ASSERT_TRUE(story.until_a_primary(20s));
    EXPECT_TRUE(lost);
    EXPECT_EQ(story.primaries.front().second, to);
    story.pass(20s);
    EXPECT_EQ(story.c.postgres.at(old).server(), cluster::Server::running);
    EXPECT_FALSE(story.c.postgres.at(old).is_primary());
    EXPECT_EQ(story.primaries.size(), 1U);
    story.c.faults.pause(false);
    story.settles(60s);
}

// What it did without knowing of that mode is not undone there, whoever is asked to lead already.
TEST(PauseStory, AnOrderToWhoLeadsAlreadyBringsNoLeaderBackThatStoodDown) {
    auto plan = calm_plan(5s, 300s);
    plan.expiry_late = 300s;  // the DCS still has its key
    Story story(plan);
    story.begin();
    const int old = story.c.leader();
    story.c.faults.cut(old, story.c.world.dcs_node(), false, 10s);
    story.switch_over(old, old);
    story.c.faults.pause(true);
    story.pass(9s);
    EXPECT_FALSE(story.c.postgres.at(old).is_primary());
    EXPECT_EQ(story.c.leader(), old);
    story.pass(20s);
    EXPECT_TRUE(story.primaries.empty());
    EXPECT_EQ(story.c.leader(), -1);
    story.c.faults.pause(false);
    story.settles(90s);
}

TEST(PauseStory, ADeadPrimaryIsLeftDead) {
    Story story(calm_plan(5s, 0s));
    story.begin();
    const int leader = story.c.leader();
    story.c.faults.pause(true);
    story.pass(10s);
    story.c.faults.crash_postgres(leader);
    story.pass(60s);
    EXPECT_TRUE(story.primaries.empty());
    EXPECT_EQ(story.c.leader(), -1);
    story.c.faults.pause(false);
    story.settles(90s);
}

}  // namespace
}  // namespace relevo::sim
