// Stories of a standby that comes back while the walsender of its old connection has its slot.
#include <gtest/gtest.h>

#include <algorithm>

#include "sim/sync_story.h"

namespace relevo::sim {
namespace {

using namespace std::chrono_literals;

struct PoweredOff {
    explicit PoweredOff(Duration off) : story(plan()) {
        story.begin();
        leader = story.c.leader();
        standby = story.others(leader).front();
        story.c.faults.power_loss(standby);
        story.pass(off);
        story.effects.clear();
        story.c.faults.power_back(standby);
    }
    // PostgreSQL would miss the old connection after a minute, or when it sends something.
    static Plan plan() {
        auto plan = sync_plan(SyncMode::quorum, 30s);
        plan.slots_hold = true;
        plan.receiver_timeout = 60s;
        plan.receiver_retry = 200ms;
        plan.config_json = config_of(plan.settings);
        return plan;
    }
    bool streams() { return story.c.postgres.at(standby).streams(); }
    SyncStory story;
    int leader = -1, standby = -1;
};

TEST(SendersStory, TheOldConnectionOfAStandbyThatIsBackIsEnded) {
    PoweredOff here(5s);
    ASSERT_TRUE(here.story.c.run_until([&] { return here.streams(); }, 30s))
        << "it waits for its slot";
    const auto started = here.story.first<core::StartPg>(here.standby);
    ASSERT_TRUE(started);
    EXPECT_LT(here.story.c.world.now() - *started, 10s) << "no timeout was waited for";
    EXPECT_TRUE(here.story.first<core::EndSender>(here.leader));
    here.story.pass(10s);
    EXPECT_EQ(here.story.count<core::EndSender>(), 1) << "and not the new one";
    EXPECT_TRUE(here.streams());
    here.story.settles(30s);
}

TEST(SendersStory, NobodysConnectionIsEndedInQuietTimesOrWhenAStandbyRestarts) {
    SyncStory story(PoweredOff::plan());
    story.begin();
    const int leader = story.c.leader();
    story.pass(30s);
    EXPECT_EQ(story.count<core::EndSender>(), 0);
    // Its postmaster ends and says goodbye: the walsender ends with it.
    for (const int standby : story.others(leader)) {
        story.c.faults.crash_postgres(standby);
        story.pass(20s);
        EXPECT_TRUE(story.c.postgres.at(standby).streams());
    }
    EXPECT_EQ(story.count<core::EndSender>(), 0);
    story.settles(30s);
}

}  // namespace
}  // namespace relevo::sim
