#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "pgbackrest/fuzz_target.h"
#include "pgbackrest/info_test_data.h"

namespace relevo::pgbackrest {
namespace {

// One random change: a byte flipped, a piece cut out, doubled or taken from another seed.
std::string mutate(std::string text, const std::vector<std::string>& seeds, std::mt19937& random) {
    const auto below = [&](std::size_t bound) { return bound == 0 ? 0 : random() % bound; };
    const auto at = below(text.size() + 1);
    const auto length = below(std::min<std::size_t>(text.size() - at, 16) + 1);
    const auto& other = seeds[below(seeds.size())];
    switch (random() % 5) {
        case 0: text.insert(at, 1, static_cast<char>(random() % 256)); break;
        case 1: text.erase(at, length); break;
        case 2: text.insert(at, text.substr(at, length)); break;
        case 3: text.insert(at, other.substr(below(other.size()), 16)); break;
        default:
            if (at < text.size()) text[at] = static_cast<char>(text[at] ^ (1 << (random() % 8)));
    }
    return text;
}

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
            text = mutate(text, seeds, random);
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
