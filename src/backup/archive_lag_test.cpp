#include "backup/archive_lag.h"

#include <gtest/gtest.h>

namespace relevo::backup {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t size = 16U << 20U;
const WallTime start{std::chrono::hours(500'000)};

cluster::ArchiverState at(std::uint64_t written, std::uint64_t ended, const char* archived = "") {
    cluster::ArchiverState seen;
    seen.last_archived = archived;
    if (*archived != 0) seen.archived_at = start - 100s;
    seen.written = cluster::Lsn{written};
    seen.ended = ended;
    seen.segment_bytes = size;
    return seen;
}

constexpr auto first = "000000010000000000000001", second = "000000010000000000000002";

TEST(ArchiveLag, IsTheAgeOfTheOldestTransactionThatIsNotArchived) {
    ArchiveLag lag;
    lag.look(at(2 * size, 10, first), start);
    EXPECT_FALSE(lag.status().missing_since);
    lag.look(at(2 * size + 100, 11, first), start + 10s);
    EXPECT_EQ(lag.status().missing_since, start) << "it was written since";
    lag.look(at(3 * size + 100, 15, first), start + 20s);
    EXPECT_EQ(lag.status().missing_since, start);
    // What was written up to the second look is there now.
    lag.look(at(3 * size + 100, 15, second), start + 30s);
    EXPECT_EQ(lag.status().missing_since, start + 10s);
    lag.look(at(3 * size + 100, 15, "000000010000000000000003"), start + 40s);
    EXPECT_FALSE(lag.status().missing_since);
}

// pgBackRest tells PostgreSQL that what it drops is archived.
TEST(ArchiveLag, GrowsWhileTheArchiverIsNotToBeBelieved) {
    ArchiveLag lag;
    lag.look(at(2 * size, 10, first), start);
    lag.look(at(3 * size, 11, first), start + 10s, false);
    lag.look(at(4 * size, 12, second), start + 20s, false);
    EXPECT_EQ(lag.status().missing_since, start);
    lag.look(at(4 * size, 12, second), start + 1h, false);
    EXPECT_EQ(lag.status().missing_since, start) << "an idle server is no proof then";
    lag.look(at(4 * size, 12, "000000010000000000000003"), start + 2h);
    EXPECT_FALSE(lag.status().missing_since);
}

TEST(ArchiveLag, WhatNoTransactionWroteIsNotMissed) {
    ArchiveLag lag;
    lag.look(at(2 * size, 10, first), start);
    lag.look(at(2 * size + 100, 10, first), start + 1h);
    EXPECT_FALSE(lag.status().missing_since);
}

// The last transaction and a checkpoint came between two looks: only time tells them apart.
TEST(ArchiveLag, OfAnIdleServerIsNothingOnceArchiveTimeoutWouldHaveActed) {
    ArchiveLag lag;
    const auto idle = [](std::uint64_t xid, const char* archived, int waiting = 0) {
        auto seen = at(3 * size + 170, xid, archived);
        seen.archive_timeout = 60s;
        seen.waiting = waiting;
        return seen;
    };
    lag.look(at(2 * size, 10, first), start);
    lag.look(idle(11, first), start + 10s);
    lag.look(idle(11, second), start + 20s);
    EXPECT_EQ(lag.status().missing_since, start);
    lag.look(idle(11, second, 1), start + 200s);
    EXPECT_EQ(lag.status().missing_since, start) << "a segment waits";
    lag.look(idle(11, second), start + 210s);
    EXPECT_FALSE(lag.status().missing_since);
    auto again = idle(12, second);
    again.written = cluster::Lsn{3 * size + 500};
    lag.look(again, start + 220s);
    EXPECT_EQ(lag.status().missing_since, start + 210s);
}

// It may have committed in what is not archived, though no other one began.
TEST(ArchiveLag, OfATransactionCountsWhenItEndedAndNotWhenItBegan) {
    ArchiveLag lag;
    lag.look(at(2 * size, 10, first), start);
    lag.look(at(3 * size, 10, second), start + 10s);
    EXPECT_FALSE(lag.status().missing_since);
    lag.look(at(3 * size + 100, 11, second), start + 20s);
    EXPECT_EQ(lag.status().missing_since, start + 10s);
}

TEST(ArchiveLag, OfAServerThatDoesNotAnswerIsSinceItLastDid) {
    ArchiveLag lag;
    lag.could_not_look();
    EXPECT_FALSE(lag.status().missing_since) << "nothing is known of it";
    lag.look(at(2 * size, 10, first), start);
    lag.could_not_look();
    lag.could_not_look();
    EXPECT_EQ(lag.status().missing_since, start);
    lag.look(at(2 * size, 10, first), start + 60s);
    EXPECT_FALSE(lag.status().missing_since) << "nothing had ended meanwhile";
    lag.look(at(2 * size + 100, 11, first), start + 70s);
    lag.could_not_look();
    EXPECT_EQ(lag.status().missing_since, start + 60s) << "what was known to be missing stays";
}

TEST(ArchiveLag, AFileThatIsNoSegmentSaysNothingOfHowFarItIs) {
    ArchiveLag lag;
    lag.look(at(2 * size, 10, first), start);
    lag.look(at(2 * size + 100, 11, "00000002.history"), start + 10s);
    lag.look(at(2 * size + 100, 11, "000000010000000000000002.00000028.backup"), start + 20s);
    EXPECT_EQ(lag.status().missing_since, start);
}

TEST(ArchiveLag, WhatWaitedBeforeTheFirstLookIsAsOldAsTheLastThatWent) {
    ArchiveLag lag;
    auto seen = at(4 * size, 10, first);
    seen.waiting = 2;
    seen.last_failed = second;
    seen.failed_at = start - 5s;
    lag.look(seen, start);
    EXPECT_EQ(lag.status().missing_since, start - 100s);
    EXPECT_EQ(lag.status().failing, second);
    EXPECT_EQ(lag.status().waiting, 2);
    // Without one that ever went the first look counts.
    ArchiveLag fresh;
    seen = at(4 * size, 10);
    seen.waiting = 2;
    fresh.look(seen, start);
    EXPECT_EQ(fresh.status().missing_since, start);
}

TEST(ArchiveLag, StaysBoundedAndNeverTooYoungWhileTheArchiveStandsStill) {
    ArchiveLag lag;
    lag.look(at(2 * size, 10, first), start);
    for (int i = 1; i < 20'000; ++i)
        lag.look(
            at(2 * size + static_cast<std::uint64_t>(i), 10 + static_cast<std::uint64_t>(i), first),
            start + i * 10s);
    EXPECT_EQ(lag.status().missing_since, start);
}

}  // namespace
}  // namespace relevo::backup
