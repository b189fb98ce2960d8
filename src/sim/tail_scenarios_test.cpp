// A crashed primary whose agent lives: what it acknowledged last is not lost (docs/adr/0009).
#include <gtest/gtest.h>

#include <utility>

#include "cluster/keys.h"
#include "sim/story.h"

namespace relevo::sim {
namespace {

using namespace std::chrono_literals;

Plan busy_plan() {
    auto plan = calm_plan(30s, 0s);
    plan.write_every = 1ms;  // so that there is always something that no walsender has sent
    return plan;
}

TEST(TailStory, WhatOutlivedBackendsAcknowledgedIsNotLost) {
    for (std::uint64_t seed = 1; seed <= 30; ++seed) {
        auto plan = busy_plan();
        plan.seed = seed;
        Story story(plan);
        story.begin();
        const int old = story.c.leader();
        const Instant died_at = story.c.world.now();
        const auto streamed = story.c.postgres.at((old + 1) % 3).data().end;
        story.c.faults.crash_postgres(old);
        ASSERT_TRUE(story.until_a_primary(10s));
        EXPECT_NE(story.primaries.front().second, old);
        EXPECT_LT(story.primaries.front().first - died_at, 300ms);
        EXPECT_GT(story.c.postgres.at(story.primaries.front().second).data().end.lsn, streamed.lsn);
        story.settles(90s);
        EXPECT_EQ(story.c.checkers.findings.lost, 0U) << "seed " << seed;
    }
}

TEST(TailStory, WithoutAskingTheyAreLost) {
    std::size_t lost = 0;
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        auto plan = busy_plan();
        plan.seed = seed;
        plan.settings.wal_tail_timeout = 0ms;
        plan.config_json = config_of(plan.settings);
        Story story(plan);
        story.begin();
        story.c.faults.crash_postgres(story.c.leader());
        ASSERT_TRUE(story.until_a_primary(10s));
        story.settles(90s);
        EXPECT_EQ((story.count<core::FindWalEnd, core::TakeTail>()), 0);
        lost += story.c.checkers.findings.lost;
    }
    EXPECT_GT(lost, 0U) << "the stories here show nothing";
}

TEST(TailStory, BackendsAreEndedAtOnceAlsoBeforeAStartInPlace) {
    auto plan = busy_plan();
    plan.settings.primary_start_timeout = 300s;
    plan.config_json = config_of(plan.settings);
    Story story(plan);
    story.begin();
    const int leader = story.c.leader();
    const Instant died_at = story.c.world.now();
    story.c.faults.crash_postgres(leader);
    ASSERT_TRUE(
        story.c.run_until([&] { return story.first<core::KillPg>(leader).has_value(); }, 1s));
    EXPECT_LT(*story.first<core::KillPg>(leader) - died_at, 10ms);
    story.settles(60s);
    EXPECT_EQ(story.c.leader(), leader);
    EXPECT_EQ(story.count<core::PromotePg>(), 0);
    EXPECT_EQ(story.c.checkers.findings.lost, 0U);
}

TEST(TailStory, AnOldLeaderThatFallsSilentIsWaitedForNoLongerThanAllowed) {
    auto plan = busy_plan();
    plan.settings.wal_tail_timeout = 700ms;
    plan.config_json = config_of(plan.settings);
    Story story(plan);
    story.begin();
    const int old = story.c.leader();
    Instant asked{};
    story.on_effect = [&](Member& who, const core::Effect& effect) {
        if (!std::holds_alternative<core::TakeTail>(effect) || asked != Instant{}) return;
        asked = story.c.world.now();
        story.c.faults.cut(old, who.index(), false, 20s);
    };
    story.c.faults.crash_postgres(old);
    ASSERT_TRUE(story.until_a_primary(10s));
    ASSERT_NE(asked, Instant{});
    EXPECT_GE(story.primaries.front().first - asked, 700ms);
    EXPECT_LT(story.primaries.front().first - asked, 900ms);
    story.settles(120s);
}

// What the old leader has on offer stands in its member key too.
TEST(TailStory, IsNotLostWithAnAnswer) {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        auto plan = busy_plan();
        plan.seed = seed;
        Story story(plan);
        story.begin();
        const int old = story.c.leader();
        bool cut = false;
        story.on_effect = [&](Member&, const core::Effect& effect) {
            const auto* probe = std::get_if<core::ProbePeers>(&effect);
            if (!probe || probe->purpose != core::ProbeFor::race || std::exchange(cut, true))
                return;
            for (int other = 0; other < 3; ++other)
                if (other != old) story.c.faults.cut(old, other, false, 500ms);
        };
        story.c.faults.crash_postgres(old);
        ASSERT_TRUE(story.until_a_primary(10s));
        EXPECT_TRUE(cut);
        EXPECT_NE(story.primaries.front().second, old);
        story.settles(90s);
        EXPECT_GT(story.count<core::TakeTail>(), 0);
        EXPECT_EQ(story.c.checkers.findings.lost, 0U) << "seed " << seed;
    }
}

