// Stories of a member that comes back while the lead changes again.
#include <gtest/gtest.h>

#include <algorithm>
#include <utility>
#include <variant>

#include "cluster/keys.h"

#include "sim/story.h"

namespace relevo::sim {
namespace {

using namespace std::chrono_literals;

Plan rejoin_plan() {
    auto plan = calm_plan(3s, 300s);
    plan.settings.maximum_lag_on_failover = 1 << 30;
    plan.config_json = config_of(plan.settings);
    return plan;
}

// Who was rewound needs its source's WAL up to where that was. Before it has it, the source loses
// the lead to one that left its line earlier, is rewound too, and streams the other history.
TEST(RejoinStory, WhoIsHalfWayToOneHistoryIsNotFedAnother) {
    Story story(rejoin_plan());
    story.begin();
    const int old = story.c.leader();
    story.c.faults.power_loss(old);
    ASSERT_TRUE(story.until_a_primary(20s));
    const int source = story.primaries.front().second, next = 3 - old - source;
    story.pass(15s);
    bool rewinds = false, comes_back = false;
    story.on_effect = [&](Member& who, const core::Effect& effect) {
        if (who.index() == old && holds<core::RewindPg>(effect) && !std::exchange(rewinds, true)) {
            // Behind what the copy needs at its end, not what it begins with.
            story.c.world.after(
                400ms, [&story, next, source] { story.c.faults.cut(next, source, false, 60s); });
        }
        const auto* start = std::get_if<core::StartPg>(&effect);
        if (!start) return;
        if (who.index() == old && rewinds && !comes_back) {
            story.c.faults.cut(old, source, false, 60s);  // it cannot have what it needs
            story.c.faults.cut(source, story.c.world.dcs_node(), false, 5s);
        }
        if (who.index() == source && start->plan.upstream && !std::exchange(comes_back, true))
            story.c.faults.mend();
    };
    story.primaries.clear();
    story.effects.clear();
    story.c.faults.power_back(old);
    ASSERT_TRUE(story.until_a_primary(40s));
    EXPECT_EQ(story.primaries.front().second, next);
    story.c.faults.mend();
    story.c.faults.cut(old, source, false, 60s);
    EXPECT_TRUE(rewinds);
    ASSERT_TRUE(story.c.run_until([&] { return comes_back; }, 30s));
    story.settles(120s);
}

// A leader that is gone as soon as it has told its line: what the others are measured by is of it.
TEST(RejoinStory, ALineIsToldWithWhereItIs) {
    Story story(rejoin_plan());
    story.begin();
    const int old = story.c.leader();
    int told = 0;
    story.on_effect = [&](Member&, const core::Effect& effect) {
        const auto* commit = std::get_if<core::Commit>(&effect);
        if (!commit || commit->purpose != core::CommitFor::timeline) return;
        ++told;
        EXPECT_EQ(
            std::ranges::count(commit->txn.writes, cluster::keys::status, &cluster::Write::key), 1);
    };
    story.c.faults.power_loss(old);
    ASSERT_TRUE(story.until_a_primary(20s));
    story.c.faults.power_back(old);
    story.settles(60s);
    EXPECT_EQ(told, 1);
}

// --disks seed 40294: the old leader's agent waited for an end that nobody would see any more, kept
// its key, and nobody led.
TEST(RejoinStory, WhoIsStartedWhileItHandsOverLeadsOn) {
    for (const auto later : {0ms, 2ms, 5ms, 20ms, 100ms}) {
        Story story(rejoin_plan());
        story.begin();
        const int old = story.c.leader();
        bool started = false;
        story.on_effect = [&](Member& who, const core::Effect& effect) {
            if (who.index() != old || !holds<core::MakeStandby>(effect)) return;
            if (std::exchange(started, true)) return;
            story.c.world.after(later, [&story, old] {
                if (story.c.postgres.at(old).server() != cluster::Server::stopped) return;
                story.c.checkers.on_outside_start(old);
                story.c.postgres.at(old).start_outside();
            });
        };
        story.switch_over(old, (old + 1) % 3);
        EXPECT_TRUE(story.until_a_primary(30s)) << later.count() << " ms";
        EXPECT_TRUE(started);
        story.settles(60s);
    }
}

}  // namespace
}  // namespace relevo::sim
