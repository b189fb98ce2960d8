// Stories of pages that rot (docs/adr/0022).
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "sim/run_range.h"
#include "sim/sync_story.h"

namespace relevo::sim {
namespace {

using namespace std::chrono_literals;

struct Rotting : SyncStory {
    explicit Rotting(SyncMode mode = SyncMode::off, bool switchover = true)
        : SyncStory(plan(mode, switchover)) {
        begin();
        leader = c.leader();
    }
    static Plan plan(SyncMode mode, bool switchover) {
        auto plan = sync_plan(mode, 9s);
        plan.rots = plan.disks = true;
        plan.settings.corruption.switchover = switchover;
        if (!switchover) plan.config_json.insert(1, R"("corruption":{"switchover":false},)");
        return plan;
    }
    void rot(int member) { c.faults.rot(member, 1h); }
    int asked() const {
        return static_cast<int>(std::ranges::count_if(effects, [](const Seen& seen) {
            const auto* commit = std::get_if<core::Commit>(&seen.effect);
            return commit && commit->purpose == core::CommitFor::ask_handover;
        }));
    }
    bool warns_of_the_source(int who) const {
        return std::ranges::any_of(effects, [&](const Seen& seen) {
            const auto* note = std::get_if<core::Note>(&seen.effect);
            return note && seen.member == who && note->level == core::Note::Level::warning &&
                   note->text.find("is known to be damaged") != std::string::npos;
        });
    }
    Member& member(int index) { return *c.members[static_cast<std::size_t>(index)]; }
    int leader = -1;
};

TEST(RotStory, ThePrimaryHandsOverToAMemberWhoseDataIsGoodOnce) {
    for (const auto mode : {SyncMode::off, SyncMode::on, SyncMode::quorum}) {
        Rotting here(mode);
        here.rot(here.leader);
        ASSERT_TRUE(here.until_a_primary(20s));
        EXPECT_NE(here.primaries.front().second, here.leader);
        here.pass(120s);
        EXPECT_EQ(here.asked(), 1);
        EXPECT_EQ(here.primaries.size(), 1U) << "nobody hands back";
        EXPECT_EQ(here.c.checkers.findings.lost, 0U);
        EXPECT_EQ(here.c.checkers.findings.cleaned, 1);
        here.settles(30s);
    }
}

TEST(RotStory, WhereAllAreDamagedTheLeadStays) {
    Rotting here;
    for (const int other : here.others(here.leader)) here.rot(other);
    here.pass(10s);
    here.rot(here.leader);
    here.pass(300s);
    EXPECT_EQ(here.asked(), 0);
    EXPECT_TRUE(here.primaries.empty());
    here.settles(30s);
}

TEST(RotStory, ADamagedMemberIsNotHandedOverTo) {
    Rotting here;
    const auto others = here.others(here.leader);
    here.member(others[0]).set_tag("failover_priority", "9");
    here.rot(others[0]);
    here.pass(10s);
    here.rot(here.leader);
    ASSERT_TRUE(here.until_a_primary(20s));
    EXPECT_EQ(here.primaries.front().second, others[1]);
    here.settles(60s);
}

TEST(RotStory, NorByAnOperatorsSwitchover) {
    Rotting here;
    const int damaged = here.others(here.leader)[0];
    here.rot(damaged);
    here.pass(10s);
    here.switch_over(here.leader, damaged);
    here.pass(20s);
    EXPECT_TRUE(here.primaries.empty());
}

TEST(RotStory, NothingIsDoneInMaintenanceModeOrWhereItIsSwitchedOff) {
    {
        Rotting here;
        here.c.faults.pause(true);
        here.pass(5s);
        here.rot(here.leader);
        here.pass(60s);
        EXPECT_EQ(here.asked(), 0);
    }
    Rotting here(SyncMode::off, false);
    here.rot(here.leader);
    here.pass(60s);
    EXPECT_EQ(here.asked(), 0);
    EXPECT_TRUE(here.primaries.empty());
}

// Of two that have the same, whatever their priorities.
TEST(RotStory, AfterACrashTheOneWhoseDataIsGoodLeads) {
    for (const auto mode : {SyncMode::off, SyncMode::quorum}) {
        Rotting here(mode);
        const auto others = here.others(here.leader);
        here.member(others[0]).set_tag("failover_priority", "9");
        here.rot(others[0]);
        here.pass(10s);
        here.c.faults.power_loss(here.leader);
        ASSERT_TRUE(here.until_a_primary(40s));
        EXPECT_EQ(here.primaries.front().second, others[1]);
    }
}

// Nobody waits for it for ever.
TEST(RotStory, AfterACrashADamagedMemberLeadsWhereNoOtherCan) {
    Rotting here;
    const auto others = here.others(here.leader);
    here.rot(others[0]);
    here.pass(10s);
    here.c.faults.power_loss(others[1]);
    here.c.faults.power_loss(here.leader);
    ASSERT_TRUE(here.until_a_primary(40s));
    EXPECT_EQ(here.primaries.front().second, others[0]);
}

// A full disk does not wait, but is not handed to damaged data either.
TEST(RotStory, AFullDiskIsNotHandedOverToDamagedData) {
    Rotting here;
    for (const int other : here.others(here.leader)) here.rot(other);
    here.pass(10s);
    here.c.faults.fill_disk(here.leader,
                            {.to_hold = 1s, .to_full = 60s, .how_long = 30s, .by_writes = true});
    here.pass(25s);
    EXPECT_EQ(here.asked(), 0);
    EXPECT_TRUE(here.c.postgres.at(here.leader).report().refuses_writes);
    here.settles(60s);
}

TEST(RotStory, ACopyMadeAnewIsAsGoodAsAny) {
    Rotting here;
    const int damaged = here.others(here.leader)[0];
    here.rot(damaged);
    here.pass(10s);
    EXPECT_TRUE(here.member(damaged).state().corruption.corrupted);
    here.member(damaged).order_reinit(false);
    here.settles(60s);
    here.pass(10s);
    EXPECT_FALSE(here.member(damaged).state().corruption.corrupted);
}

TEST(RotStory, WhoCopiesFromDamagedDataSaysSo) {
    Rotting here(SyncMode::off, false);
    const int copies = here.others(here.leader)[0];
    here.member(copies).order_reinit(false);
    here.pass(60s);
    EXPECT_GT((here.count<core::ClonePg>()), 0);
    EXPECT_FALSE(here.warns_of_the_source(copies));
    here.rot(here.leader);
    here.pass(10s);
    here.member(copies).order_reinit(false);
    here.pass(60s);
    EXPECT_TRUE(here.warns_of_the_source(copies));
    here.settles(30s);
}

// A replica that offers itself spares the leader, but not with data that is worse.
TEST(RotStory, ADamagedReplicaIsNotCopiedFrom) {
    for (const bool damaged : {false, true}) {
        Rotting here;
        const auto others = here.others(here.leader);
        here.member(others[0]).set_tag("clonefrom", "true");
        if (damaged) here.rot(others[0]);
        here.pass(10s);
        here.member(others[1]).order_reinit(false);
        ASSERT_TRUE(here.c.run_until(
            [&] { return here.first<core::ClonePg>(others[1]).has_value(); }, 30s));
        // The order names the leader; what is half made is copied from whoever offers himself.
        here.effects.clear();
        here.c.faults.power_loss(others[1]);
        here.pass(1s);
        here.c.faults.power_back(others[1]);
        ASSERT_TRUE(here.c.run_until(
            [&] { return here.first<core::ClonePg>(others[1]).has_value(); }, 60s));
        for (const auto& seen : here.effects)
            if (const auto* clone = std::get_if<core::ClonePg>(&seen.effect))
                EXPECT_EQ(clone->source->member,
                          here.c.world.name(damaged ? here.leader : others[0]));
        here.settles(60s);
    }
}

// One that is only as damaged would do.
TEST(RotStory, WhoIsFullAndDamagedHandsOverToOneThatIsNeither) {
    Rotting here(SyncMode::off, false);
    const auto others = here.others(here.leader);
    here.member(others[0]).set_tag("failover_priority", "9");
    here.rot(others[0]);
    here.rot(here.leader);
    here.pass(10s);
    here.c.faults.fill_disk(here.leader,
                            {.to_hold = 1s, .to_full = 60s, .how_long = 120s, .by_writes = true});
    ASSERT_TRUE(here.until_a_primary(30s));
    here.pass(90s);
    EXPECT_EQ(here.primaries.size(), 1U);
    EXPECT_EQ(here.primaries.front().second, others[1]);
    here.settles(60s);
}

// Of a handover whose release was never answered the leader did not know that it had given the lead
// away, and asked for the next one within half a minute.
TEST(RotSchedules, ALeadThatRanOutIsGivenAway) {
    auto plan = plan_for(40354, 3, std::chrono::minutes(10));
    plan.rots = plan.disks = true;
    for (const auto& failure : run(plan).findings.failures) ADD_FAILURE() << failure;
}

// Whole schedules, with all other faults beside.
TEST(RotSchedules, KeepEveryPromise) {
    int cleaned = 0;
    const auto change = [](Plan& plan) { plan.rots = true; };
    const auto seen = [&](const Outcome& outcome) { cleaned += outcome.findings.cleaned; };
    EXPECT_EQ(run_range(1, 40, 3, change, seen), "");
    EXPECT_EQ(run_range(1, 10, 5, change, seen), "");
    EXPECT_GT(cleaned, 20);
}

}  // namespace
}  // namespace relevo::sim
