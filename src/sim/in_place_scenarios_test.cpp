// Stories of restores in place (docs/adr/0020): what each crash leaves, and who goes on with it.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "cluster/keys.h"
#include "sim/sync_story.h"

namespace relevo::sim {
namespace {

using namespace std::chrono_literals;
using Phase = cluster::Restoration::Phase;

struct InPlace : SyncStory {
    explicit InPlace(SyncMode mode = SyncMode::off, Bug bug = Bug::none)
        : SyncStory(plan(mode, bug)) {
        begin();
        leader = c.leader();
        restorer = others(leader).front();
        third = others(leader).back();
        target = c.postgres.at(leader).data().flushed;
        pass(2s);  // what is written from here on is not wanted
    }
    static Plan plan(SyncMode mode, Bug bug) {
        auto plan = sync_plan(mode, 9s);
        plan.in_place = true;
        plan.restore_takes = 2s;
        plan.bug = bug;
        return plan;
    }
    bool asks(int by) { return c.faults.restore_in_place(by, target); }
    void restores() { ASSERT_TRUE(asks(restorer)); }
    std::optional<Phase> phase() {
        const auto& r = c.dcs.truth()->restoration;
        return r ? std::optional(r->phase) : std::nullopt;
    }
    std::string problem() { return c.dcs.truth()->restoration->problem; }
    bool until(Phase wanted, Duration within = 60s) {
        return c.run_until([&] { return phase() == wanted; }, within);
    }
    // The first time that this member is asked for such an effect.
    template <class E>
    bool until_it(int member, Duration within = 60s) {
        return c.run_until([&] { return first<E>(member).has_value(); }, within);
    }
    bool is_restored(int member) {
        const auto& wal = c.postgres.wal;
        const auto end = c.postgres.at(member).data().end;
        const auto common = wal.common(end, {target.branch, cluster::Lsn{~std::uint64_t{0} >> 1U}});
        return end.branch != target.branch && common.branch == target.branch &&
               common.lsn == target.lsn;
    }
    void expect_restored(Duration within = 90s) {
        EXPECT_TRUE(until(Phase::restored, within)) << problem();
        settles(within);
        for (int m = 0; m < c.plan.members; ++m) EXPECT_TRUE(is_restored(m)) << c.world.name(m);
        c.checkers.check_kept();
        EXPECT_TRUE(c.checkers.findings.failures.empty());
    }
    void expect_old(Duration within = 90s) {
        settles(within);
        EXPECT_EQ(phase(), Phase::cancelled);
        EXPECT_EQ(c.checkers.findings.lost, 0U);
        for (int m = 0; m < c.plan.members; ++m) {
            EXPECT_FALSE(is_restored(m)) << c.world.name(m);
            EXPECT_TRUE(c.postgres.at(m).report().aside_for.empty()) << c.world.name(m);
        }
    }
    int leader = -1, restorer = -1, third = -1;
    WalEnd target;
};

TEST(InPlaceStory, TheClusterIsWhatItWasAndAllFollow) {
    for (const auto mode : {SyncMode::off, SyncMode::on, SyncMode::quorum}) {
        InPlace here(mode);
        here.restores();
        here.expect_restored();
        EXPECT_EQ(here.c.leader(), here.restorer);
        for (int m = 0; m < 3; ++m)
            EXPECT_EQ(here.c.postgres.at(m).kept_aside().size(), 1U) << "the old data is kept";
        EXPECT_GT(here.c.postgres.at(here.restorer).report().timeline, 1U);
        EXPECT_EQ(here.c.checkers.findings.overlaps, 0);
        // It is a cluster like any other.
        here.pass(10s);
        here.c.faults.switchover(here.c.world.name(here.restorer), "", {});
        EXPECT_TRUE(here.c.run_until(
            [&] { return here.c.leader() >= 0 && here.c.leader() != here.restorer; }, 20s));
        here.settles(60s);
    }
}

TEST(InPlaceStory, TheLeaderCanDoItItself) {
    InPlace here(SyncMode::quorum);
    here.restorer = here.leader;
    here.restores();
    here.expect_restored();
    EXPECT_EQ(here.c.leader(), here.leader);
}

TEST(InPlaceStory, NobodyLeadsMeanwhileAndTheRestoredServerLetsNobodyIn) {
    InPlace here;
    here.restores();
    ASSERT_TRUE(here.until(Phase::restoring));
    here.primaries.clear();
    const auto commits = here.c.checkers.findings.commits;
    ASSERT_TRUE(
        here.c.run_until([&] { return here.c.postgres.at(here.restorer).is_primary(); }, 60s));
    EXPECT_EQ(here.phase(), Phase::restoring);
    EXPECT_FALSE(here.c.postgres.at(here.restorer).accepts_writes());
    EXPECT_EQ(here.c.leader(), -1);
    EXPECT_EQ(here.c.checkers.findings.commits, commits);
    EXPECT_EQ(here.c.postgres.at(here.leader).server(), cluster::Server::stopped);
    EXPECT_EQ(here.c.postgres.at(here.third).server(), cluster::Server::stopped);
    here.expect_restored();
}

TEST(InPlaceStory, CancelledBeforeTheLeaderHasStoppedNothingStops) {
    InPlace here;
    here.restores();
    ASSERT_TRUE(here.c.faults.cancel_restore());
    here.pass(20s);
    EXPECT_EQ(here.count<core::StopPg>(), 0);
    here.expect_old();
    EXPECT_EQ(here.c.leader(), here.leader);
}

TEST(InPlaceStory, CancelledWhileTheLeaderStopsItStartsAgain) {
    InPlace here;
    here.restores();
    ASSERT_TRUE(here.until_it<core::ArchiveRestPg>(here.leader));
    ASSERT_TRUE(here.c.faults.cancel_restore());
    here.expect_old();
    EXPECT_EQ(here.c.leader(), here.leader);
}

TEST(InPlaceStory, CancelledAtAnyPointOfTheRestoreTheOldDataIsBack) {
    for (const auto mode : {SyncMode::off, SyncMode::quorum})
        for (int tenths = 0; tenths < 40; ++tenths) {
            InPlace here(mode);
            here.restores();
            ASSERT_TRUE(here.until(Phase::restoring));
            here.pass(tenths * 100ms);
            if (!here.c.faults.cancel_restore()) {
                here.expect_restored();
                continue;
            }
            here.expect_old();
        }
}

TEST(InPlaceStory, AFailedRestorePutsTheOldDataBack) {
    InPlace here;
    here.restores();
    ASSERT_TRUE(here.until_it<core::BootstrapPg>(here.restorer));
    here.c.faults.full_disk(here.restorer, 30s);
    ASSERT_TRUE(here.until(Phase::cancelled));
    EXPECT_NE(here.problem().find("pgBackRest"), std::string::npos) << here.problem();
    here.expect_old(120s);
}

TEST(InPlaceStory, WithALeaderThatCannotArchiveItIsCalledOff) {
    InPlace here;
    here.restores();
    ASSERT_TRUE(here.until_it<core::ArchiveRestPg>(here.leader));
    here.c.world.host(here.leader).disk_full = true;
    here.on_effect = [&](Member& who, const core::Effect& effect) {
        if (who.index() == here.leader && holds<core::StartPg>(effect))
            here.c.world.host(here.leader).disk_full = false;
    };
    ASSERT_TRUE(here.until(Phase::cancelled));
    EXPECT_NE(here.problem().find("archived"), std::string::npos) << here.problem();
    here.expect_old();
}

TEST(InPlaceStory, ALeaderThatDiesWhileItStopsIsFollowedByOneThatStopsInstead) {
    InPlace here(SyncMode::quorum);
    here.restores();
    ASSERT_TRUE(here.until_it<core::StopPg>(here.leader));
    here.c.faults.power_loss(here.leader);
    ASSERT_TRUE(here.until(Phase::restored));
    here.c.faults.power_back(here.leader);
    here.expect_restored();
    EXPECT_EQ(here.c.postgres.at(here.leader).kept_aside().size(), 1U);
}

TEST(InPlaceStory, AMemberThatIsGoneRestoresNothing) {
    InPlace here;
    here.c.faults.crash_agent(here.restorer, 60s);
    here.restores();
    here.c.dcs.store();
    here.pass(2s);
    // Its key is there for as long as its lease: the leader may have stopped already.
    if (here.phase() == Phase::stopping) {
        ASSERT_TRUE(here.until(Phase::cancelled));
        EXPECT_NE(here.problem().find("is not there"), std::string::npos) << here.problem();
        here.pass(60s);
        here.expect_old();
    } else {
        here.expect_restored(180s);
    }
}

TEST(InPlaceStory, TheMemberThatRestoresDiesAtAnyPointAndGoesOn) {
    for (const bool power : {false, true})
        for (int tenths = 0; tenths < 50; ++tenths) {
            SCOPED_TRACE(fmt::format("{} after {} ms", power ? "power" : "agent", tenths * 100));
            InPlace here(tenths % 2 == 0 ? SyncMode::off : SyncMode::quorum);
            here.restores();
            ASSERT_TRUE(here.until(Phase::restoring));
            here.pass(tenths * 100ms);
            if (power) {
                here.c.faults.power_loss(here.restorer);
                here.pass(5s);
                here.c.faults.power_back(here.restorer);
            } else {
                here.c.faults.crash_agent(here.restorer, 3s);
            }
            here.expect_restored(120s);
            EXPECT_EQ(here.c.leader() < 0, false);
        }
}

TEST(InPlaceStory, OneThatNeverComesBackIsCancelledByTheOperator) {
    InPlace here(SyncMode::quorum);
    here.restores();
    ASSERT_TRUE(here.until_it<core::BootstrapPg>(here.restorer));
    here.c.faults.power_loss(here.restorer);
    here.pass(120s);
    EXPECT_EQ(here.phase(), Phase::restoring) << "nobody decides this but the operator";
    EXPECT_EQ(here.c.leader(), -1);
    ASSERT_TRUE(here.c.faults.cancel_restore());
    EXPECT_TRUE(here.c.run_until([&] { return here.c.leader() >= 0; }, 30s));
    here.pass(10s);
    here.c.faults.power_back(here.restorer);
    here.expect_old();
}

TEST(InPlaceStory, TheDcsIsAwayAtAnyPoint) {
    for (int tenths = 0; tenths < 50; ++tenths) {
        SCOPED_TRACE(fmt::format("after {} ms", tenths * 100));
        InPlace here(tenths % 2 == 0 ? SyncMode::off : SyncMode::quorum);
        here.restores();
        here.pass(tenths * 100ms);
        here.c.faults.dcs_away(15s);
        here.pass(20s);
        here.settles(120s);
        EXPECT_TRUE(here.phase() == Phase::restored || here.phase() == Phase::cancelled);
        if (here.phase() == Phase::restored) here.expect_restored();
    }
}

TEST(InPlaceStory, AMemberThatWasAwayIsClonedWheneverItComesBack) {
    for (const auto mode : {SyncMode::off, SyncMode::quorum}) {
        InPlace here(mode);
        here.c.faults.power_loss(here.third);
        here.pass(20s);
        here.restores();
        ASSERT_TRUE(here.until(Phase::restored));
        here.pass(30s);
        here.c.faults.power_back(here.third);
        here.expect_restored();
        EXPECT_EQ(here.c.postgres.at(here.third).kept_aside().size(), 1U);
        EXPECT_EQ(here.count<core::RewindPg>(), 0);
    }
}

// All that were restored are down when it comes back, with data that would have been good enough.
TEST(InPlaceStory, AMemberThatWasAwayNeverLeadsWithItsOldData) {
    InPlace here;
    here.c.faults.power_loss(here.third);
    here.pass(20s);
    here.restores();
    ASSERT_TRUE(here.until(Phase::restored));
    EXPECT_TRUE(here.c.run_until([&] { return here.c.postgres.at(here.leader).streams(); }, 60s));
    here.c.faults.power_loss(here.leader);
    here.c.faults.power_loss(here.restorer);
    here.c.faults.power_back(here.third);
    here.primaries.clear();
    here.pass(120s);
    EXPECT_TRUE(here.primaries.empty());
    EXPECT_EQ(here.c.leader(), -1);
    EXPECT_NE(here.c.postgres.at(here.third).server(), cluster::Server::running);
    here.c.faults.power_back(here.leader);
    here.c.faults.power_back(here.restorer);
    here.expect_restored();
}

// Another restore was asked for and cancelled since: what is from before the first is known still.
TEST(InPlaceStory, NorAfterAnotherRestoreThatCameToNothing) {
    InPlace here;
    here.c.faults.power_loss(here.third);
    here.pass(20s);
    here.restores();
    ASSERT_TRUE(here.until(Phase::restored));
    EXPECT_TRUE(here.c.run_until([&] { return here.c.postgres.at(here.leader).streams(); }, 60s));
    here.pass(5s);
    ASSERT_TRUE(here.asks(here.leader));
    ASSERT_TRUE(here.until(Phase::restoring));
    here.pass(1s);
    ASSERT_TRUE(here.c.faults.cancel_restore());
    EXPECT_TRUE(here.c.run_until([&] { return here.c.leader() >= 0; }, 60s));
    here.c.faults.power_back(here.third);
    here.settles(90s);
    for (int m = 0; m < 3; ++m) EXPECT_TRUE(here.is_restored(m)) << m;
    EXPECT_EQ(here.c.postgres.at(here.third).kept_aside().size(), 1U);
}

TEST(InPlaceStory, OnceMoreToAnotherPoint) {
    InPlace here(SyncMode::quorum);
    here.restores();
    here.expect_restored();
    here.pass(10s);
    const auto first = here.c.dcs.truth()->restoration->timeline;
    here.target = here.c.postgres.at(here.c.leader()).data().flushed;
    here.pass(5s);
    ASSERT_TRUE(here.asks(here.third));
    EXPECT_TRUE(here.until(Phase::restoring));
    here.expect_restored();
    EXPECT_GT(here.c.dcs.truth()->restoration->timeline, first);
    for (int m = 0; m < 3; ++m) EXPECT_EQ(here.c.postgres.at(m).kept_aside().size(), 2U);
}

// Who restored is lost for good before anybody was cloned: the operator takes the old data.
TEST(InPlaceStory, LostAfterTheSwapTheOperatorMayTakeTheOldDataBack) {
    InPlace here;
    here.restores();
    here.c.dcs.on_write = [&] {
        if (here.phase() == Phase::restored && here.c.world.host(here.restorer).powered)
            here.c.world.after({}, [&] { here.c.faults.power_loss(here.restorer); });
    };
    ASSERT_TRUE(here.until(Phase::restored));
    here.pass(1ms);
    here.c.dcs.on_write = nullptr;
    here.pass(60s);
    EXPECT_EQ(here.c.leader(), -1) << "nobody leads with the old data unless told to";
    for (const int other : {here.leader, here.third})
        EXPECT_TRUE(here.c.postgres.at(other).kept_aside().empty()) << "it is in its place";
    auto r = *here.c.dcs.truth()->restoration;
    r.phase = Phase::cancelled;
    ASSERT_TRUE(here.c.dcs.operate(cluster::keys::cancel_restore(r, true)));
    EXPECT_TRUE(here.c.run_until([&] { return here.c.leader() >= 0; }, 60s));
    EXPECT_FALSE(here.is_restored(here.c.leader()));
}

TEST(InPlaceStory, BesideAnAgentThatDoesNotKnowOfItNothingIsStopped) {
    auto plan = InPlace::plan(SyncMode::off, Bug::none);
    plan.foreign = {2};
    Story here(plan);
    here.begin();
    const int by = here.c.leader() == 0 ? 1 : 0;
    ASSERT_TRUE(here.c.faults.restore_in_place(by));
    here.pass(10s);
    EXPECT_EQ(here.c.dcs.truth()->restoration->phase, Phase::cancelled);
    EXPECT_NE(here.c.dcs.truth()->restoration->problem.find("does not know"), std::string::npos);
    EXPECT_EQ(here.count<core::StopPg>(), 0);
    here.settles(10s);
}

TEST(InPlaceStory, InMaintenanceModeNothingBeginsAndItGoesOnAfterwards) {
    InPlace here;
    here.c.faults.pause(true);
    here.pass(15s);
    here.restores();
    here.pass(30s);
    EXPECT_EQ(here.phase(), Phase::stopping);
    EXPECT_EQ(here.count<core::StopPg>(), 0);
    here.c.faults.pause(false);
    here.expect_restored();
}

// A key that nobody can read: nobody leads by guess, and who leads goes on.
TEST(InPlaceStory, ARecordThatCannotBeReadStopsNobodyAndElectsNobody) {
    InPlace here;
    ASSERT_TRUE(here.c.dcs.operate({{}, {{cluster::Write::What::put, "restore", "{}", false}}}));
    here.pass(20s);
    EXPECT_EQ(here.c.leader(), here.leader);
    EXPECT_EQ(here.count<core::StopPg>(), 0);
    here.c.faults.power_loss(here.leader);
    here.pass(40s);
    EXPECT_EQ(here.c.leader(), -1);
    ASSERT_TRUE(here.c.dcs.operate({{}, {{cluster::Write::What::remove, "restore", {}, false}}}));
    EXPECT_TRUE(here.c.run_until([&] { return here.c.leader() >= 0; }, 30s));
    here.c.faults.power_back(here.leader);
    here.settles(60s);
}

}  // namespace
}  // namespace relevo::sim
