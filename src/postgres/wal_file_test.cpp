#include "postgres/wal_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace relevo::postgres {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::uint64_t size = 16U << 20U;

cluster::WalLine third_from(std::uint64_t first_left, std::uint64_t second_left) {
    cluster::WalLine line;
    line.timeline = 4;
    cluster::HistoryLine one, two;
    one.timeline = 1;
    one.switch_point = cluster::Lsn{first_left};
    two.timeline = 2;
    two.switch_point = cluster::Lsn{second_left};
    line.history = {one, two};
    return line;
}

TEST(ThoseOnLine, AreSegmentsThatEndBeforeTheForkAndHistoriesOfTheLine) {
    // 1 was left in its segment 5, 2 exactly at the end of segment 7; 3 came to nothing.
    const auto line = third_from(5 * size + 100, 8 * size);
    EXPECT_THAT(those_on_line({"00000002.history", "00000003.history", "00000004.history",
                               "000000010000000000000004", "000000010000000000000005",
                               "000000010000000000000006", "000000020000000000000007",
                               "000000020000000000000008", "000000030000000000000008",
                               "000000040000000000000009", "000000040000000100000000"},
                              line, size),
                ElementsAre("00000002.history", "00000004.history", "000000010000000000000004",
                            "000000020000000000000007", "000000040000000000000009",
                            "000000040000000100000000"));
}

TEST(ThoseOnLine, OtherFilesCountByWhereTheyBegin) {
    const auto line = third_from(5 * size + 100, 8 * size);
    EXPECT_THAT(
        those_on_line({"000000010000000000000005.partial", "000000010000000000000006.partial",
                       "000000010000000000000005.00000028.backup",
                       "000000030000000000000002.00000028.backup", "nonsense", ""},
                      line, size),
        ElementsAre("000000010000000000000005.partial",
                    "000000010000000000000005.00000028.backup"));
}

TEST(ThoseOnLine, WithoutTheSizeOnlyTheOwnTimelineIsKnown) {
    const auto line = third_from(5 * size, 8 * size);
    EXPECT_THAT(those_on_line({"000000010000000000000001", "000000040000000000000009"}, line, 0),
                ElementsAre("000000040000000000000009"));
    EXPECT_THAT(those_on_line({}, line, size), IsEmpty());
}

}  // namespace
}  // namespace relevo::postgres
