#include "pgbouncer/version.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "os/test_mutate.h"

namespace relevo::pgbouncer {
namespace {

TEST(Version, IsReadOutOfWhatPgBouncerSays) {
    EXPECT_EQ(parse_version("PgBouncer 1.18.0"), (Version{1, 18, 0}));
    EXPECT_EQ(parse_version("PgBouncer 1.18.0\nlibevent 2.1.12-stable\nadns: c-ares 1.18.1\n"),
              (Version{1, 18, 0}));
    EXPECT_EQ(parse_version("PgBouncer 1.23.1 (Ubuntu 1.23.1-1.pgdg22.04+1)"), (Version{1, 23, 1}));
    EXPECT_EQ(parse_version("pgbouncer version 1.9"), (Version{1, 9, 0}));
    EXPECT_EQ(parse_version("PgBouncer 1.25.dev"), (Version{1, 25, 0}));
    EXPECT_EQ(parse_version("1.24.1.7"), (Version{1, 24, 1}));
}

TEST(Version, WhatIsNoneIsNotKnownAndCanNothingNew) {
    for (const char* text :
         {"", "PgBouncer", "PgBouncer one.two", "1", "1.", "PgBouncer 99999999999.1",
          "PgBouncer 1.99999999999", "PgBouncer\nlibevent 2.1.12", "\x01\xff"}) {
        const auto version = parse_version(text);
        EXPECT_FALSE(version) << text;
        EXPECT_FALSE(knows_peers(version) || shows_state(version) || sigterm_waits(version) ||
                     kills_clients(version))
            << text;
    }
}

TEST(Version, EachCanWhatItsOwnChangelogSays) {
    const auto of = [](const char* text) { return parse_version(text); };
    EXPECT_FALSE(knows_peers(of("1.18.9")));
    EXPECT_TRUE(knows_peers(of("1.19.0")) && shows_state(of("1.19.0")));
    EXPECT_FALSE(sigterm_waits(of("1.22.1")));
    EXPECT_TRUE(sigterm_waits(of("1.23.0")));
    EXPECT_FALSE(kills_clients(of("1.23.1")));
    EXPECT_TRUE(kills_clients(of("1.24.0")) && kills_clients(of("2.0")));
    EXPECT_EQ(to_string(of("PgBouncer 1.24")), "1.24.0");
}

TEST(Version, NoBytesMakeItFall) {
    const std::vector<std::string> seeds = {"PgBouncer 1.18.0\nlibevent 2.1.12-stable",
                                            "1.2147483648.1", "1.24.", std::string("\0\xff.", 3),
                                            ""};
    std::mt19937 random(20261126);
    for (int round = 0; round < 20'000; ++round) {
        auto text = seeds[random() % seeds.size()];
        for (auto changes = random() % 5; changes > 0; --changes)
            text = os::testing::mutate(text, seeds, random);
        const auto version = parse_version(text);
        ASSERT_TRUE(version.major >= 0 && version.minor >= 0 && version.patch >= 0) << text;
        if (version) ASSERT_EQ(parse_version(to_string(version)), version) << text;
    }
}

}  // namespace
}  // namespace relevo::pgbouncer
