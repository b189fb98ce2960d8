// The watchdog device (docs/adr/0013): asynchronous replication, where nothing but time stops a
// primary whose agent cannot.
#include "sim/story.h"

namespace relevo::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using namespace std::chrono_literals;
using Mode = core::WatchdogUse::Mode;

Plan watched_plan(Mode mode = Mode::required) {
    auto plan = calm_plan(30s, 300s);
    plan.watchdog = {mode, 5s};
    return plan;
}

// Until the next primary; the old one must be dead by then, by the device's hand.
void is_reset_before_another_leads(Story& story, int old, Duration within) {
    ASSERT_TRUE(story.until_a_primary(within));
    EXPECT_NE(story.primaries.back().second, old);
    EXPECT_FALSE(story.c.postgres.at(old).is_primary());
    EXPECT_EQ(story.c.checkers.findings.resets, 1);
    EXPECT_EQ(story.c.checkers.findings.overlaps, 0);
}

TEST(Watchdog, ResetsTheHostOfAnAgentThatWasKilledForGood) {
    Story story(watched_plan());
    story.begin();
    const int old = story.c.leader();
    story.c.faults.crash_agent(old, 3600s);
    is_reset_before_another_leads(story, old, 60s);
    story.settles(90s);
}

TEST(Watchdog, ResetsTheHostOfAnAgentThatHangs) {
    Story story(watched_plan());
    story.begin();
    const int old = story.c.leader();
    story.c.faults.stall_agent(old, 90s);
    is_reset_before_another_leads(story, old, 60s);
    story.settles(90s);
}

TEST(Watchdog, ResetsAHostThatIsFrozen) {
    Story story(watched_plan());
    story.begin();
    const int old = story.c.leader();
    story.c.faults.freeze(old, 90s);
    is_reset_before_another_leads(story, old, 60s);
    story.settles(90s);
}

// Patroni 4.1.4 stopped its watchdog while backends still lived (scenario S45).
TEST(Watchdog, StaysArmedUntilNoBackendCanWrite) {
    Story story(watched_plan());
    story.begin();
    const int old = story.c.leader();
    story.c.faults.stick(old, 120s);
    story.c.faults.cut(old, story.c.world.dcs_node(), false, 120s);
    is_reset_before_another_leads(story, old, 60s);
    EXPECT_TRUE(story.first<core::KillPg>(old));
    EXPECT_FALSE(story.first<core::DisarmWatchdog>(old));
    story.settles(150s);
}

TEST(Watchdog, WithoutOneAnAgentThatIsDeadLeavesTwoPrimaries) {
    Story story(watched_plan(Mode::off));
    story.begin();
    story.c.faults.crash_agent(story.c.leader(), 3600s);
    ASSERT_TRUE(story.until_a_primary(60s));
    story.pass(5s);
    EXPECT_GT(story.c.checkers.findings.overlaps, 0) << "the stories above would show nothing";
}

TEST(Watchdog, ADcsThatIsAwayForLessThanTheLeaseResetsNobody) {
    Story story(watched_plan());
    story.begin();
    const int leader = story.c.leader();
    story.c.faults.dcs_away(15s);
    story.pass(60s);
    EXPECT_EQ(story.c.checkers.findings.resets, 0);
    EXPECT_EQ(story.c.leader(), leader);
    EXPECT_TRUE(story.primaries.empty());
    EXPECT_EQ((story.count<core::KillPg>()), 0);
}

// An answer that comes later than the safety margin is no right to feed it: the next one is asked
// for at once, not a loop_wait later.
TEST(Watchdog, ASlowDcsIsAskedAgainAtOnceAndTheDeviceIsFed) {
    auto plan = watched_plan();
    plan.watchdog.safety_margin = 1s;
    plan.latency_max = 800ms;
    Story story(plan);
    story.begin();
    const int leader = story.c.leader();
    story.pass(300s);
    EXPECT_EQ(story.c.checkers.findings.resets, 0);
    EXPECT_EQ(story.c.leader(), leader);
    EXPECT_EQ((story.count<core::KillPg, core::StopPg>()), 0);
}

// 5 s of 600 s are less than what clocks may differ by: no lease would ever be long enough.
TEST(Watchdog, AMarginThatIsLessThanTheClocksDriftIsNamed) {
    auto plan = watched_plan(Mode::automatic);
    plan.settings.ttl = 600s;
    plan.config_json = config_of(plan.settings);
    Story story(plan);
    story.begin();
    const auto& leader = *story.c.members[static_cast<std::size_t>(story.c.leader())];
    EXPECT_NE(leader.state().watchdog.problem.find("1 % slow"), std::string::npos)
        << leader.state().watchdog.problem;
    EXPECT_FALSE(leader.state().watchdog.armed);
}

// Longer: PostgreSQL is killed, and that is enough.
TEST(Watchdog, APrimaryThatStopsInTimeKeepsItsHost) {
    Story story(watched_plan());
    story.begin();
    const int old = story.c.leader();
    story.c.faults.dcs_away(60s);
    story.pass(59s);
    EXPECT_TRUE(story.first<core::KillPg>(old));
    EXPECT_TRUE(story.first<core::DisarmWatchdog>(old));
    story.settles(90s);
    EXPECT_EQ(story.c.checkers.findings.resets, 0);
}

