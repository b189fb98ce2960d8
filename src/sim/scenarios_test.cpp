// Hand-written stories with their expected sequence and durations, in simulated
// time.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cluster/keys.h"
#include "sim/story.h"

namespace relevo::sim {
namespace {

using namespace std::chrono_literals;

TEST(Story, PowerLossOfTheLeaderIsOverWithinItsLease) {
    Story story(calm_plan(5s, 300s));
    story.begin();
    const int old = story.c.leader();
    const Instant lost_at = story.c.world.now();
    story.c.faults.power_loss(old);
    ASSERT_TRUE(story.until_a_primary(30s));
    EXPECT_LT(story.primaries.front().first - lost_at, 5s + 500ms);
    EXPECT_NE(story.primaries.front().second, old);
    story.c.faults.power_back(old);
    story.settles(60s);
}

TEST(Story, ADeadPostmasterIsStartedAgainInPlace) {
    Story story(calm_plan(30s, 300s));
    story.begin();
    const int leader = story.c.leader();
    const auto term = story.c.dcs.truth()->leader->create_revision;
    const Instant died_at = story.c.world.now();
    story.c.faults.crash_postgres(leader);
    ASSERT_TRUE(story.until_a_primary(60s));
    story.settles(60s);
    const auto started = story.first<core::StartPg>(leader);
    ASSERT_TRUE(started);
    EXPECT_LT(*started - died_at, 100ms);
    EXPECT_EQ(story.c.dcs.truth()->leader->create_revision, term);
    EXPECT_EQ(story.count<core::PromotePg>(), 0);
}

TEST(Story, WithStartTimeoutZeroADeadPostmasterHandsTheKeyOn) {
    Story story(calm_plan(30s, 0s));
    story.begin();
    const int old = story.c.leader();
    const Instant died_at = story.c.world.now();
    Instant key_gone{};
    story.c.dcs.on_write = [&] {
        if (key_gone == Instant{} && !story.c.dcs.truth()->leader) key_gone = story.c.world.now();
    };
    story.c.faults.crash_postgres(old);
    ASSERT_TRUE(story.until_a_primary(10s));
    EXPECT_LT(key_gone - died_at, 100ms);
    const int winner = story.primaries.front().second;
    EXPECT_NE(winner, old);
    const auto promoting = story.first<core::PromotePg>(winner);
    ASSERT_TRUE(promoting);
    EXPECT_LT(*promoting - key_gone, 50ms);
    EXPECT_LT(story.primaries.front().first - died_at, 300ms);
    story.settles(60s);
    EXPECT_EQ(story.c.checkers.findings.lost, 0U);
}

// By the line alone, beside the history of an older one, the timelines between the two would seem
// to have been left out: a leader that dies between both writes must not leave that behind.
TEST(Story, ANewLeaderTellsItsLineOnceItsHistoryIsThere) {
    Story story(calm_plan(30s, 0s));
    story.begin();
    int told = 0;
    story.on_effect = [&](Member& who, const core::Effect& effect) {
        const auto* commit = std::get_if<core::Commit>(&effect);
        const auto& pg = story.c.postgres.at(who.index());
        if (!commit || commit->purpose != core::CommitFor::timeline || !pg.is_primary()) return;
        ++told;
        const auto& key = story.c.dcs.truth()->history;
        ASSERT_TRUE(key && !key->empty());
        EXPECT_EQ(key->back().timeline, pg.report().history.back().timeline);
    };
    for (int times = 0; times < 3; ++times) {
        story.primaries.clear();
        story.c.faults.crash_postgres(story.c.leader());
        ASSERT_TRUE(story.until_a_primary(10s));
        story.settles(90s);
    }
    EXPECT_EQ(told, 3);
}

TEST(Story, ASwitchoverLosesNothingAndIsShort) {
    Story story(calm_plan(30s, 300s));
    story.begin();
    const int old = story.c.leader();
    const int candidate = (old + 1) % 3;
    story.switch_over(old, candidate);
    ASSERT_TRUE(story.until_a_primary(20s));
    EXPECT_EQ(story.primaries.front().second, candidate);
    const auto stopping = story.first<core::StopPg>(old);
    ASSERT_TRUE(stopping);
    EXPECT_LT(story.primaries.front().first - *stopping, 600ms);
    story.settles(60s);
    EXPECT_EQ(story.c.leader(), candidate);
    EXPECT_EQ(story.c.checkers.findings.lost, 0U);
    EXPECT_EQ((story.count<core::RewindPg, core::ClonePg>()), 0);
}

// Whoever else would be preferred.
TEST(Story, AScheduledSwitchoverGoesToWhomItNames) {
    Story story(calm_plan(30s, 300s));
    story.begin();
    const int old = story.c.leader();
    const int candidate = (old + 1) % 3, other = (old + 2) % 3;
    story.c.members[static_cast<std::size_t>(other)]->set_tag("failover_priority", "9");
    story.c.faults.switchover(story.c.world.name(old), story.c.world.name(candidate), 20s);
    story.pass(15s);
    EXPECT_TRUE(story.primaries.empty());
    ASSERT_TRUE(story.until_a_primary(20s));
    EXPECT_EQ(story.primaries.front().second, candidate);
    EXPECT_EQ(story.c.checkers.findings.lost, 0U);
    story.settles(60s);
}

TEST(Story, ASwitchoverDoesNotWaitForPrimaryRaceBackoff) {
    auto plan = calm_plan(30s, 300s);
    plan.settings.primary_race_backoff = 10s;
    plan.config_json = config_of(plan.settings);
    Story story(plan);
    story.begin();
    const int old = story.c.leader();
    story.switch_over(old, (old + 1) % 3);
    ASSERT_TRUE(story.until_a_primary(5s));
    EXPECT_EQ(story.primaries.front().second, (old + 1) % 3);
    story.settles(60s);
}

// PostgreSQL makes one checkpoint after the other, and a stop waits for them, with clients waiting:
// a switchover right after another one lets the checkpoint of the promotion end before.
TEST(Story, ASwitchoverStopsNothingWhileACheckpointRuns) {
    Story story(calm_plan(30s, 300s));
    story.begin();
    const int old = story.c.leader();
    const int next = (old + 1) % 3, third = (old + 2) % 3;
    const auto checkpoints = [](const Member& who) {
        return std::ranges::count_if(who.state().running, [](const auto& one) {
            return std::holds_alternative<core::CheckpointPg>(one.effect);
        });
    };
    bool slow = false;
    std::ptrdiff_t most = 0;
    story.on_effect = [&](Member& who, const core::Effect& effect) {
        if (who.index() != next) return;
        most = std::max(most, checkpoints(who));
        if (std::holds_alternative<core::CheckpointPg>(effect) && !std::exchange(slow, true)) {
            story.c.faults.slow_disk(next, 8s, 1ms);
            story.c.world.after(500ms, [&] { story.switch_over(next, third); });
        }
        if (std::holds_alternative<core::StopPg>(effect)) {
            EXPECT_EQ(checkpoints(who), 0);
        }
    };
    story.switch_over(old, next);
    ASSERT_TRUE(story.c.run_until([&] { return story.c.leader() == third; }, 30s));
    EXPECT_EQ(most, 2);  // the promotion's took long enough to be in the way
    story.settles(60s);
}

TEST(Story, ASwitchoverWhoseCandidateDiesIsCalledOff) {
    auto plan = calm_plan(30s, 300s);
    plan.members = 2;
    Story story(plan);
    story.begin();
    const int old = story.c.leader();
    const int candidate = 1 - old;
    story.on_effect = [&](Member& who, const core::Effect& effect) {
        if (who.index() == old && std::holds_alternative<core::CheckpointPg>(effect))
            story.c.world.after(1ms, [&] { story.c.faults.power_loss(candidate); });
    };
    story.switch_over(old, candidate);
    ASSERT_TRUE(story.until_a_primary(120s));
    EXPECT_EQ(story.primaries.front().second, old);
    EXPECT_EQ(story.count<core::PromotePg>(), 0);
    story.c.faults.power_back(candidate);
    story.settles(120s);
    EXPECT_EQ(story.c.leader(), old);
    EXPECT_EQ(story.c.checkers.findings.lost, 0U);
}

TEST(Story, ASwitchoverIsCalledOffWhenATransactionAtThePoolerDoesNotEnd) {
    auto plan = calm_plan(30s, 300s);
    plan.poolers = Poolers::busy;
    Story story(plan);
    story.begin();
    const int old = story.c.leader();
    story.switch_over(old, (old + 1) % 3);
    story.pass(1s);
    EXPECT_TRUE(core::holds_poolers(story.c.members[static_cast<std::size_t>(old)]->state()));
    story.pass(3s);
    EXPECT_FALSE(core::holds_poolers(story.c.members[static_cast<std::size_t>(old)]->state()));
    EXPECT_EQ((story.count<core::StopPg, core::PromotePg>()), 0);
    EXPECT_EQ(story.c.leader(), old);
    EXPECT_EQ(story.c.members[static_cast<std::size_t>(old)]->state().handover_failure,
              "a transaction does not end");
    story.settles(10s);
}

TEST(Story, APoolerThatDoesNotAnswerDelaysASwitchoverByNoMoreThanItsTime) {
    auto plan = calm_plan(30s, 300s);
    plan.poolers = Poolers::silent;
    Story story(plan);
    story.begin();
    const int old = story.c.leader();
    story.switch_over(old, (old + 1) % 3);
    ASSERT_TRUE(story.until_a_primary(20s));
    const auto held = story.first<core::HoldPoolers>(old);
    const auto stopped = story.first<core::StopPg>(old);
    ASSERT_TRUE(held && stopped);
    EXPECT_LT(*stopped - *held, 2100ms);
    EXPECT_FALSE(core::holds_poolers(story.c.members[static_cast<std::size_t>(old)]->state()));
    story.settles(60s);
}

// Neither a restart nor the agent's stop is called off for a transaction: clients are held, and
// then the server is stopped.
TEST(Story, ARestartAndAnAgentsStopLetThePoolersHoldBefore) {
    auto plan = calm_plan(30s, 300s);
    plan.poolers = Poolers::busy;
    Story story(plan);
    story.begin();
    const int old = story.c.leader();
    auto& leader = *story.c.members[static_cast<std::size_t>(old)];
    const auto stops_after_a_hold = [&] {
        const auto held = story.first<core::HoldPoolers>(old);
        const auto stopped = story.first<core::StopPg>(old);
        ASSERT_TRUE(held && stopped);
        EXPECT_GE(*stopped - *held, 1900ms);
        EXPECT_LT(*stopped - *held, 2100ms);
        story.effects.clear();
    };
    leader.order_restart();
    story.pass(1s);
    EXPECT_TRUE(core::holds_poolers(leader.state()));
    story.pass(10s);
    EXPECT_FALSE(core::holds_poolers(leader.state()));
    story.settles(60s);
    EXPECT_EQ(story.c.leader(), old);
    stops_after_a_hold();
    story.primaries.clear();
    leader.stop_agent();
    ASSERT_TRUE(story.until_a_primary(20s));
    EXPECT_NE(story.primaries.front().second, old);
    stops_after_a_hold();
}

TEST(Story, MaintenanceModeThatBeginsWhileAnAgentGetsReadyToStopKeepsItsServer) {
    auto plan = calm_plan(5s, 300s);
    plan.poolers = Poolers::silent;
    Story story(plan);
    story.begin();
    const int leader = story.c.leader();
    story.c.members[static_cast<std::size_t>(leader)]->stop_agent();
    story.pass(200ms);
    story.c.faults.pause(true);
    story.pass(10s);
    EXPECT_TRUE(story.first<core::HoldPoolers>(leader));
    EXPECT_FALSE(story.first<core::StopPg>(leader));
    EXPECT_TRUE(story.c.postgres.at(leader).is_primary());
}

TEST(Story, ALeaderThatDiesWhileThePoolersHoldIsSucceeded) {
    auto plan = calm_plan(5s, 300s);
    plan.poolers = Poolers::silent;
    Story story(plan);
    story.begin();
    const int old = story.c.leader();
    story.on_effect = [&](Member& who, const core::Effect& effect) {
        if (who.index() == old && std::holds_alternative<core::HoldPoolers>(effect))
            story.c.world.after(100ms, [&] { story.c.faults.power_loss(old); });
    };
    story.switch_over(old, (old + 1) % 3);
    ASSERT_TRUE(story.until_a_primary(30s));
    EXPECT_NE(story.primaries.front().second, old);
    story.c.faults.power_back(old);
    story.settles(120s);
}

TEST(Story, WithoutTheDcsThePrimaryStopsWithinItsLeaseAndComesBackWithIt) {
    Story story(calm_plan(10s, 300s));
    story.begin();
    const int old = story.c.leader();
    const Instant gone_at = story.c.world.now();
    story.c.faults.dcs_away(25s);
    ASSERT_TRUE(story.c.run_until([&] { return !story.c.postgres.at(old).accepts_writes(); }, 30s));
    EXPECT_LT(story.c.world.now() - gone_at, 10s);
    EXPECT_TRUE(story.primaries.empty());
    story.settles(90s);
    EXPECT_EQ(story.c.checkers.findings.overlaps, 0);
}

TEST(Story, ADcsThatBlinksIsNotNoticed) {
    Story story(calm_plan(30s, 300s));
    story.begin();
    story.c.faults.dcs_away(10s);
    story.pass(60s);
    story.settles(1s);
    EXPECT_TRUE(story.primaries.empty());
    EXPECT_EQ((story.count<core::KillPg, core::StopPg>()), 0);
}

TEST(Story, ARestartedAgentTakesItsRunningPrimaryOver) {
    Story story(calm_plan(10s, 300s));
    story.begin();
    const int leader = story.c.leader();
    const auto term = story.c.dcs.truth()->leader->create_revision;
    story.c.faults.crash_agent(leader, 2s);
    story.pass(60s);
    story.settles(1s);
    EXPECT_EQ(story.c.dcs.truth()->leader->create_revision, term);
    EXPECT_TRUE(story.primaries.empty());
    EXPECT_EQ((story.count<core::KillPg, core::StopPg>()), 0);
}

TEST(Story, AFrozenLeaderStopsAtOnceWhenItAwakes) {
    Story story(calm_plan(5s, 300s));
    story.begin();
    const int old = story.c.leader();
    story.c.faults.freeze(old, 30s);
    ASSERT_TRUE(story.until_a_primary(20s));
    ASSERT_TRUE(story.c.run_until([&] { return story.c.world.host(old).awake(); }, 40s));
    const Instant awake_at = story.c.world.now();
    ASSERT_TRUE(story.c.run_until([&] { return !story.c.postgres.at(old).is_primary(); }, 5s));
    EXPECT_LT(story.c.world.now() - awake_at, 300ms);
    story.settles(90s);
}

TEST(Story, ThreeMembersInAnEmptyDcsMakeOneCluster) {
    Story story(calm_plan(30s, 300s));
    story.c.start();
    story.settles(30s);
    EXPECT_EQ(story.count<core::BootstrapPg>(), 1);
    EXPECT_EQ(story.count<core::ClonePg>(), 2);
    EXPECT_EQ(story.c.postgres.systems, 1);
}

TEST(Story, ABootstrapWhoseAgentDiesBeforeTheRolesIsMadeAnew) {
    for (const Duration back_after : {Duration(1s), Duration(60s)}) {
        Story story(calm_plan(10s, 300s));
        int died = -1;
        story.on_effect = [&](Member& who, const core::Effect& effect) {
            if (died >= 0 || !std::holds_alternative<core::PostBootstrapPg>(effect)) return;
            died = who.index();
            story.c.faults.crash_agent(died, back_after);
        };
        story.c.start();
        story.pass(120s);
        ASSERT_GE(died, 0);
        story.settles(1s);
        EXPECT_EQ(story.c.postgres.systems, 2);
        EXPECT_EQ(story.count<core::PostBootstrapPg>(), 2);
    }
}

TEST(Story, ARestoredClusterIsWaitedForUntilItIsAPrimary) {
    auto plan = calm_plan(10s, 300s);
    plan.restore_takes = 90s;
    Story story(plan);
    story.c.start();
    story.pass(60s);
    EXPECT_EQ(story.count<core::PostBootstrapPg>(), 0);
    EXPECT_EQ(story.c.leader(), -1);
    story.settles(60s);
    EXPECT_EQ(story.c.postgres.systems, 1);
}

TEST(Story, ARunningServerIsAdoptedAsItStands) {
    auto plan = calm_plan(30s, 300s);
    plan.adopt = true;
    Story story(plan);
    story.c.start();
    ASSERT_TRUE(story.c.run_until([&] { return story.c.leader() == 0; }, 10s));
    story.settles(90s);
    EXPECT_EQ(story.c.dcs.truth()->initialize, "7099999999999999999");
    EXPECT_TRUE(story.primaries.empty());
    EXPECT_EQ((story.count<core::BootstrapPg, core::PromotePg, core::StopPg, core::KillPg>()), 0);
}

TEST(Story, ATimelineIsNeverBegunTwice) {
    auto plan = calm_plan(5s, 300s);
    plan.settings.use_pg_rewind = false;  // everybody keeps what he has
    plan.config_json = config_of(plan.settings);
    Story story(plan);
    story.begin();
    const int first = story.c.leader();
    story.c.faults.power_loss(first);
    ASSERT_TRUE(story.until_a_primary(30s));
    const int second = story.primaries.back().second;
    story.c.faults.power_loss(second);
    story.primaries.clear();
    story.c.faults.power_back(first);
    ASSERT_TRUE(story.until_a_primary(60s));
    const auto& wal = story.c.postgres.wal;
    const auto timeline = [&](int m) { return wal.timeline(story.c.postgres.at(m).data().end); };
    EXPECT_GT(timeline(story.primaries.back().second), timeline(second));
    story.c.faults.power_back(second);
    story.settles(120s);
}

// Its position is the higher number: it wrote what nobody else has.
TEST(Story, ADivergedMemberIsNoCandidate) {
    auto plan = calm_plan(5s, 300s);
    plan.settings.use_pg_rewind = false;
    plan.settings.maximum_lag_on_failover = 1 << 30;
    plan.config_json = config_of(plan.settings);
    Story story(plan);
    story.begin();
    const int old = story.c.leader();
    for (int other = 0; other < 3; ++other)
        if (other != old) story.c.faults.cut(old, other, false, 60s);
    story.pass(3s);
    story.c.faults.power_loss(old);
    ASSERT_TRUE(story.until_a_primary(30s));
    const int leader = story.primaries.back().second;
    story.pass(60s);
    story.c.faults.power_back(old);
    story.pass(30s);
    story.effects.clear();
    story.switch_over(leader, old);
    story.pass(20s);
    EXPECT_EQ(story.c.leader(), leader);
    EXPECT_EQ((story.count<core::StopPg, core::PromotePg>()), 0);
    story.settles(60s);
}

// Agents of Patroni's let PostgreSQL choose the number: it is begun twice when the member that was
// given it died before anybody had it. A twin of the leader's timeline is never streamed into.
// The old primary goes on, so the standbys' keys are older than what they have.
TEST(Story, AMemberWhoseAnswerIsLostIsAskedOnceMore) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        auto plan = calm_plan(30s, 0s);
        plan.seed = seed;
        Story story(plan);
        story.begin();
        const int old = story.c.leader();
        const int ahead = (old + 1) % 3;
        const int behind = (old + 2) % 3;
        story.c.members[static_cast<std::size_t>(old)]->stall();
        story.c.faults.cut(old, behind, false, 20s);
        story.pass(250ms);
        bool cut = false;
        story.on_effect = [&](Member&, const core::Effect& effect) {
            const auto* probe = std::get_if<core::ProbePeers>(&effect);
            if (probe && probe->purpose == core::ProbeFor::race && !std::exchange(cut, true))
                story.c.faults.cut(ahead, behind, false, 500ms);
        };
        const auto term = story.c.dcs.truth()->leader->create_revision;
        story.c.dcs.operate(cluster::keys::release_leader(term, std::nullopt));
        ASSERT_TRUE(story.until_a_primary(10s));
        EXPECT_TRUE(cut);
        EXPECT_EQ(story.primaries.front().second, ahead) << "seed " << seed;
        story.c.members[static_cast<std::size_t>(old)]->resume();
        story.settles(120s);
    }
}

