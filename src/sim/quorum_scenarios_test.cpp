// Stories of synchronous replication: what votes, names and seals come to, step by step.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "cluster/keys.h"
#include "cluster/sync_names.h"
#include "sim/sync_story.h"

namespace relevo::sim {
namespace {

using namespace std::chrono_literals;

TEST(SyncStory, EveryStandbyVotesAndOneIsWaitedFor) {
    SyncStory story(sync_plan(SyncMode::quorum));
    story.begin();
    const int leader = story.c.leader();
    EXPECT_EQ(story.key().leader, story.c.world.name(leader));
    EXPECT_EQ(story.key().voters.size(), 2U);
    EXPECT_EQ(story.key().quorum, 1);
    EXPECT_EQ(story.names(leader).count, 1);
    EXPECT_EQ(story.names(leader).names.size(), 2U);
}

TEST(SyncStory, WithTheModeOnOneStandbyHasEverything) {
    SyncStory story(sync_plan(SyncMode::on));
    story.begin();
    EXPECT_EQ(story.key().voters.size(), 1U);
    EXPECT_EQ(story.key().quorum, 0);
    EXPECT_EQ(story.names(story.c.leader()).names, story.key().voters);
}

// Frozen, it is replaced; awake, it could acknowledge what its successor lacks, for it does not
// know yet. Nobody streams from it any more.
TEST(SyncStory, AFrozenPrimaryAcknowledgesNothingWhenItAwakes) {
    SyncStory story(sync_plan(SyncMode::quorum));
    story.begin();
    const int old = story.c.leader();
    story.c.faults.freeze(old, 20s);
    ASSERT_TRUE(story.until_a_primary(15s));
    const Instant taken = story.primaries.front().first;
    story.settles(60s);
    EXPECT_EQ(story.acknowledged(old, taken), 0U);
    EXPECT_GT(story.acknowledged(story.c.leader(), taken), 100U);
    EXPECT_EQ(story.c.checkers.findings.lost, 0U);
}

// Somebody takes the names back to what they were just when a voter is about to be added by them.
TEST(SyncStory, NobodyVotesByNamesThatWereSetBackPastTheLeader) {
    auto plan = sync_plan(SyncMode::on);
    plan.settings.synchronous_node_count = 2;
    plan.config_json = config_of(plan.settings);
    plan.write_every = 2ms;
    SyncStory story(plan);
    story.begin();
    const int leader = story.c.leader(), back = story.others(leader).back();
    const auto& name = story.c.world.name(back);
    story.c.faults.power_loss(back);
    ASSERT_TRUE(story.c.run_until([&] { return !story.key().names(name); }, 30s));
    story.pass(2s);
    const auto before = story.c.postgres.at(leader).report().sync_names;
    story.c.faults.power_back(back);
    const auto& syncing = story.c.members[static_cast<std::size_t>(leader)]->state().syncing;
    // Both are waited for, and the key still wants both to elect.
    const auto settled = [&] {
        return syncing.settled && syncing.told && syncing.told->standbys.contains(name) &&
               story.key().quorum == 1;
    };
    ASSERT_TRUE(story.c.run_until(settled, 60s));
    story.c.postgres.at(leader).set_names_by_hand(before);
    story.effects.clear();
    ASSERT_TRUE(story.c.run_until([&] { return story.key().quorum == 0; }, 60s));
    const auto again = story.first<core::SetSyncNames>(leader);
    EXPECT_TRUE(again) << "it voted by names that nobody goes by";
    story.settles(60s);
}

// Cut off from everybody but its clients, it acknowledges nothing from that moment on.
TEST(SyncStory, APrimaryThatIsCutOffAcknowledgesNothing) {
    SyncStory story(sync_plan(SyncMode::quorum));
    story.begin();
    const int old = story.c.leader();
    const Instant cut = story.c.world.now();
    for (const int other : story.others(old)) story.c.faults.cut(old, other, false, 20s);
    story.c.faults.cut(old, story.c.world.dcs_node(), false, 20s);
    ASSERT_TRUE(story.until_a_primary(15s));
    EXPECT_NE(story.primaries.front().second, old);
    story.settles(60s);
    EXPECT_EQ(story.acknowledged(old, cut + 10ms), 0U);
    EXPECT_EQ(story.c.checkers.findings.lost, 0U);
}

// It stops at its lease's end, and is a standby with more WAL than those that stopped to receive at
// the same moment. They have the votes, and it cannot take the key: nobody waits for it (S44).
TEST(SyncStory, AnOldLeaderThatTheDcsDoesNotHearIsNotWaitedFor) {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        auto plan = sync_plan(SyncMode::quorum);
        plan.seed = seed;
        plan.write_every = 5ms;
        SyncStory story(plan);
        story.begin();
        const int old = story.c.leader();
        story.c.faults.cut(old, story.c.world.dcs_node(), false, 60s);
        ASSERT_TRUE(story.until_a_primary(20s)) << "seed " << seed;
        EXPECT_NE(story.primaries.front().second, old);
        story.settles(120s);
        EXPECT_EQ(story.c.checkers.findings.lost, 0U);
    }
}

TEST(SyncStory, WithoutItsVotesNobodyLeadsUntilTheyAreBack) {
    SyncStory story(sync_plan(SyncMode::quorum));
    story.begin();
    const int old = story.c.leader();
    const auto others = story.others(old);
    // At once: the leader has no time to let the voter go.
    story.c.faults.power_loss(others[1]);
    story.c.faults.power_loss(old);
    story.pass(30s);
    EXPECT_EQ(story.c.leader(), -1);
    story.c.faults.power_back(others[1]);
    ASSERT_TRUE(story.until_a_primary(20s));
    story.c.faults.power_back(old);
    story.settles(60s);
    EXPECT_EQ(story.c.checkers.findings.lost, 0U);
}

TEST(SyncStory, TheLeaderOfTheKeyNeedsNoVotes) {
    SyncStory story(sync_plan(SyncMode::quorum));
    story.begin();
    const int old = story.c.leader();
    for (int m = 0; m < 3; ++m) story.c.faults.power_loss(m);
    story.pass(10s);
    story.c.faults.power_back(old);
    EXPECT_TRUE(story.c.run_until([&] { return story.c.leader() == old; }, 30s));
    for (const int other : story.others(old)) story.c.faults.power_back(other);
    story.settles(60s);
}

TEST(SyncStory, AVoterThatIsLostIsLetGoAndCommitsGoOn) {
    for (const auto mode : {SyncMode::quorum, SyncMode::on}) {
        SyncStory story(sync_plan(mode));
        story.begin();
        const int leader = story.c.leader();
        const int voter = story.c.world.index_of(story.key().voters.front());
        story.c.faults.power_loss(voter);
        EXPECT_TRUE(
            story.c.run_until([&] { return !story.key().names(story.c.world.name(voter)); }, 10s))
            << story.votes();
        const Instant let_go = story.c.world.now();
        story.pass(5s);
        EXPECT_GT(story.acknowledged(leader, let_go), 100U);
        story.c.faults.power_back(voter);
        story.settles(60s);
        EXPECT_EQ(story.count<core::PromotePg>(), 0);
    }
}

// Patroni's bargain: without strict a lone primary goes on and nobody may replace it; with strict
// it waits for a standby.
TEST(SyncStory, AloneItGoesOnUnlessStrict) {
    for (const bool strict : {false, true}) {
        auto plan = sync_plan(SyncMode::quorum);
        plan.settings.synchronous_mode_strict = strict;
        plan.config_json = config_of(plan.settings);
        SyncStory story(plan);
        story.begin();
        const int leader = story.c.leader();
        const auto others = story.others(leader);
        for (const int other : others) story.c.faults.power_loss(other);
        story.pass(15s);
        const Instant later = story.c.world.now();
        EXPECT_EQ(story.key().voters.size(), 0U);
        story.pass(5s);
        if (strict)
            EXPECT_EQ(story.acknowledged(leader, later), 0U);
        else
            EXPECT_GT(story.acknowledged(leader, later), 100U);
        for (const int other : others) story.c.faults.power_back(other);
        story.settles(60s);
        story.pass(5s);
        EXPECT_EQ(story.votes().substr(0, 1), "1");
    }
}

TEST(SyncStory, ASwitchoverIsShortAndLosesNothing) {
    SyncStory story(sync_plan(SyncMode::quorum, 30s));
    story.begin();
    const int from = story.c.leader();
    const int to = story.others(from).front();
    const Instant asked = story.c.world.now();
    story.switch_over(from, to);
    ASSERT_TRUE(story.until_a_primary(10s));
    EXPECT_EQ(story.primaries.front().second, to);
    EXPECT_LT(story.primaries.front().first - asked, 2s);
    story.settles(30s);
    EXPECT_EQ(story.c.checkers.findings.lost, 0U);
    story.pass(5s);
    EXPECT_EQ(story.key().leader, story.c.world.name(to));
    EXPECT_EQ(story.key().voters.size(), 2U);
}

// A voter's answer is lost: the votes seem to be too few, and are not.
TEST(SyncStory, ASwitchoverAsksAgainBeforeItIsRefused) {
    SyncStory story(sync_plan(SyncMode::quorum, 30s));
    story.begin();
    const int from = story.c.leader();
    const auto others = story.others(from);
    story.c.faults.cut(from, others[1], false, 400ms);
    story.switch_over(from, others[0]);
    ASSERT_TRUE(story.until_a_primary(10s));
    EXPECT_EQ(story.primaries.front().second, others[0]);
    story.settles(30s);
    EXPECT_EQ(story.c.checkers.findings.lost, 0U);
}

// Withdrawn while the leader still asks: nothing is stopped.
TEST(SyncStory, ASwitchoverThatIsWithdrawnInTimeStopsNothing) {
    SyncStory story(sync_plan(SyncMode::quorum, 30s));
    story.begin();
    const int from = story.c.leader();
    const auto others = story.others(from);
    story.c.faults.cut(from, others[1], false, 400ms);
    story.switch_over(from, others[0]);
    story.pass(300ms);
    ASSERT_TRUE(story.c.dcs.truth()->failover);
    story.c.dcs.operate(cluster::keys::clear_failover(std::nullopt));
    story.pass(10s);
    EXPECT_EQ(story.c.leader(), from);
    EXPECT_TRUE(story.primaries.empty());
    EXPECT_EQ(story.count<core::StopPg>(), 0);
}

TEST(SyncStory, ASwitchoverToWhoDoesNotVoteIsRefused) {
    SyncStory story(sync_plan(SyncMode::on, 30s));
    story.begin();
    const int leader = story.c.leader();
    for (const int other : story.others(leader))
        if (!story.key().names(story.c.world.name(other))) story.switch_over(leader, other);
    story.pass(10s);
    EXPECT_EQ(story.c.leader(), leader);
    EXPECT_TRUE(story.primaries.empty());
    EXPECT_FALSE(story.c.dcs.truth()->failover);
}

TEST(SyncStory, WhoMayNotLeadOnlyMakesUpTheNumber) {
    auto plan = sync_plan(SyncMode::quorum);
    plan.nofailover.push_back(1);
    SyncStory story(plan);
    story.begin();
    EXPECT_EQ(story.key().voters.size(), 1U);
    EXPECT_FALSE(story.key().names(story.c.world.name(1)));
    EXPECT_EQ(story.key().quorum, 0);
}

TEST(SyncStory, SwitchedOnAndOffWhileItRuns) {
    auto plan = sync_plan(SyncMode::off);
    SyncStory story(plan);
    story.begin();
    EXPECT_EQ(story.key().mod_revision, 0);
    auto settings = plan.settings;
    settings.synchronous_mode = SyncMode::quorum;
    ASSERT_TRUE(story.c.dcs.operate(cluster::keys::put_config(config_of(settings), std::nullopt)));
    EXPECT_TRUE(story.c.run_until([&] { return story.key().voters.size() == 2; }, 10s));
    settings.synchronous_mode = SyncMode::on;
    ASSERT_TRUE(story.c.dcs.operate(cluster::keys::put_config(config_of(settings), std::nullopt)));
    EXPECT_TRUE(story.c.run_until([&] { return story.votes().substr(0, 1) == "0"; }, 10s));
    settings.synchronous_mode = SyncMode::off;
    ASSERT_TRUE(story.c.dcs.operate(cluster::keys::put_config(config_of(settings), std::nullopt)));
    EXPECT_TRUE(story.c.run_until([&] { return story.key().mod_revision == 0; }, 10s));
    story.settles(10s);
}

// A copy has not what its predecessor acknowledged: it is asked for its vote only when it has all
// that the leader had when it joined.
TEST(SyncStory, ACopyHasNoVoteBeforeItHasCaughtUp) {
    SyncStory story(sync_plan(SyncMode::quorum, 30s));
    story.begin();
    const int leader = story.c.leader();
    const int voter = story.others(leader).front();
    story.c.members[static_cast<std::size_t>(voter)]->order_reinit();
    ASSERT_TRUE(story.c.run_until([&] { return story.c.postgres.at(voter).data().voteless; }, 30s));
    // Were it named before, who dies meanwhile could be followed by nobody.
    const auto voteless = [&] { return story.c.postgres.at(voter).data().voteless; };
    const auto named = [&] { return story.key().names(story.c.world.name(voter)); };
    EXPECT_FALSE(story.c.run_until([&] { return named() && voteless(); }, 60s));
    EXPECT_TRUE(named() && !voteless());
    EXPECT_TRUE(story.first<core::RestoreVote>(voter));
    EXPECT_TRUE(story.c.postgres.at(voter).streams());
    story.settles(30s);
}

// Nor is it the other one that allows a voter to throw its data away.
TEST(SyncStory, ACopyWithoutAVoteLetsNoVoterGo) {
    SyncStory story(sync_plan(SyncMode::on, 30s));
    story.begin();
    const int leader = story.c.leader();
    const int voter = story.c.world.index_of(story.key().voters.front());
    const int copy = 3 - leader - voter;
    story.c.members[static_cast<std::size_t>(copy)]->order_reinit();
    const auto record = [&] { return story.c.dcs.truth()->member(story.c.world.name(copy)); };
    ASSERT_TRUE(story.c.run_until(
        [&] {
            return record() && record()->voteless && record()->running() &&
                   record()->replication_state == "streaming";
        },
        60s));
    story.pass(5ms);  // the voter sees it, too
    ASSERT_TRUE(story.c.postgres.at(copy).data().voteless);
    story.effects.clear();
    story.c.members[static_cast<std::size_t>(voter)]->order_reinit();
    story.pass(60s);
    EXPECT_FALSE(story.first<core::ClonePg>(voter));
    story.settles(30s);
}

TEST(SyncStory, WhoIsMissingForAnElectionIsSaid) {
    SyncStory story(sync_plan(SyncMode::quorum, 30s));
    story.begin();
    const int leader = story.c.leader();
    const int lost = story.others(leader).front();
    story.c.faults.dcs_away(20s);  // the votes cannot be changed meanwhile
    story.c.faults.power_loss(lost);
    const auto said = [&](const std::string& words) {
        return std::ranges::count_if(story.effects, [&](const Story::Seen& seen) {
            const auto* note = std::get_if<core::Note>(&seen.effect);
            return seen.member == leader && note && note->text == words;
        });
    };
    story.pass(18s);
    EXPECT_EQ(said("no failover is possible now: 2 voters must take part, 1 streams; missing: " +
                   story.c.world.name(lost) + ". Commits do not wait"),
              1);
    story.pass(10s);  // then the lost one is let go
    EXPECT_EQ(said("enough voters stream again"), 1);
    story.c.faults.power_back(lost);
    story.settles(60s);
}

struct Remade {
    explicit Remade(SyncMode mode = SyncMode::quorum) : story(sync_plan(mode, 30s)) {
        story.begin();
        leader = story.c.leader();
        voter = story.others(leader)[0];
        other = story.others(leader)[1];
        story.on_effect = [this](const Member& who, const core::Effect& effect) {
            if (who.index() != voter) return;
            if (std::holds_alternative<core::ClonePg>(effect))
                named_when_copied = story.key().names(story.c.world.name(voter));
            if (const auto* answer = std::get_if<core::Answer>(&effect)) {
                code = answer->code;
                text = answer->text;
            }
        };
    }
    void order(bool force = false) {
        story.c.members[static_cast<std::size_t>(voter)]->order_reinit(force);
    }
    SyncStory story;
    int leader = -1, voter = -1, other = -1, code = 0;
    std::string text;
    std::optional<bool> named_when_copied;
};

// What a voter has may be the only copy of what was acknowledged, beside the leader's.
TEST(SyncStory, AVoterIsLetGoBeforeItsDataIsThrownAway) {
    for (const auto mode : {SyncMode::quorum, SyncMode::on}) {
        Remade here(mode);
        if (mode == SyncMode::on && !here.story.key().names(here.story.c.world.name(here.voter)))
            std::swap(here.voter, here.other);
        here.order();
        ASSERT_TRUE(here.story.c.run_until([&] { return here.code != 0; }, 20s));
        EXPECT_EQ(here.code, 200) << here.text;
        ASSERT_TRUE(here.story.c.run_until([&] { return here.named_when_copied.has_value(); }, 9s));
        EXPECT_FALSE(*here.named_when_copied);
        // And it becomes one again.
        here.story.settles(60s);
        here.story.pass(10s);
        if (mode == SyncMode::quorum) {
            EXPECT_EQ(here.story.key().voters.size(), 2U);
        }
    }
}

TEST(SyncStory, TheOnlyVoterThatIsThereIsNotMadeAnewUnlessForced) {
    Remade here;
    here.story.c.faults.power_loss(here.other);
    here.story.pass(40s);
    here.order();
    ASSERT_TRUE(here.story.c.run_until([&] { return here.code != 0; }, 20s));
    EXPECT_EQ(here.code, 503);
    EXPECT_NE(here.text.find("no other standby could take over"), std::string::npos) << here.text;
    here.story.pass(5s);
    EXPECT_FALSE(here.named_when_copied);
    EXPECT_TRUE(here.story.key().names(here.story.c.world.name(here.voter)));
    here.code = 0;
    here.order(true);
    ASSERT_TRUE(here.story.c.run_until([&] { return here.code != 0; }, 20s));
    EXPECT_EQ(here.code, 200) << here.text;
    here.story.c.faults.power_back(here.other);
    here.story.settles(90s);
}

// Its leader dies while it waits to be let go: its vote is there, and the order is refused.
TEST(SyncStory, AVoterThatWaitsToBeLetGoStillElects) {
    Remade here;
    here.story.c.faults.split(here.leader, false, 40s);  // names cannot settle, nobody is let go
    here.order();
    here.story.c.faults.power_loss(here.leader);
    ASSERT_TRUE(here.story.until_a_primary(20s));
    here.story.pass(10s);
    here.story.c.faults.power_back(here.leader);
    here.story.settles(90s);
}

// x is acknowledged by A alone; A's data is thrown away and copied from B, which lacks x; the
// leader is gone. A and B together would elect one of them without x: but A has no vote any more.
struct Recloned {
    explicit Recloned(Bug bug) : story(plan(bug)) {
        story.begin();
        const int leader = story.c.leader();
        const int a = story.others(leader)[0], b = story.others(leader)[1];
        story.c.faults.cut(leader, b, false, 300s);
        story.pass(500ms);
        story.on_effect = [this, leader, a](const Member& who, const core::Effect& effect) {
            if (gone || who.index() != a || !std::holds_alternative<core::ClonePg>(effect)) return;
            gone = true;
            story.c.faults.power_loss(leader);
        };
        story.c.faults.crash_postgres(a);
        story.c.postgres.at(a).empty_it();
        story.pass(60s);
    }
    static Plan plan(Bug bug) {
        auto plan = sync_plan(SyncMode::quorum);
        plan.clonefrom = {2};
        plan.bug = bug;
        return plan;
    }
    SyncStory story;
    bool gone = false;
};

TEST(SyncStory, WhoseDataWasThrownAwayHasNoVote) {
    const Recloned here(Bug::none);
    ASSERT_TRUE(here.gone);
    EXPECT_TRUE(here.story.primaries.empty());
    EXPECT_TRUE(here.story.c.checkers.findings.failures.empty());
}

TEST(SyncStory, AVoteThatIsNotLostLosesCommits) {
    const Recloned here(Bug::vote_not_lost);
    ASSERT_TRUE(here.gone);
    ASSERT_FALSE(here.story.c.checkers.findings.failures.empty());
    EXPECT_NE(here.story.c.checkers.findings.failures.front().find("had promised"),
              std::string::npos)
        << here.story.c.checkers.findings.failures.front();
}

}  // namespace
}  // namespace relevo::sim
