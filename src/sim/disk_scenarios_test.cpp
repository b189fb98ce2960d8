// Stories of disks that fill (docs/adr/0018).
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "sim/disk_story.h"
#include "sim/run_range.h"

namespace relevo::sim {
namespace {

using namespace std::chrono_literals;

TEST(DiskStory, ThePrimaryHandsOverToWhoHasRoomAndNothingIsLost) {
    for (const auto mode : {SyncMode::off, SyncMode::on, SyncMode::quorum}) {
        Filled here(mode);
        here.fill(here.leader, 60s);
        ASSERT_TRUE(here.until_a_primary(10s));
        EXPECT_NE(here.primaries.front().second, here.leader);
        here.pass(20s);
        EXPECT_EQ(here.asked(), 1);
        EXPECT_EQ(here.c.checkers.findings.panics, 0);
        EXPECT_EQ(here.c.checkers.findings.lost, 0U);
        EXPECT_EQ(here.count<core::RefuseWrites>(), 0);
        EXPECT_TRUE(here.writes_go_on());
        here.pass(60s);
        EXPECT_EQ(here.primaries.size(), 1U) << "room returned: nobody hands back";
        here.settles(30s);
    }
}

TEST(DiskStory, WhereAllAreFullWritesAreRefusedUntilThereIsRoom) {
    Filled here(SyncMode::quorum);
    for (const int other : here.others(here.leader)) here.fill(other, 125s);
    here.pass(5s);
    here.fill(here.leader, 120s);
    here.pass(10s);
    EXPECT_TRUE(here.refuses(here.leader));
    EXPECT_FALSE(here.writes_go_on());
    here.pass(90s);
    EXPECT_TRUE(here.primaries.empty());
    EXPECT_EQ(here.asked(), 0);
    EXPECT_EQ(here.c.checkers.findings.panics, 0);
    here.pass(30s);
    EXPECT_FALSE(here.refuses(here.leader));
    EXPECT_TRUE(here.writes_go_on());
    here.settles(30s);
}

// What it has left is better than writes that are refused.
TEST(DiskStory, WhereNobodyIsWellOneThatOnlyWarnsTakesOver) {
    Filled here(SyncMode::quorum);
    for (const int other : here.others(here.leader)) here.warn(other);
    here.pass(10s);
    here.fill(here.leader, 60s);
    ASSERT_TRUE(here.until_a_primary(10s));
    here.pass(20s);
    EXPECT_EQ(here.asked(), 1);
    EXPECT_EQ(here.count<core::RefuseWrites>(), 0);
    EXPECT_TRUE(here.writes_go_on());
    here.settles(60s);
}

// --disks seed 2050014270: its key was older than its disk's state.
TEST(DiskStory, OneThatSaysNoIsFollowedByTheNextAtOnce) {
    for (const bool first : {true, false}) {
        Filled here(SyncMode::quorum);
        const auto others = here.others(here.leader);
        const int full = first ? others[0] : others[1];
        // A volume that both share.
        for (const int member : {here.leader, full})
            here.c.faults.fill_disk(
                member, {.to_hold = 0s, .to_full = 10s, .how_long = 60s, .by_writes = true});
        ASSERT_TRUE(here.until_a_primary(4s)) << full;
        EXPECT_NE(here.primaries.front().second, full);
        EXPECT_LE(here.asked(), 2);
        here.settles(120s);
    }
}

TEST(DiskStory, OneThatIsWellGoesBeforeOneThatWarns) {
    for (const int warned : {0, 1}) {
        Filled here(SyncMode::quorum);
        const auto others = here.others(here.leader);
        here.warn(others[static_cast<std::size_t>(warned)]);
        here.pass(10s);
        here.fill(here.leader, 60s);
        ASSERT_TRUE(here.until_a_primary(10s));
        EXPECT_EQ(here.primaries.front().second, others[static_cast<std::size_t>(1 - warned)]);
        here.settles(60s);
    }
}

TEST(DiskStory, TheFirstThatHasRoomAgainTakesOver) {
    Filled here;
    const auto others = here.others(here.leader);
    here.fill(here.leader, 300s);
    here.fill(others[0], 300s);
    here.fill(others[1], 30s);
    here.pass(20s);
    EXPECT_TRUE(here.refuses(here.leader));
    ASSERT_TRUE(here.until_a_primary(30s));
    EXPECT_EQ(here.primaries.front().second, others[1]);
    here.pass(5s);
    EXPECT_TRUE(here.writes_go_on());
    EXPECT_FALSE(here.refuses(here.leader));
    here.settles(60s);
}

TEST(DiskStory, AMemberInHoldIsLeftOut) {
    Filled here;
    const auto others = here.others(here.leader);
    here.fill(others[0], 300s);
    here.pass(5s);
    here.fill(here.leader, 300s);
    ASSERT_TRUE(here.until_a_primary(10s));
    EXPECT_EQ(here.primaries.front().second, others[1]);
    here.settles(60s);
}

TEST(DiskStory, SoIsOneThatMayNotLead) {
    Filled here;
    for (const int other : here.others(here.leader))
        here.c.members[static_cast<std::size_t>(other)]->set_tag("nofailover", "true");
    here.pass(5s);
    here.fill(here.leader, 30s);
    here.pass(10s);
    EXPECT_TRUE(here.refuses(here.leader));
    EXPECT_EQ(here.asked(), 0);
    here.pass(40s);
    EXPECT_TRUE(here.writes_go_on());
    here.settles(30s);
}

TEST(DiskStory, InMaintenanceModeNothingIsDone) {
    Filled here;
    here.c.faults.pause(true);
    here.pass(5s);
    here.c.faults.fill_disk(here.leader,
                            {.to_hold = 1s, .to_full = 60s, .how_long = 30s, .by_writes = true});
    here.pass(25s);
    EXPECT_EQ(here.asked(), 0);
    EXPECT_EQ(here.count<core::RefuseWrites>(), 0);
    EXPECT_TRUE(here.writes_go_on());
}

TEST(DiskStory, AnOperatorsRequestStands) {
    Filled here;
    const auto others = here.others(here.leader);
    here.c.faults.switchover(here.c.world.name(here.leader), here.c.world.name(others[1]), 60s);
    here.pass(5s);
    here.fill(here.leader, 300s);
    here.pass(20s);
    EXPECT_EQ(here.asked(), 0);
    EXPECT_TRUE(here.refuses(here.leader));
    EXPECT_TRUE(here.primaries.empty());
    ASSERT_TRUE(here.until_a_primary(60s)) << "its time has come";
    EXPECT_EQ(here.primaries.front().second, others[1]);
    EXPECT_EQ(here.asked(), 0);
    here.pass(5s);
    EXPECT_TRUE(here.writes_go_on());
    here.settles(60s);
}

TEST(DiskStory, AnAgentThatIsStartedAgainGoesOnRefusingAndEndsItWhenThereIsRoom) {
    Filled here;
    for (int m = 0; m < 3; ++m) here.fill(m, 60s);
    here.pass(10s);
    ASSERT_TRUE(here.refuses(here.leader));
    here.c.faults.crash_agent(here.leader, 1s);
    const auto before = here.commits();
    here.pass(10s);
    EXPECT_TRUE(here.refuses(here.leader));
    EXPECT_EQ(here.commits(), before) << "nor was anybody let in meanwhile";
    // Nor does an agent that was away when the room came miss it.
    here.pass(37500ms);
    ASSERT_TRUE(here.refuses(here.leader));
    here.c.faults.crash_agent(here.leader, 4s);
    here.pass(15s);
    EXPECT_TRUE(here.primaries.empty());
    EXPECT_FALSE(here.refuses(here.leader));
    EXPECT_TRUE(here.writes_go_on());
    here.settles(60s);
}

// Each member with room gets its turn.
TEST(DiskStory, WhoCannotTakeOverIsNotTheOnlyOneAsked) {
    Filled here;
    const auto others = here.others(here.leader);
    here.c.members[static_cast<std::size_t>(others[0])]->set_tag("failover_priority", "9");
    here.pass(5s);
    here.c.faults.stall_agent(others[0], 20s);  // its key still says that it streams and has room
    here.fill(here.leader, 300s);
    ASSERT_TRUE(here.until_a_primary(30s));
    EXPECT_EQ(here.primaries.front().second, others[1]);
    here.pass(5s);
    EXPECT_TRUE(here.writes_go_on());
}

TEST(DiskStory, AnOperatorsSwitchoverToAFullMemberIsRefused) {
    Filled here;
    const int full = here.others(here.leader)[0];
    here.fill(full, 300s);
    here.pass(5s);
    here.switch_over(here.leader, full);
    here.pass(20s);
    EXPECT_TRUE(here.primaries.empty());
    EXPECT_TRUE(here.writes_go_on());
}

// Of two that have the same, whatever their priorities.
TEST(DiskStory, AfterACrashTheOneWithRoomLeads) {
    Filled here;
    const auto others = here.others(here.leader);
    here.c.members[static_cast<std::size_t>(others[0])]->set_tag("failover_priority", "9");
    here.fill(others[0], 300s);
    here.pass(5s);
    here.c.faults.power_loss(here.leader);
    ASSERT_TRUE(here.until_a_primary(40s));
    EXPECT_EQ(here.primaries.front().second, others[1]);
}

// Nobody waits for it for ever.
TEST(DiskStory, AfterACrashAFullMemberLeadsWhereNoOtherCan) {
    Filled here;
    const auto others = here.others(here.leader);
    here.fill(others[0], 300s);
    here.pass(5s);
    here.c.faults.power_loss(others[1]);
    here.c.faults.power_loss(here.leader);
    ASSERT_TRUE(here.until_a_primary(40s));
    EXPECT_EQ(here.primaries.front().second, others[0]);
    here.pass(10s);
    EXPECT_TRUE(here.refuses(others[0]));
}

TEST(DiskStory, AMemberWhoseWritesWereRefusedRefusesNoneAsTheNextLeader) {
    Filled here;
    const auto others = here.others(here.leader);
    for (int m = 0; m < 3; ++m) here.fill(m, 30s);
    here.pass(10s);
    ASSERT_TRUE(here.refuses(here.leader));
    here.c.faults.power_loss(here.leader);
    here.pass(40s);
    here.c.faults.power_back(here.leader);
    here.settles(60s);
    here.switch_over(here.c.leader(), here.leader);
    ASSERT_TRUE(here.c.run_until([&] { return here.c.leader() == here.leader; }, 30s));
    here.pass(3s);
    EXPECT_TRUE(here.writes_go_on());
    here.settles(30s);
}

TEST(DiskStory, OneThatIsFullAtOnceCostsNoMoreThanAFailover) {
    for (const auto mode : {SyncMode::off, SyncMode::on, SyncMode::quorum})
        for (const bool only_tables : {true, false})
            for (const bool ballast : {true, false}) {
                FullAtOnce here(mode);
                here.fill(here.leader, only_tables, ballast);
                const auto took = here.without_writes();
                EXPECT_LT(took, 2s)
                    << fmt::format("mode {}, only tables {}, ballast {}: {:.2f} s",
                                   static_cast<int>(mode), only_tables, ballast, to_s(took));
                EXPECT_EQ(here.primaries.size(), 1U) << "nor is it started where it was";
                // With what was kept back the handover is an ordinary one.
                EXPECT_EQ(here.c.checkers.findings.panics, only_tables && ballast ? 0 : 1);
                here.pass(5s);
                EXPECT_TRUE(here.writes_go_on());
                EXPECT_FALSE(here.c.dcs.truth()->failover) << "the request is carried out";
                here.settles(180s);
                EXPECT_EQ(here.c.checkers.findings.lost, 0U);
            }
}

TEST(DiskStory, WhatIsStartedOnItAgainCostsMuchMore) {
    Duration longest{};
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
        auto plan = Filled::plan(SyncMode::quorum, Bug::started_on_full);
        plan.seed = seed;
        FullAtOnce here(plan);
        here.fill(here.leader, true, false);
        longest = std::max(longest, here.without_writes());
    }
    EXPECT_GT(longest, 8s) << "the story before shows nothing";
}

// What only this disk has is not left behind: who cannot have it does not lead.
TEST(DiskStory, WhoseTailNobodyMayHaveStartsAgain) {
    auto plan = Filled::plan(SyncMode::off, Bug::none);
    plan.settings.wal_tail_timeout = 0ms;
    plan.config_json = config_of(plan.settings);
    FullAtOnce here(plan);
    here.fill(here.leader, true, false);
    ASSERT_TRUE(
        here.c.run_until([&] { return here.first<core::StartPg>(here.leader).has_value(); }, 5s));
    EXPECT_TRUE(here.primaries.empty());
    EXPECT_EQ(here.c.leader(), here.leader);
}

// Nor is one that no other can replace given up.
TEST(DiskStory, WhereAllAreFullAtOnceTheLeadIsNotPassedRound) {
    FullAtOnce here(SyncMode::quorum);
    for (int m = 0; m < 3; ++m) here.fill(m, true, true);
    here.pass(10s);
    EXPECT_TRUE(here.refuses(here.leader));
    EXPECT_TRUE(here.primaries.empty());
    here.pass(120s);
    EXPECT_TRUE(here.writes_go_on());
    here.settles(60s);
}

// Whole schedules, with all other faults beside.
TEST(DiskSchedules, KeepEveryPromise) {
    int spared = 0;
    const auto change = [](Plan& plan) { plan.disks = true; };
    const auto seen = [&](const Outcome& outcome) { spared += outcome.findings.spared; };
    EXPECT_EQ(run_range(1, 60, 3, change, seen), "");
    EXPECT_EQ(run_range(1, 20, 5, change, seen), "");
    EXPECT_GT(spared, 20);
}

}  // namespace
}  // namespace relevo::sim