TEST(Story, ATwinOfAForeignLeadersTimelineIsKeptApart) {
    auto plan = calm_plan(5s, 300s);
    plan.foreign = {2};
    plan.settings.maximum_lag_on_failover = 1 << 30;
    plan.config_json = config_of(plan.settings);
    Story story(plan);
    story.begin();
    if (story.c.leader() == 2) {
        story.switch_over(2, 0);
        ASSERT_TRUE(story.until_a_primary(20s));
        story.settles(60s);
    }
    const int first = story.c.leader();
    const int ours = 1 - first;
    story.c.faults.power_loss(2);
    story.pass(10s);
    story.c.faults.power_loss(first);
    story.primaries.clear();
    ASSERT_TRUE(story.until_a_primary(30s));
    ASSERT_EQ(story.primaries.back().second, ours);
    story.pass(1s);
    story.c.faults.power_loss(ours);
    story.primaries.clear();
    story.c.faults.power_back(2);
    ASSERT_TRUE(story.until_a_primary(60s));
    ASSERT_EQ(story.primaries.back().second, 2);
    const auto end = [&](int m) { return story.c.postgres.at(m).data().end; };
    ASSERT_NE(story.c.postgres.wal.twin(end(2), end(ours)), 0U) << "the story is about twins";
    story.pass(5s);
    const auto kept = end(ours);
    story.effects.clear();
    story.c.faults.power_back(ours);
    story.pass(60s);
    EXPECT_EQ(end(ours).branch, kept.branch) << "two histories were mixed";
    EXPECT_FALSE(story.first<core::RewindPg>(ours)) << "pg_rewind would see no difference";
    EXPECT_EQ(story.c.postgres.at(ours).server(), cluster::Server::stopped);
    story.c.faults.power_back(first);
    story.c.members[static_cast<std::size_t>(ours)]->order_reinit();
    story.settles(120s);
}

