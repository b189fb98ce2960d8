// Stories of disks that take no writes (docs/adr/0022).
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "sim/disk_story.h"

namespace relevo::sim {
namespace {

using namespace std::chrono_literals;

// Two probes are refused, or none is answered for ten seconds.
TEST(FailingDiskStory, APrimaryWhoseDiskFailsIsFollowedByAnother) {
    for (const auto mode : {SyncMode::off, SyncMode::on, SyncMode::quorum})
        for (const bool hangs : {false, true}) {
            FullAtOnce here(mode);
            here.full_at = here.c.world.now();
            here.c.faults.fail_disk(here.leader, hangs, 120s);
            const auto took = here.without_writes();
            EXPECT_LT(took, hangs ? 13s : 4s) << fmt::format(
                "mode {}, hangs {}: {:.2f} s", static_cast<int>(mode), hangs, to_s(took));
            here.pass(5s);
            EXPECT_TRUE(here.writes_go_on());
            EXPECT_EQ(here.primaries.size(), 1U);
            EXPECT_FALSE(here.c.dcs.truth()->failover) << "the request is carried out";
            here.settles(240s);
            EXPECT_EQ(here.c.checkers.findings.lost, 0U);
        }
}

// What hangs by then is not waited for: standby.signal after a crash, an operator's checkpoint.
TEST(FailingDiskStory, WhatBeganBeforeADiskFailedHoldsNobodyUp) {
    for (const auto mode : {SyncMode::off, SyncMode::quorum})
        for (const bool crashes : {false, true}) {
            auto plan = Filled::plan(mode, Bug::none);
            plan.settings.primary_start_timeout = 0s;
            plan.config_json = config_of(plan.settings);
            FullAtOnce here(plan);
            here.full_at = here.c.world.now();
            here.c.faults.fail_disk(here.leader, true, 120s);
            here.pass(3s);
            if (crashes)
                here.c.faults.crash_postgres(here.leader);
            else
                here.switch_over(here.leader, here.others(here.leader)[0]);
            const auto took = here.without_writes();
            EXPECT_LT(took, 14s) << fmt::format("mode {}, crashes {}: {:.2f} s",
                                                static_cast<int>(mode), crashes, to_s(took));
            here.settles(240s);
            EXPECT_EQ(here.c.checkers.findings.lost, 0U);
        }
}

// Nor does the stop of a switchover whose last checkpoint the disk does not take.
TEST(FailingDiskStory, AStopThatHangsIsOvertaken) {
    for (const auto mode : {SyncMode::off, SyncMode::quorum}) {
        FullAtOnce here(mode);
        bool hangs = false;
        here.on_effect = [&](Member& who, const core::Effect& effect) {
            if (who.index() != here.leader || !holds<core::StopPg>(effect)) return;
            if (std::exchange(hangs, true)) return;
            here.full_at = here.c.world.now();
            here.c.faults.fail_disk(here.leader, true, 300s);
        };
        here.switch_over(here.leader, here.others(here.leader)[0]);
        EXPECT_LT(here.without_writes(), 14s) << static_cast<int>(mode);
        here.settles(500s);
        EXPECT_EQ(here.c.checkers.findings.lost, 0U);
    }
}

// It serves readers as long as it can, and goes on when its disk does.
TEST(FailingDiskStory, WhereAllDisksFailNobodyIsStopped) {
    for (const bool hangs : {false, true}) {
        Filled here(SyncMode::quorum);
        for (const int other : here.others(here.leader)) here.c.faults.fail_disk(other, true, 125s);
        here.pass(13s);
        here.c.faults.fail_disk(here.leader, hangs, 60s);
        here.pass(40s);
        EXPECT_TRUE(here.primaries.empty());
        EXPECT_EQ(here.asked(), 0);
        EXPECT_LE(here.count<core::StartPg>(), 60) << "there is a pause between two starts";
        if (hangs) EXPECT_EQ(here.count<core::KillPg>(), 0) << "it serves readers";
        here.pass(100s);
        EXPECT_TRUE(here.writes_go_on());
        here.settles(60s);
        EXPECT_EQ(here.c.checkers.findings.lost, 0U);
    }
}

TEST(FailingDiskStory, AfterACrashTheOneWhoseDiskTakesWritesLeads) {
    Filled here;
    const auto others = here.others(here.leader);
    here.c.members[static_cast<std::size_t>(others[0])]->set_tag("failover_priority", "9");
    here.c.faults.fail_disk(others[0], true, 300s);
    here.pass(15s);
    here.c.faults.power_loss(here.leader);
    ASSERT_TRUE(here.until_a_primary(40s));
    EXPECT_EQ(here.primaries.front().second, others[1]);
}

TEST(FailingDiskStory, InMaintenanceModeAFailedDiskMovesNothing) {
    Filled here(SyncMode::quorum);
    here.c.faults.pause(true);
    here.pass(3s);
    here.c.faults.fail_disk(here.leader, true, 60s);
    here.pass(30s);
    EXPECT_EQ(here.asked(), 0);
    EXPECT_TRUE(here.primaries.empty());
}

// --disks seed 798: it was told to promote itself, its disk did not answer for a minute, the key
// went to another, and then the disk answered.
TEST(FailingDiskStory, APromotionThatHangsIsEndedBeforeTheKeyIsGivenBack) {
    int ended = 0;
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
        auto plan = Filled::plan(SyncMode::off, Bug::none);
        plan.seed = seed;
        Filled here(plan);
        const auto others = here.others(here.leader);
        here.c.members[static_cast<std::size_t>(others[0])]->set_tag("failover_priority", "9");
        here.pass(3s);
        here.c.faults.power_loss(here.leader);
        here.pass(7s);
        here.c.faults.fail_disk(others[0], true, 400s);  // seen once it has been elected
        here.pass(110s);
        ended += here.first<core::KillPg>(others[0]).has_value() ? 1 : 0;
        EXPECT_TRUE(here.writes_go_on());
        here.pass(300s);
        here.c.faults.power_back(here.leader);
        here.settles(400s);  // what waits for the disk is drawn
    }
    EXPECT_GT(ended, 0) << "no promotion hung for long enough: the story shows nothing";
}

// Nothing is stopped then, so the key is kept for as long as that may still become a primary.
TEST(FailingDiskStory, InMaintenanceModeTheKeyIsKeptForAPromotionThatHangs) {
    Filled here;
    const int to = here.others(here.leader)[0];
    here.c.faults.pause(true);
    here.pass(3s);
    bool told = false;
    here.on_effect = [&](Member& who, const core::Effect& effect) {
        if (who.index() == to && holds<core::PromotePg>(effect) && !std::exchange(told, true))
            here.c.faults.fail_disk(to, true, 400s);
    };
    here.switch_over(here.leader, to);
    here.pass(90s);
    EXPECT_TRUE(told);
    EXPECT_TRUE(here.primaries.empty()) << "it hangs";
    EXPECT_EQ(here.c.leader(), to);
    here.pass(330s);
    EXPECT_EQ(here.c.leader(), to);
    here.c.faults.pause(false);
    here.settles(60s);
}

}  // namespace
}  // namespace relevo::sim
