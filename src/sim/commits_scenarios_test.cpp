// Stories of a synchronous_commit that somebody has lowered (docs/adr/0006).
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "sim/sync_story.h"

namespace relevo::sim {
namespace {

using namespace std::chrono_literals;
using cluster::CommitLevel;
using cluster::CommitSetting;

const CommitSetting of_app{CommitLevel::off, "app", "", ""};
const CommitSetting of_shop{CommitLevel::remote_write, "", "shop", ""};

struct Lowered {
    explicit Lowered(CommitLevel floor, SyncMode mode = SyncMode::quorum)
        : story(plan(floor, mode)) {
        story.begin();
        leader = story.c.leader();
        story.c.postgres.commit_settings = {of_app, of_shop};
    }
    static Plan plan(CommitLevel floor, SyncMode mode) {
        auto plan = sync_plan(mode, 9s);
        plan.settings.synchronous_commit_floor = floor;
        plan.config_json = config_of(plan.settings);
        return plan;
    }
    const std::vector<CommitSetting>& told(int member) {
        return story.c.members[static_cast<std::size_t>(member)]->state().commits.lowered;
    }
    int said(int member, const std::string& words) {
        return static_cast<int>(std::ranges::count_if(story.effects, [&](const auto& seen) {
            const auto* note = std::get_if<core::Note>(&seen.effect);
            return seen.member == member && note && note->text.find(words) != std::string::npos;
        }));
    }
    const std::vector<CommitSetting>& left() { return story.c.postgres.commit_settings; }
    SyncStory story;
    int leader = -1;
};

TEST(CommitsStory, WhoLowersItIsNamedOnceByTheLeaderAlone) {
    Lowered here(CommitLevel::off);
    here.story.pass(20s);
    EXPECT_EQ(here.told(here.leader), (std::vector{of_app, of_shop}));
    EXPECT_EQ(here.said(here.leader, "synchronous_commit is off for role app"), 1);
    EXPECT_EQ(here.said(here.leader, "synchronous_commit is remote_write for database shop"), 1);
    for (const int other : here.story.others(here.leader)) {
        EXPECT_EQ(here.said(other, "synchronous_commit"), 0);
        EXPECT_TRUE(here.told(other).empty());
    }
    const auto& view = *here.story.c.members[0]->state().dcs;
    EXPECT_EQ(view.leader_member()->lowered_commits,
              "off for role app, remote_write for database shop");
    EXPECT_EQ(here.left().size(), 2U) << "nobody asked for it to be taken back";
    here.story.c.postgres.commit_settings.clear();
    here.story.pass(10s);
    EXPECT_EQ(here.said(here.leader, "lowered nowhere any more"), 1);
    EXPECT_TRUE(here.told(here.leader).empty());
    here.story.settles(30s);
}

TEST(CommitsStory, WhatIsBelowTheFloorIsTakenBackAndNoMore) {
    Lowered here(CommitLevel::remote_write);
    here.story.pass(10s);
    EXPECT_EQ(here.left(), std::vector{of_shop});
    EXPECT_EQ(here.said(here.leader, "off for role app was taken back"), 1);
    EXPECT_EQ(here.told(here.leader), std::vector{of_shop});
    here.story.c.postgres.commit_settings.push_back(of_app);
    here.story.pass(10s);
    EXPECT_EQ(here.said(here.leader, "off for role app was taken back"), 2) << "each time";
    here.story.settles(30s);
}

TEST(CommitsStory, WithoutSynchronousModeOnlyTheFloorCounts) {
    Lowered free(CommitLevel::off, SyncMode::off);
    free.story.pass(20s);
    EXPECT_EQ(free.said(free.leader, "synchronous_commit"), 0);
    EXPECT_EQ(free.story.count<core::AuditCommits>(), 0);
    Lowered here(CommitLevel::local, SyncMode::off);
    here.story.pass(10s);
    EXPECT_EQ(here.left(), std::vector{of_shop});
    here.story.settles(30s);
}

TEST(CommitsStory, InMaintenanceModeItIsOnlyTold) {
    Lowered here(CommitLevel::on);
    here.story.c.postgres.commit_settings.clear();
    here.story.c.faults.pause(true);
    here.story.pass(10s);
    here.story.c.postgres.commit_settings = {of_app};
    here.story.pass(20s);
    EXPECT_EQ(here.left(), std::vector{of_app});
    EXPECT_EQ(here.told(here.leader), std::vector{of_app});
    here.story.c.faults.pause(false);
    here.story.pass(10s);
    EXPECT_TRUE(here.left().empty());
}

TEST(CommitsStory, TheNextLeaderGoesOnWithIt) {
    Lowered here(CommitLevel::off);
    here.story.pass(10s);
    here.story.c.faults.power_loss(here.leader);
    ASSERT_TRUE(here.story.until_a_primary(20s));
    const int next = here.story.primaries.front().second;
    here.story.pass(10s);
    EXPECT_EQ(here.said(next, "synchronous_commit is off for role app"), 1);
    here.story.c.faults.power_back(here.leader);
    here.story.settles(90s);
}

}  // namespace
}  // namespace relevo::sim
