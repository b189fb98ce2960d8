// Whole schedules: a range of seeds, the seeds that found something, and what a run promises.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include "sim/run.h"
#include "sim/run_range.h"

namespace relevo::sim {
namespace {

using std::chrono::minutes;

TEST(Schedules, OfThreeMembersKeepEveryPromise) { EXPECT_EQ(run_range(1, 300, 3), ""); }
TEST(Schedules, OfFiveMembersKeepEveryPromise) { EXPECT_EQ(run_range(1, 100, 5), ""); }

TEST(Schedules, OfOneSeedAreAlwaysTheSame) {
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
        const auto once = run(plan_for(seed, 3, minutes(10)));
        const auto again = run(plan_for(seed, 3, minutes(10)));
        EXPECT_EQ(once.hash, again.hash) << "seed " << seed;
        EXPECT_EQ(once.findings.steps, again.findings.steps);
    }
}

TEST(Schedules, DoNotDependOnBeingTraced) {
    auto plan = plan_for(7, 3, minutes(2));
    const auto quiet = run(plan);
    plan.trace = true;
    const auto traced = run(plan);
    EXPECT_EQ(quiet.hash, traced.hash);
    EXPECT_GT(traced.trace.size(), 100U);
}

// Seeds that found something, in the core unless said. They stay: what they show may come back.
struct Kept {
    std::uint64_t seed;
    const char* why;
    int members = 3;
    bool watchdog = false;  // there was none when most of them were found
};
class KeptSeeds : public testing::TestWithParam<Kept> {};

TEST_P(KeptSeeds, HoldNow) {
    auto plan = plan_for(GetParam().seed, GetParam().members, minutes(10));
    if (!GetParam().watchdog) plan.watchdog = {};
    const auto outcome = run(plan);
    EXPECT_TRUE(outcome.findings.failures.empty())
        << GetParam().why << "\n"
        << (outcome.findings.failures.empty() ? "" : outcome.findings.failures.front());
}

// Those that were found since there are watchdogs.
class KeptSeedsAsTheyAre : public testing::TestWithParam<Kept> {};

TEST_P(KeptSeedsAsTheyAre, HoldNow) {
    const auto outcome = run(plan_for(GetParam().seed, 3, minutes(10)));
    EXPECT_TRUE(outcome.findings.failures.empty())
        << GetParam().why << "\n"
        << (outcome.findings.failures.empty() ? "" : outcome.findings.failures.front());
}

INSTANTIATE_TEST_SUITE_P(
    Found, KeptSeedsAsTheyAre,
    testing::Values(
        Kept{21000006, "what a crashed primary had on offer was lost with one answer"},
        Kept{21005251, "a member with more was passed over for one lost answer"},
        Kept{21011631, "the same, of a member whose key had gone"},
        Kept{21002371, "in the simulator: a standby never told of a tail that it had replayed"},
        Kept{21000263, "in the simulator: commits of WAL that a crash lost were read later"},
        Kept{21010367, "the same, of a primary whose backends outlived it"},
        Kept{21001764, "in the checkers: a frozen host had WAL on offer"},
        Kept{91005318, "in the simulator: a standby showed what it had flushed, not written"},
        Kept{100004709, "in the checkers: a cluster's first lease was too short for a watchdog"},
        Kept{150002798, "an agent that stopped took its server with it in maintenance mode"},
        Kept{130002491, "a rewind that had no room waited for an operator once there was"},
        Kept{131004336, "so did one beside which somebody had started the server"}),
    [](const auto& param_info) { return "seed_" + std::to_string(param_info.param.seed); });

INSTANTIATE_TEST_SUITE_P(
    Found, KeptSeeds,
    testing::Values(
        Kept{2, "a time that had passed was still asked for: a step every microsecond"},
        Kept{11, "a bootstrap that its agent did not survive"},
        Kept{25, "a member that had diverged was elected by what nobody else had"},
        Kept{34, "with ttl 3 one lost renewal cost the leader its right"},
        Kept{51, "a switchover whose release got no answer was taken back"},
        Kept{61, "a bootstrap was undone although its last write had happened"},
        Kept{80, "waiting for a member that lags too much to lead"},
        Kept{143, "a standby that held the key was started as a primary on another's timeline"},
        Kept{148, "all waited for a named candidate that check_timeline kept from running"},
        Kept{190, "a bootstrap went on after its claim was lost"},
        Kept{223, "data that others had cloned was set aside when the lease ran out"},
        Kept{246, "in the simulator: a start that never becomes consistent had no timeout"},
        Kept{251, "a standby was started of a cluster that the DCS does not know"},
        Kept{297, "PostgreSQL was started while standby.signal was being written"},
        Kept{349, "half-made data of a bootstrap waited for a leader for ever"},
        Kept{356, "in the simulator: what a rewound member needs was not in its pg_control"},
        Kept{559, "a standby started past the agent was never told its upstream"},
        Kept{592, "a standby started in place was believed to follow a leader"},
        Kept{730, "a switchover away from me, waited for with nobody to take it"},
        Kept{1001, "a fenced promotion whose hook still ran was killed every 2 ms"},
        Kept{1394, "a worse member was elected because a better one had diverged by a little"},
        Kept{613, "a fenced leader without the DCS was left to come up as a primary"},
        Kept{5088, "the same, after a freeze"},
        Kept{5180, "a bootstrap was undone while its last write was under way"},
        Kept{55, "a switchover to who does not vote was waited for"},
        Kept{896, "a member cut off before somebody led unseen was never sealed anew"},
        Kept{30315, "in the simulator: an operator's choice against the votes stands"},
        Kept{50224, "the last leader's position was compared across timelines"},
        Kept{74622, "with the lease gone and no DCS a dead primary was not made a standby"},
        Kept{74751, "names for a start in place were made from a key that was being changed"},
        Kept{90153, "two values of the names together let a commit through"},
        Kept{93539, "the same"}, Kept{7348, "a claim without a good lease was refused in a loop"},
        Kept{20001297, "in the simulator: WAL that was taken was never flushed", 3, true},
        Kept{31000248, "in the checker: an operator had chosen against these votes", 5, true},
        Kept{31000573, "who slept told whom it had suspected before", 5, true},
        Kept{31000941, "a second-old suspicion of another's was counted", 5, true},
        Kept{41003981, "a lease to feed the watchdog by was asked for in a loop", 3, true}),
    [](const auto& param_info) { return "seed_" + std::to_string(param_info.param.seed); });

}  // namespace
}  // namespace relevo::sim