// Its member key goes with its lease, the answers of its agent do not; and that it cannot see that
// its time is over holds nobody up.
TEST(TailStory, AnOldLeaderWithoutTheDcsIsAskedAndNotWaitedFor) {
    auto plan = busy_plan();
    plan.settings.ttl = 5s;
    plan.settings.loop_wait = plan.settings.retry_timeout = 1s;
    plan.config_json = config_of(plan.settings);
    Story story(plan);
    story.begin();
    const int old = story.c.leader();
    const Instant died_at = story.c.world.now();
    story.c.faults.cut(old, story.c.world.dcs_node(), false, 40s);
    story.c.faults.crash_postgres(old);
    ASSERT_TRUE(story.until_a_primary(20s));
    EXPECT_LT(story.primaries.front().first - died_at, 6s);
    EXPECT_GT(story.count<core::TakeTail>(), 0);
    story.settles(120s);
    EXPECT_EQ(story.c.checkers.findings.lost, 0U);
}

TEST(TailStory, AnAgentThatDiesOverItsTailHoldsNobodyUp) {
    Story story(busy_plan());
    story.begin();
    const int old = story.c.leader();
    story.on_effect = [&](Member& who, const core::Effect& effect) {
        if (std::holds_alternative<core::TakeTail>(effect))
            story.c.world.after(1ms, [&story, old] { story.c.faults.crash_agent(old, 3s); });
        (void)who;
    };
    const Instant died_at = story.c.world.now();
    story.c.faults.crash_postgres(old);
    ASSERT_TRUE(story.until_a_primary(10s));
    EXPECT_LT(story.primaries.front().first - died_at, 2500ms);
    story.settles(120s);
}

TEST(TailStory, ASuccessorThatDiesHasASuccessorThatGetsTheTail) {
    Story story(busy_plan());
    story.begin();
    const int old = story.c.leader();
    int first = -1;
    story.on_effect = [&](Member& who, const core::Effect& effect) {
        if (!std::holds_alternative<core::TakeTail>(effect) || first >= 0) return;
        first = who.index();
        // Its key stays until the operator's hand or its lease; the old leader keeps the tail for
        // as long as it may be asked for.
        story.c.world.after({}, [&story, &first] {
            story.c.faults.power_loss(first);
            const auto& key = story.c.dcs.truth()->leader;
            story.c.dcs.operate(cluster::keys::release_leader(key->create_revision, std::nullopt));
        });
    };
    story.c.faults.crash_postgres(old);
    ASSERT_TRUE(story.until_a_primary(20s));
    ASSERT_GE(first, 0);
    story.c.faults.power_back(first);
    story.settles(120s);
    EXPECT_EQ(story.c.checkers.findings.lost, 0U);
}

// Its own pg_wal is what a standby reads first: it goes on behind what it took.
TEST(TailStory, ASuccessorWhosePromotionFailsFollowsTheNextOne) {
    Story story(busy_plan());
    story.begin();
    const int old = story.c.leader();
    int first = -1;
    story.on_effect = [&](Member& who, const core::Effect& effect) {
        if (!std::holds_alternative<core::PromotePg>(effect) || first >= 0) return;
        first = who.index();
        EXPECT_TRUE(story.first<core::TakeTail>(first).has_value());
        story.c.world.host(first).disk_full = true;
        story.c.world.after(100ms,
                            [&story, &first] { story.c.world.host(first).disk_full = false; });
    };
    story.c.faults.crash_postgres(old);
    ASSERT_TRUE(story.until_a_primary(20s));
    ASSERT_GE(first, 0);
    EXPECT_NE(story.primaries.front().second, first);
    story.settles(60s);
    EXPECT_EQ(story.c.checkers.findings.lost, 0U);
}

TEST(TailStory, InSynchronousModeNobodyAsks) {
    auto plan = busy_plan();
    plan.settings.synchronous_mode = cluster::SyncMode::quorum;
    plan.config_json = config_of(plan.settings);
    Story story(plan);
    story.begin();
    story.c.faults.crash_postgres(story.c.leader());
    ASSERT_TRUE(story.until_a_primary(10s));
    story.settles(90s);
    EXPECT_EQ((story.count<core::FindWalEnd, core::TakeTail>()), 0);
    EXPECT_EQ(story.c.checkers.findings.lost, 0U);
}

}  // namespace
}  // namespace relevo::sim
