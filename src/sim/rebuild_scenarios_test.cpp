// Stories of damaged replicas that are made anew by themselves (docs/adr/0022).
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "cluster/keys.h"
#include "sim/run_range.h"
#include "sim/sync_story.h"

namespace relevo::sim {
namespace {

using namespace std::chrono_literals;
using Phase = cluster::Rebuild::Phase;

struct Remaking : SyncStory {
    explicit Remaking(SyncMode mode = SyncMode::off, int members = 3, bool on = true,
                      bool switchover = true)
        : SyncStory(plan(mode, members, on, switchover)) {
        begin();
        leader = c.leader();
        replicas = others(leader);
    }
    static Plan plan(SyncMode mode, int members, bool on, bool switchover) {
        auto plan = sync_plan(mode, 9s);
        plan.members = members;
        plan.rots = plan.rebuilds = true;
        plan.settings.corruption.rebuild_replica = on;
        plan.settings.corruption.switchover = switchover;
        plan.config_json.insert(
            1, fmt::format(R"("corruption":{{"rebuild_replica":{},"switchover":{}}},)", on,
                           switchover));
        return plan;
    }
    void rot(int member) { c.faults.rot(member, 10h); }
    bool kept(int member) { return !c.postgres.at(member).kept_aside().empty(); }
    int remade() const { return c.checkers.findings.remade; }
    const std::optional<cluster::Rebuild>& turn() { return c.dcs.truth()->rebuild; }
    bool until_remade(int times, Duration within) {
        return c.run_until([&] { return remade() == times; }, within);
    }
    bool until_stopped(int who) {
        return c.run_until([&] { return first<core::KillPg>(who).has_value(); }, 30s);
    }
    Member& member(int index) { return *c.members[static_cast<std::size_t>(index)]; }
    int leader = -1;
    std::vector<int> replicas;
};

TEST(RebuildStory, ADamagedReplicaIsMadeAnewAndItsOldDataKept) {
    for (const auto mode : {SyncMode::off, SyncMode::on, SyncMode::quorum}) {
        Remaking here(mode);
        const int damaged = here.replicas[0];
        here.rot(damaged);
        ASSERT_TRUE(here.until_remade(1, 60s));
        here.settles(60s);
        here.pass(10s);
        EXPECT_TRUE(here.kept(damaged));
        EXPECT_FALSE(here.member(damaged).state().corruption.corrupted);
        ASSERT_TRUE(here.turn());
        EXPECT_EQ(here.turn()->phase, Phase::done);
        EXPECT_EQ(here.turn()->previous.at(here.turn()->member).failed, 0);
        here.settles(30s);
        EXPECT_TRUE(here.primaries.empty());
        EXPECT_EQ(here.c.checkers.findings.lost, 0U);
    }
}

TEST(RebuildStory, OfTwoTheOneAfterTheOther) {
    for (const auto mode : {SyncMode::off, SyncMode::on, SyncMode::quorum}) {
        Remaking here(mode);
        for (const int damaged : here.replicas) here.rot(damaged);
        ASSERT_TRUE(here.until_remade(2, 300s));
        here.settles(60s);
        for (const int damaged : here.replicas) EXPECT_TRUE(here.kept(damaged));
    }
}

// The leader gives the lead away first, and is made anew after that.
TEST(RebuildStory, ADamagedLeaderIsMadeAnewOnceItLeadsNoMore) {
    Remaking here;
    here.rot(here.leader);
    ASSERT_TRUE(here.until_remade(1, 120s));
    EXPECT_EQ(here.primaries.size(), 1U);
    EXPECT_TRUE(here.kept(here.leader));
    here.settles(60s);
}

TEST(RebuildStory, NobodyIsMadeAnewFromADamagedLeader) {
    Remaking here(SyncMode::off, 3, true, false);
    here.rot(here.leader);
    here.pass(10s);
    for (const int damaged : here.replicas) here.rot(damaged);
    here.pass(300s);
    EXPECT_EQ(here.remade(), 0);
    EXPECT_EQ((here.count<core::KillPg>()), 0);
    here.settles(30s);
}

// Of two members it is the only copy; and of three, where the other does not stream.
TEST(RebuildStory, TheLastOtherCopyIsLeftAlone) {
    for (const auto mode : {SyncMode::off, SyncMode::on, SyncMode::quorum}) {
        Remaking two(mode, 2);
        two.rot(two.replicas[0]);
        two.pass(300s);
        EXPECT_EQ(two.remade(), 0);
        two.settles(30s);

        Remaking three(mode);
        three.c.faults.power_loss(three.replicas[1]);
        three.pass(30s);
        three.rot(three.replicas[0]);
        three.pass(120s);
        EXPECT_EQ(three.remade(), 0);
        three.c.faults.power_back(three.replicas[1]);
        EXPECT_TRUE(three.until_remade(1, 60s)) << "now there is another";
        three.settles(60s);
    }
}

// What is promised to be on two standbys stays on two.
TEST(RebuildStory, NeitherIsOneThatIsNeededForTheNumberOfSynchronousNodes) {
    for (const int members : {3, 4}) {
        auto plan = Remaking::plan(SyncMode::quorum, members, true, true);
        plan.settings.synchronous_node_count = 2;
        plan.config_json = config_of(plan.settings);
        plan.config_json.insert(1, R"("corruption":{"rebuild_replica":true},)");
        SyncStory here(plan);
        here.begin();
        here.c.faults.rot(here.others(here.c.leader())[0], 10h);
        here.pass(180s);
        EXPECT_EQ(here.c.checkers.findings.remade, members == 3 ? 0 : 1);
        here.settles(60s);
    }
}

TEST(RebuildStory, NothingHappensWhereItIsOffOrInMaintenanceMode) {
    Remaking off(SyncMode::off, 3, false);
    off.rot(off.replicas[0]);
    off.pass(120s);
    EXPECT_FALSE(off.turn());

    Remaking paused;
    paused.c.faults.pause(true);
    paused.pass(5s);
    paused.rot(paused.replicas[0]);
    paused.pass(60s);
    EXPECT_FALSE(paused.turn());
    paused.c.faults.pause(false);
    EXPECT_TRUE(paused.until_remade(1, 60s));
    paused.settles(60s);
}

// A bug's damage comes with the leader's WAL, and would come again with a copy.
TEST(RebuildStory, WhatAmcheckAloneFoundIsLeftToAPerson) {
    Remaking here;
    here.c.world.host(here.replicas[0]).found_by_amcheck = true;
    here.rot(here.replicas[0]);
    here.pass(120s);
    EXPECT_TRUE(here.member(here.replicas[0]).state().corruption.corrupted);
    EXPECT_FALSE(here.turn());
}

// Its old data is put back, and it is begun again after ten minutes.
TEST(RebuildStory, AnAgentThatDiesInTheMiddleBeginsAgainLater) {
    for (const bool power : {false, true}) {
        Remaking here(SyncMode::quorum);
        const int damaged = here.replicas[0];
        here.rot(damaged);
        ASSERT_TRUE(
            here.c.run_until([&] { return here.first<core::ClonePg>(damaged).has_value(); }, 60s));
        here.pass(100ms);
        if (power) {
            here.c.faults.power_loss(damaged);
            here.pass(3s);
            here.c.faults.power_back(damaged);
        } else {
            here.c.faults.crash_agent(damaged, 3s);
        }
        here.pass(60s);
        EXPECT_EQ(here.remade(), 0);
        ASSERT_TRUE(here.turn());
        EXPECT_EQ(here.turn()->phase, Phase::failed);
        here.settles(60s);
        ASSERT_TRUE(here.until_remade(1, 11min));
        here.settles(60s);
    }
}

// Its turn ends with it, and another's may come.
TEST(RebuildStory, OneThatIsGoneKeepsNobodyWaiting) {
    Remaking here(SyncMode::off, 4);
    const int gone = here.replicas[0], next = here.replicas[1];
    here.rot(gone);
    ASSERT_TRUE(here.until_stopped(gone));
    here.c.faults.power_loss(gone);
    here.rot(next);
    ASSERT_TRUE(here.until_remade(1, 60s));
    EXPECT_TRUE(here.kept(next));
    here.c.faults.power_back(gone);
    here.settles(60s);
}

// A copy that fails is tried three times, and the old data goes on.
TEST(RebuildStory, ThreeTriesAndThenAPerson) {
    Remaking here;
    const int damaged = here.replicas[0];
    here.on_effect = [&](Member& who, const core::Effect& effect) {
        if (who.index() == damaged && holds<core::ClonePg>(effect))
            here.c.faults.cut(damaged, here.leader, false, 20s);
    };
    here.rot(damaged);
    here.pass(2h);
    EXPECT_EQ((here.count<core::ClonePg>()), cluster::rebuild_tries);
    ASSERT_TRUE(here.turn());
    EXPECT_EQ(here.turn()->phase, Phase::failed);
    EXPECT_FALSE(here.kept(damaged));
    here.settles(60s);
}

// What is damaged again within a day is no page: a person looks at the disk.
TEST(RebuildStory, ACopyThatRotsTooIsLeftToAPerson) {
    Remaking here;
    const int damaged = here.replicas[0];
    here.rot(damaged);
    ASSERT_TRUE(here.until_remade(1, 60s));
    here.settles(60s);
    here.rot(damaged);
    here.pass(1h);
    EXPECT_EQ(here.remade(), 1);
    EXPECT_TRUE(here.member(damaged).state().said.contains("rebuild"));
    // An order is an order.
    here.member(damaged).order_reinit(false);
    here.settles(60s);
    here.pass(10s);
    EXPECT_FALSE(here.member(damaged).state().corruption.corrupted);
}

TEST(RebuildStory, AKeyThatNobodyCanReadStopsEverybody) {
    Remaking here;
    ASSERT_TRUE(here.c.dcs.operate(
        {{}, {{cluster::Write::What::put, cluster::keys::rebuild, "nothing", false}}}));
    here.rot(here.replicas[0]);
    here.pass(120s);
    EXPECT_EQ(here.remade(), 0);
    ASSERT_TRUE(here.c.dcs.operate(
        {{}, {{cluster::Write::What::remove, cluster::keys::rebuild, {}, false}}}));
    EXPECT_TRUE(here.until_remade(1, 120s));
    here.settles(60s);
}

// Whole schedules, with all other faults beside.
TEST(RebuildSchedules, KeepEveryPromise) {
    int remade = 0;
    const auto change = [](Plan& plan) { let_rebuild(plan); };
    const auto seen = [&](const Outcome& outcome) { remade += outcome.findings.remade; };
    EXPECT_EQ(run_range(1, 40, 3, change, seen), "");
    EXPECT_EQ(run_range(1, 10, 5, change, seen), "");
    EXPECT_GT(remade, 10);
}

}  // namespace
}  // namespace relevo::sim
