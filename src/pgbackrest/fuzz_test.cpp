#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "os/test_mutate.h"
#include "pgbackrest/fuzz_target.h"
#include "pgbackrest/info_test_data.h"

namespace relevo::pgbackrest {
namespace {

TEST(Fuzz, WhateverIsPrintedIsTakenWithoutHarm) {
    const std::vector<std::string> seeds = {
        "",
        testing::two_backups,
        testing::no_stanza,
        R"([{"name":"main","status":{"lock":{"backup":{"held":true,"size":9,"size-cplt":3}}}}])",
        "P01 DETAIL: backup file /d/base/1/1255 (bundle 1/0, 608KB, 2.39%) checksum 0f\n",
        "P00   INFO: new backup label = 20260514-010000F\n",
        "ERROR: [103]: unable to find a valid repository:\n  repo1: xyzzyplugh hunter2secret",
        "P00   INFO: repo1: expire full backup 20260513-010000F\n"};
    std::mt19937 random(20260514);
    for (int round = 0; round < 5'000; ++round) {
        auto text = seeds[random() % seeds.size()];
        for (auto changes = random() % 6; changes > 0; --changes)
            text = os::testing::mutate(text, seeds, random);
        SCOPED_TRACE(text);
        testing::fuzz_one(text);
    }
}

TEST(Fuzz, DeepNestingAndLongLinesAreTakenWithoutHarm) {
    testing::fuzz_one(std::string(500'000, '['));
    testing::fuzz_one(std::string(500'000, '('));
}

}  // namespace
}  // namespace relevo::pgbackrest
