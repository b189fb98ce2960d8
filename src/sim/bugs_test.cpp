// The simulator's honesty: each deliberate bug must be found within a few thousand schedules.
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <vector>

#include "sim/run.h"

namespace relevo::sim {
namespace {

class DeliberateBugs : public testing::TestWithParam<BugName> {};

TEST_P(DeliberateBugs, AreFound) {
    constexpr std::uint64_t seeds_max = 3000;
    for (std::uint64_t seed = 1; seed <= seeds_max; ++seed) {
        auto plan = plan_for(seed, 3, std::chrono::minutes(10));
        plan.bug = GetParam().bug;
        const auto outcome = run(plan);
        if (outcome.findings.failures.empty()) continue;
        RecordProperty("seed", std::to_string(seed));
        RecordProperty("finding", outcome.findings.failures.front());
        return;
    }
    FAIL() << "nobody noticed in " << seeds_max << " schedules: " << GetParam().what;
}

std::vector<BugName> soon_found() {
    std::vector<BugName> out;
    std::ranges::copy_if(bug_names(), std::back_inserter(out),
                         [](const BugName& bug) { return !bug.rare; });
    return out;
}

INSTANTIATE_TEST_SUITE_P(Each, DeliberateBugs, testing::ValuesIn(soon_found()),
                         [](const auto& param_info) {
                             std::string name = param_info.param.name;
                             for (auto& c : name)
                                 if (c == '-') c = '_';
                             return name;
                         });

}  // namespace
}  // namespace relevo::sim
