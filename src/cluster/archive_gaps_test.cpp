#include "cluster/archive_gaps.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace relevo::cluster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::uint64_t mb16 = 16U << 20U;

std::string name(Timeline timeline, std::uint64_t number) {
    return fmt::format("{:08X}{:08X}{:08X}", timeline, number / 256, number % 256);
}
std::vector<std::string> names(Timeline timeline, std::uint64_t from, std::uint64_t to) {
    std::vector<std::string> out;
    for (auto i = from; i <= to; ++i) out.push_back(name(timeline, i));
    return out;
}
HistoryLine left(Timeline timeline, std::uint64_t segment, std::uint64_t bytes = 1000) {
    HistoryLine line;
    line.timeline = timeline;
    line.switch_point = Lsn{segment * mb16 + bytes};
    return line;
}
std::vector<std::string> operator+(std::vector<std::string> a, const std::vector<std::string>& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

TEST(ArchiveGaps, NothingIsMissingWhereAllIsThere) {
    EXPECT_THAT(*archive_gaps(names(1, 3, 600), {}, 1, name(1, 5), mb16), IsEmpty());
    EXPECT_THAT(*archive_gaps({}, {}, 1, name(1, 5), mb16), IsEmpty()) << "none was archived yet";
    // Timeline 1 was left in 7, which timeline 2 has whole; the .partial one does not count.
    EXPECT_THAT(
        *archive_gaps(names(1, 3, 6) + names(2, 7, 9) + std::vector{name(1, 7) + ".partial"},
                      {left(1, 7)}, 2, name(1, 4), mb16),
        IsEmpty());
    // At a segment's very beginning.
    EXPECT_THAT(
        *archive_gaps(names(1, 3, 6) + names(2, 7, 9), {left(1, 7, 0)}, 2, name(1, 4), mb16),
        IsEmpty());
}

TEST(ArchiveGaps, AHoleInTheMiddleIsFound) {
    EXPECT_THAT(*archive_gaps(names(1, 250, 254) + names(1, 258, 259), {}, 1, name(1, 250), mb16),
                ElementsAre(ArchiveGap{name(1, 255), name(1, 257), 3}));
    EXPECT_THAT(*archive_gaps(names(1, 5, 9), {}, 1, name(1, 3), mb16),
                ElementsAre(ArchiveGap{name(1, 3), name(1, 4), 2}))
        << "the backup's own first segments";
}

TEST(ArchiveGaps, ReachUpToWhatMustBeThere) {
    const auto gaps = [](const std::string& through) {
        return *archive_gaps(names(2, 7, 9), {left(1, 7)}, 2, name(2, 8), mb16, through);
    };
    EXPECT_THAT(gaps(name(2, 11)), ElementsAre(ArchiveGap{name(2, 10), name(2, 11), 2}));
    EXPECT_THAT(gaps(name(2, 8)), IsEmpty());
    EXPECT_THAT(gaps(name(1, 11)), IsEmpty()) << "of a timeline that was left";
    EXPECT_THAT(gaps("00000002.history"), IsEmpty());
    EXPECT_THAT(gaps(""), IsEmpty());
}

TEST(ArchiveGaps, WhatAPrimaryStreamedAndNeverArchivedIsFound) {
    EXPECT_THAT(*archive_gaps(names(1, 3, 4) + names(2, 7, 9), {left(1, 7)}, 2, name(1, 3), mb16),
                ElementsAre(ArchiveGap{name(1, 5), name(1, 6), 2}));
    // And where nothing of the new one is there yet.
    EXPECT_THAT(*archive_gaps(names(1, 3, 4), {left(1, 7)}, 2, name(1, 3), mb16),
                ElementsAre(ArchiveGap{name(1, 5), name(1, 6), 2}));
}

TEST(ArchiveGaps, OnlyTheWayToTheCurrentTimelineCounts) {
    // 3 was begun and came to nothing; a former primary went on with 1.
    const auto archived = names(1, 3, 20) + names(2, 7, 8) + names(3, 30, 31) + names(4, 9, 10);
    EXPECT_THAT(*archive_gaps(archived, {left(1, 7), left(2, 9)}, 4, name(1, 3), mb16), IsEmpty());
    EXPECT_THAT(*archive_gaps(archived, {left(1, 7), left(2, 9)}, 4, name(2, 7), mb16), IsEmpty());
    const auto elsewhere = archive_gaps(archived, {left(1, 7), left(2, 9)}, 4, name(3, 30), mb16);
    ASSERT_FALSE(elsewhere);
    EXPECT_EQ(elsewhere.error().code, ErrorCode::conflict);
    EXPECT_FALSE(archive_gaps(archived, {}, 2, name(4, 9), mb16)) << "from a later one";
}

TEST(ArchiveGaps, AHoleMayBeWideAndANameWrong) {
    const auto gaps = archive_gaps(
        {name(1, 3), "FFFFFFFFFFFFFFFFFFFFFFFF", "x", name(1, 1U << 30U)}, {}, 1, name(1, 3), mb16);
    ASSERT_TRUE(gaps);
    EXPECT_THAT(*gaps,
                ElementsAre(ArchiveGap{name(1, 4), name(1, (1U << 30U) - 1), (1U << 30U) - 4}));
    EXPECT_FALSE(archive_gaps({}, {}, 1, "000000010000000000000100", mb16)) << "256 are a log";
    EXPECT_FALSE(archive_gaps({}, {}, 1, "", mb16));
    EXPECT_FALSE(archive_gaps({}, {}, 1, name(1, 1), 0));
    EXPECT_FALSE(archive_gaps({}, {}, 1, name(1, 1), mb16 + 1));
}

TEST(ArchiveReach, EndsAtTheLastSegmentOrBeforeAHole) {
    const auto whole = archive_reach(names(1, 3, 6), {}, 1, name(1, 4), mb16);
    ASSERT_TRUE(whole);
    EXPECT_EQ(*whole, (ArchiveReach{.first = name(1, 4),
                                    .last = name(1, 6),
                                    .timeline = 1,
                                    .end = Lsn{7 * mb16},
                                    .segments = 3,
                                    .missing = {}}));
    const auto holed = *archive_reach(names(1, 3, 4) + names(1, 7, 9), {}, 1, name(1, 3), mb16);
    EXPECT_EQ(holed.last, name(1, 4));
    EXPECT_EQ(holed.missing, name(1, 5));
    const auto none = *archive_reach(names(1, 7, 9), {}, 1, name(1, 6), mb16);
    EXPECT_EQ(none.last, "");
    EXPECT_EQ(none.missing, name(1, 6));
}

TEST(ArchiveReach, GoesOverTimelines) {
    const std::vector history = {left(1, 7), left(2, 9)};
    const auto all = names(1, 3, 6) + names(2, 7, 8) + names(3, 9, 12);
    const auto reach = *archive_reach(all, history, 3, name(1, 4), mb16);
    EXPECT_EQ(reach.last, name(3, 12));
    EXPECT_EQ(reach.segments, 9U);
    EXPECT_FALSE(reach.missing);
    // Nothing of the last one was archived yet.
    const auto early =
        *archive_reach(names(1, 3, 6) + names(2, 7, 8), history, 3, name(1, 4), mb16);
    EXPECT_EQ(early.last, name(2, 8));
    EXPECT_EQ(early.timeline, 2U);
    EXPECT_FALSE(early.missing);
    // The last primary did not archive its last segment.
    const auto holed =
        *archive_reach(names(1, 3, 5) + names(2, 7, 8), history, 3, name(1, 4), mb16);
    EXPECT_EQ(holed.last, name(1, 5));
    EXPECT_EQ(holed.missing, name(1, 6));
    EXPECT_EQ(archive_reach(all, {left(1, 7)}, 3, name(2, 8), mb16).error().code,
              ErrorCode::conflict);
}

TEST(SegmentStart, FollowsFromTheName) {
    EXPECT_EQ(segment_start(name(2, 300), mb16)->lsn, Lsn{300 * mb16});
    EXPECT_EQ(segment_start(name(2, 300), mb16)->timeline, 2U);
    EXPECT_FALSE(segment_start("00000002.history", mb16));
    EXPECT_FALSE(segment_start(name(2, 300), 12345));
}

}  // namespace
}  // namespace relevo::cluster
