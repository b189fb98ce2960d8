// What is asked of the model (keeper_model.h): are there ever two pgBackRests alive, and is what
// the schedule wants made in the end? The second one also where nobody can make a proof of restore,
// and one is asked for. That the first question can be answered with yes is tested too, with rules
// left out.
//
// RELEVO_MODEL_SEEDS=N: as many schedules; RELEVO_MODEL_SEED=S: that one.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

#include "backup/keeper_model.h"

namespace relevo::backup {
namespace {

using model::Bug;
using model::Model;

std::uint64_t number_from(const char* name, std::uint64_t without) {
    const char* text = std::getenv(name);
    return text != nullptr ? std::strtoull(text, nullptr, 10) : without;
}

TEST(BackupModel, NeverTwoAtOnceAndWhatIsDueIsMade) {
    const auto only = number_from("RELEVO_MODEL_SEED", 0);
    const auto first = only != 0 ? only : 1;
    const auto count = only != 0 ? 1 : number_from("RELEVO_MODEL_SEEDS", 30);
    int runs = 0, interrupted = 0, made = 0, proven = 0;
    for (std::uint64_t seed = first; seed < first + count; ++seed) {
        Model schedule(seed, Bug::none);
        schedule.run();
        ASSERT_FALSE(schedule.broken()) << "seed " << seed << ": " << schedule.trouble();
        runs += schedule.runs();
        interrupted += schedule.interrupted();
        made += schedule.made();
        proven += schedule.proven();
    }
    std::printf("%llu schedules: %d runs, %d backups, %d proofs, %d interruptions written\n",
                static_cast<unsigned long long>(count), runs, made, proven, interrupted);
    if (only != 0) return;
    // It is about something: most schedules have a run that did not end by itself.
    EXPECT_GT(made, static_cast<int>(count) * 5);
    EXPECT_GT(proven, static_cast<int>(count));
    EXPECT_GT(interrupted, static_cast<int>(count));
}

class BackupModelWithout : public testing::TestWithParam<Bug> {};

TEST_P(BackupModelWithout, TheRuleTwoRunAtOnce) {
    for (std::uint64_t seed = 1; seed <= 200; ++seed) {
        Model schedule(seed, GetParam());
        schedule.run();
        if (schedule.trouble().starts_with("two at once")) {
            std::printf("seed %d: %s\n", static_cast<int>(seed), schedule.trouble().c_str());
            return;
        }
    }
    FAIL() << "nothing noticed that the rule is missing";
}

INSTANTIATE_TEST_SUITE_P(All, BackupModelWithout,
                         testing::Values(Bug::never_ends, Bug::hears_the_watch,
                                         Bug::buries_at_once),
                         [](const auto& instance) {
                             switch (instance.param) {
                                 case Bug::none: return "None";
                                 case Bug::never_ends: return "EndOfARunThatHearsNothing";
                                 case Bug::hears_the_watch: return "WatchDoesNotCount";
                                 case Bug::buries_at_once: return "WaitForTheGone";
                             }
                             return "?";
                         });

}  // namespace
}  // namespace relevo::backup