TEST(Watchdog, AnAgentThatComesBackInTimeFeedsWhatWasLeftCounting) {
    Story story(watched_plan());
    story.begin();
    const int leader = story.c.leader();
    story.c.faults.crash_agent(leader, 2s);
    story.pass(90s);
    EXPECT_EQ(story.c.checkers.findings.resets, 0);
    EXPECT_EQ(story.c.leader(), leader);
    EXPECT_EQ((story.count<core::KillPg, core::StopPg>()), 0);
}

TEST(Watchdog, IsDisarmedInMaintenanceModeAndArmedAfterIt) {
    Story story(watched_plan());
    story.begin();
    const int leader = story.c.leader();
    auto& device = story.c.watchdogs[static_cast<std::size_t>(leader)];
    EXPECT_TRUE(device.counts());
    story.c.faults.pause(true);
    story.pass(5s);
    EXPECT_FALSE(device.counts());
    story.c.faults.pause(false);
    story.pass(5s);
    EXPECT_TRUE(device.counts());
    EXPECT_EQ((story.count<core::KillPg, core::StopPg>()), 0);
}

TEST(Watchdog, IsDisarmedWithTheOldLeaderInASwitchover) {
    Story story(watched_plan());
    story.begin();
    const int old = story.c.leader();
    story.switch_over(old, (old + 1) % 3);
    ASSERT_TRUE(story.until_a_primary(20s));
    story.pass(60s);
    EXPECT_FALSE(story.c.watchdogs[static_cast<std::size_t>(old)].counts());
    EXPECT_TRUE(story.c.watchdogs[static_cast<std::size_t>((old + 1) % 3)].counts());
    EXPECT_EQ(story.c.checkers.findings.resets, 0);
    story.settles(30s);
}

// It was not armed when the leader was stopped: nothing would end the one that is started again.
TEST(Watchdog, IsArmedBeforeAHandoverThatIsCalledOffStartsTheLeaderAgain) {
    Story story(watched_plan());
    story.begin();
    const int old = story.c.leader(), to = (old + 1) % 3;
    auto& device = story.c.watchdogs[static_cast<std::size_t>(old)];
    bool stopped = false;
    int started = 0;
    story.on_effect = [&](Member& who, const core::Effect& effect) {
        if (who.index() != old) return;
        const auto* start = std::get_if<core::StartPg>(&effect);
        if (start && start->plan.as_primary) {
            ++started;
            EXPECT_TRUE(device.counts());
        }
        if (!holds<core::MakeStandby>(effect) || stopped) return;
        stopped = true;
        story.c.world.after(Duration{}, [&story, old, to] {
            story.c.faults.cut(old, to, false, 20s);  // so that it confirms nothing
            story.c.faults.pause(false);
        });
    };
    story.c.faults.pause(true);
    story.pass(10s);
    story.switch_over(old, to);
    story.pass(20s);
    EXPECT_TRUE(stopped);
    EXPECT_EQ(started, 1);
    EXPECT_EQ(story.c.leader(), old);
    story.settles(60s);
}

TEST(Watchdog, WhereItIsRequiredAMemberWithoutOneIsNoCandidate) {
    auto plan = watched_plan();
    plan.without_watchdog = {0, 1};
    Story story(plan);
    story.c.start();
    story.settles(120s);
    EXPECT_EQ(story.c.leader(), 2);
    story.c.faults.power_loss(2);
    story.pass(120s);
    EXPECT_EQ(story.c.leader(), -1) << "nobody may lead without one";
    story.c.faults.power_back(2);
    story.settles(120s);
    EXPECT_EQ(story.c.leader(), 2);
}

// Seed 3000000694: the agent woke with too little time left, had not heard yet that its promotion
// was done, and disarmed the device beside a kill that could not end the new primary.
TEST(Watchdog, StaysArmedWhileAPromotionMayHaveHappened) {
    Story story(watched_plan());
    story.begin();
    const int old = story.c.leader();
    int next = -1;
    story.on_effect = [&](Member& who, const core::Effect& effect) {
        if (next >= 0 || !holds<core::PromotePg>(effect)) return;
        next = who.index();
        story.c.faults.stick(next, 120s);
        story.c.faults.cut(next, story.c.world.dcs_node(), false, 120s);
        story.c.faults.stall_agent(next, 24500ms);  // the device counts 25 s
    };
    story.c.faults.power_loss(old);
    ASSERT_TRUE(story.until_a_primary(60s));
    EXPECT_EQ(story.primaries.back().second, next);
    story.primaries.clear();
    is_reset_before_another_leads(story, next, 60s);
    story.c.faults.mend();
    story.settles(120s);
}

TEST(Watchdog, WhereItIsAutomaticAMemberWithoutOneLeads) {
    auto plan = watched_plan(Mode::automatic);
    plan.without_watchdog = {0, 1, 2};
    Story story(plan);
    story.begin();
    const int leader = story.c.leader();
    story.pass(60s);
    EXPECT_EQ(story.c.leader(), leader);
    EXPECT_EQ((story.count<core::KillPg, core::StopPg>()), 0);
}

// The primary itself finds out: it cannot promise any more what was asked for.
TEST(Watchdog, WhereItIsRequiredALeaderWhoseDeviceFailsGivesTheLeadBack) {
    Story story(watched_plan());
    story.begin();
    const int old = story.c.leader();
    story.c.plan.without_watchdog = {old};
    ASSERT_TRUE(story.until_a_primary(60s));
    EXPECT_NE(story.primaries.back().second, old);
    story.settles(60s);
    EXPECT_EQ(story.c.checkers.findings.overlaps, 0);
}

}  // namespace
}  // namespace relevo::sim
