// Stories of who may read a primary after a start (docs/adr/0014; R9, H9).
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "sim/sync_story.h"

namespace relevo::sim {
namespace {

using namespace std::chrono_literals;

// Its postmaster dies with commits that no standby has, and it is started in place.
struct CrashedInPlace {
    explicit CrashedInPlace(Bug bug, Duration cut = 2s) : story(plan(bug)) {
        story.begin();
        leader = story.c.leader();
        for (const int other : story.others(leader)) story.c.faults.cut(leader, other, false, cut);
        story.pass(300ms);
        unconfirmed = open_commits();
        story.c.faults.crash_postgres(leader);
    }
    static Plan plan(Bug bug) {
        auto plan = sync_plan(SyncMode::quorum, 60s);
        // Nobody else takes over meanwhile.
        plan.settings.suspect_after = std::chrono::milliseconds(60000);
        plan.settings.primary_start_timeout = 300s;
        plan.config_json = config_of(plan.settings);
        plan.bug = bug;
        return plan;
    }
    SimPostgres& pg() { return story.c.postgres.at(leader); }
    std::size_t open_commits() {
        return story.c.postgres.wal.at(pg().data().end.branch).open.size();
    }
    bool admits() {
        return pg().is_primary() && !pg().report().gated &&
               !core::keeps_clients_out(story.c.members[static_cast<std::size_t>(leader)]->state());
    }
    const std::vector<std::string>& failures() { return story.c.checkers.findings.failures; }
    SyncStory story;
    int leader = -1;
    std::size_t unconfirmed = 0;
};

TEST(AdmissionStory, ACrashedPrimaryIsReadOnlyOnceItsStandbysHaveWhatItHolds) {
    CrashedInPlace here(Bug::none);
    ASSERT_GT(here.unconfirmed, 5U);
    ASSERT_TRUE(here.story.until_a_primary(40s));
    EXPECT_EQ(here.story.primaries.front().second, here.leader);
    EXPECT_TRUE(here.pg().report().gated);
    EXPECT_FALSE(here.admits());
    ASSERT_TRUE(here.story.c.run_until([&] { return here.admits(); }, 20s));
    // Then nothing of it is left unconfirmed.
    const auto& wal = here.story.c.postgres.wal;
    const auto all = here.story.others(here.leader);
    EXPECT_TRUE(std::ranges::any_of(all, [&](int other) {
        return wal.covers(here.story.c.postgres.at(other).data().end,
                          WalEnd{here.pg().data().end.branch, here.pg().data().checkpoint});
    }));
    here.story.settles(60s);
}

TEST(AdmissionStory, AReaderLetInAtOnceSeesWhatAnElectionLoses) {
    CrashedInPlace here(Bug::admitted_unconfirmed);
    here.story.pass(40s);
    ASSERT_FALSE(here.failures().empty());
    EXPECT_NE(here.failures().front().find("showed to a reader"), std::string::npos)
        << here.failures().front();
}

// The voters do not come back: they are let go, nobody can be elected any more, and what is here is
// the cluster's.
TEST(AdmissionStory, AloneItLetsClientsInOnceNobodyElseCanBeElected) {
    CrashedInPlace here(Bug::none, 300s);
    ASSERT_TRUE(here.story.until_a_primary(40s));
    EXPECT_FALSE(here.admits());
    EXPECT_FALSE(here.story.key().voters.empty());
    ASSERT_TRUE(here.story.c.run_until([&] { return here.admits(); }, 20s));
    EXPECT_TRUE(here.story.key().voters.empty()) << here.story.votes();
    EXPECT_TRUE(here.failures().empty());
}

// No longer than commits wait.
TEST(AdmissionStory, InASwitchoverNobodyWaitsLong) {
    SyncStory story(sync_plan(SyncMode::quorum, 30s));
    story.begin();
    const int from = story.c.leader();
    const int to = story.others(from).front();
    story.switch_over(from, to);
    ASSERT_TRUE(story.until_a_primary(10s));
    const Instant promoted = story.c.world.now();
    EXPECT_TRUE(story.c.postgres.at(to).report().gated);
    ASSERT_TRUE(story.c.run_until(
        [&] {
            return !core::keeps_clients_out(story.c.members[static_cast<std::size_t>(to)]->state());
        },
        5s));
    EXPECT_LT(story.c.world.now() - promoted, 600ms);
    EXPECT_FALSE(story.c.postgres.at(to).report().gated);
    story.settles(30s);
}

TEST(AdmissionStory, WithoutSynchronousModeNobodyIsKeptOut) {
    SyncStory story(sync_plan(SyncMode::off, 30s));
    story.begin();
    const int leader = story.c.leader();
    story.c.faults.crash_postgres(leader);
    ASSERT_TRUE(story.until_a_primary(60s));
    EXPECT_FALSE(story.c.postgres.at(story.primaries.front().second).report().gated);
    EXPECT_EQ(story.count<core::AdmitPg>(), 0);
    story.settles(60s);
}

// The agent that closed the gate is gone: the next one opens it.
TEST(AdmissionStory, ANewAgentLetsInWhomTheOldOneKeptOut) {
    CrashedInPlace here(Bug::none);
    ASSERT_TRUE(here.story.until_a_primary(40s));
    ASSERT_TRUE(here.pg().report().gated);
    here.story.c.faults.crash_agent(here.leader, 500ms);
    ASSERT_TRUE(here.story.c.run_until([&] { return here.admits(); }, 30s));
    here.story.settles(60s);
}

}  // namespace
}  // namespace relevo::sim
