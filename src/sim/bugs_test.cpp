// The simulator's honesty: each deliberate bug must be found, by schedules drawn from seeds or by
// the story that it has in holes_test.cpp.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

#include "sim/run.h"

namespace relevo::sim {
namespace {

// Far fewer than they might take: what is found late today is not found tomorrow.
constexpr std::uint64_t seeds_max = 3000;

class DeliberateBugs : public testing::TestWithParam<BugName> {};

TEST_P(DeliberateBugs, AreFound) {
    const bool aimed_five = GetParam().hunt == Hunt::aimed_five;
    const bool aimed = aimed_five || GetParam().hunt == Hunt::aimed;
    // Of three members a second one is the last other copy.
    const bool five = aimed_five || GetParam().bug == Bug::damaged_all_at_once;
    for (std::uint64_t seed = 1; seed <= seeds_max; ++seed) {
        auto plan = aimed ? aimed_plan(seed, five ? 5 : 3)
                          : plan_for(seed, five ? 5 : 3, std::chrono::minutes(10));
        plan.disks = GetParam().hunt == Hunt::filling;
        plan.rots = GetParam().hunt == Hunt::rotting;
        if (GetParam().hunt == Hunt::remaking) let_rebuild(plan);
        plan.in_place = GetParam().hunt == Hunt::restoring;
        plan.bug = GetParam().bug;
        const auto outcome = run(plan);
        if (outcome.findings.failures.empty()) continue;
        RecordProperty("seed", std::to_string(seed));
        RecordProperty("finding", outcome.findings.failures.front());
        return;
    }
    FAIL() << "nobody noticed in " << seeds_max << " schedules: " << GetParam().what;
}

std::vector<BugName> hunted() {
    std::vector<BugName> out;
    std::ranges::copy_if(bug_names(), std::back_inserter(out),
                         [](const BugName& bug) { return bug.hunt != Hunt::story; });
    return out;
}

INSTANTIATE_TEST_SUITE_P(Each, DeliberateBugs, testing::ValuesIn(hunted()),
                         [](const auto& param_info) {
                             std::string name = param_info.param.name;
                             for (auto& c : name)
                                 if (c == '-') c = '_';
                             return name;
                         });

TEST(DeliberateBugs, ThereIsOneForEachRule) {
    for (int rule = 0; rule <= 17; ++rule) {
        const auto name = fmt::format("R{}", rule);
        EXPECT_TRUE(std::ranges::any_of(bug_names(), [&](const BugName& b) {
            return b.rule == name;
        })) << name;
    }
}

TEST(Schedules, OfRestoresInPlaceKeepEveryPromise) {
    for (const int members : {3, 5})
        for (std::uint64_t seed = 1; seed <= (members == 3 ? 150 : 30); ++seed) {
            auto plan = plan_for(seed, members, std::chrono::minutes(10));
            plan.in_place = true;
            const auto outcome = run(plan);
            for (const auto& failure : outcome.findings.failures)
                ADD_FAILURE() << fmt::format("seed {} ({} members): {}", seed, members, failure);
        }
}

TEST(Schedules, AimedAtWhatChangesKeepEveryPromise) {
    for (const int members : {3, 5})
        for (std::uint64_t seed = 1; seed <= (members == 3 ? 300 : 60); ++seed) {
            const auto outcome = run(aimed_plan(seed, members));
            for (const auto& failure : outcome.findings.failures)
                ADD_FAILURE() << fmt::format("aimed seed {} ({} members): {}", seed, members,
                                             failure);
        }
}

}  // namespace
}  // namespace relevo::sim