// It had the key and may have promoted, but died before it could say on which timeline.
TEST(Story, ANumberThatAForeignLeaderMayHaveBegunIsLeftOut) {
    auto plan = calm_plan(5s, 300s);
    plan.foreign = {2};
    plan.settings.maximum_lag_on_failover = 1 << 30;
    plan.settings.use_pg_rewind = false;  // everybody keeps what he has
    plan.config_json = config_of(plan.settings);
    Story story(plan);
    story.begin();
    if (story.c.leader() == 2) {
        story.switch_over(2, 0);
        ASSERT_TRUE(story.until_a_primary(20s));
        story.settles(60s);
    }
    story.primaries.clear();
    story.on_effect = [&](Member& who, const core::Effect& effect) {
        if (who.index() != 2 || !std::holds_alternative<core::PromotePg>(effect)) return;
        story.c.faults.cut(2, 0, false, 20s);  // nobody streams what it writes
        story.c.faults.cut(2, 1, false, 20s);
    };
    story.c.faults.switchover("", story.c.world.name(2), {});
    ASSERT_TRUE(story.until_a_primary(30s));
    ASSERT_EQ(story.primaries.back().second, 2);
    story.c.faults.power_loss(2);
    story.primaries.clear();
    ASSERT_TRUE(story.until_a_primary(60s) || !story.c.checkers.findings.failures.empty());
    for (const auto& failure : story.c.checkers.findings.failures) FAIL() << failure;
    const auto end = [&](int m) { return story.c.postgres.at(m).data().end; };
    const int leader = story.primaries.back().second;
    EXPECT_EQ(story.c.postgres.wal.twin(end(2), end(leader)), 0U);
    story.c.faults.power_back(2);
    story.pass(30s);
    EXPECT_EQ(story.c.leader(), leader);
}

TEST(Story, AnAgentThatComesToAHungPrimaryStopsItAtOnce) {
    Story story(calm_plan(5s, 300s));
    story.begin();
    const int old = story.c.leader();
    story.c.faults.crash_agent(old, 20s);
    ASSERT_TRUE(story.until_a_primary(20s));
    EXPECT_NE(story.primaries.back().second, old);
    story.c.faults.hang(old, 60s);
    story.effects.clear();
    ASSERT_TRUE(story.c.run_until([&] { return story.first<core::KillPg>(old).has_value(); }, 60s));
    const auto looked = story.first<core::Observe>(old);
    ASSERT_TRUE(looked);
    EXPECT_LT(*story.first<core::KillPg>(old) - *looked, 500ms);
    story.settles(90s);
}

}  // namespace
}  // namespace relevo::sim
