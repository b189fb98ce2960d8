#include "base/time.h"

#include <gtest/gtest.h>

namespace relevo {
namespace {

using std::chrono::microseconds;
using std::chrono::seconds;

WallTime at(std::int64_t epoch_s, std::int64_t us = 0) {
    return WallTime(seconds(epoch_s) + microseconds(us));
}

TEST(ToIso, WritesPythonsIsoformat) {
    EXPECT_EQ(to_iso(at(1767323045, 678901)), "2026-01-02T03:04:05.678901+00:00");
    EXPECT_EQ(to_iso(at(1767323045, 1)), "2026-01-02T03:04:05.000001+00:00");
    EXPECT_EQ(to_iso(at(1767323045)), "2026-01-02T03:04:05+00:00");
    EXPECT_EQ(to_iso(at(-1)), "1969-12-31T23:59:59+00:00");
}

TEST(ParseIso, ReadsWhatToIsoWrites) {
    for (const WallTime time : {at(0), at(1767323045, 678901), at(-86401, 5), at(4102444800)}) {
        const auto parsed = parse_iso(to_iso(time));
        ASSERT_TRUE(parsed);
        EXPECT_EQ(parsed->time, time);
        EXPECT_TRUE(parsed->has_zone);
    }
}

TEST(ParseIso, UnderstandsEverySpellingOfTheZone) {
    for (const char* text : {
             "2026-01-02T03:04:05Z",
             "2026-01-02T03:04:05z",
             "2026-01-02T03:04:05+00:00",
             "2026-01-02T05:04:05+02:00",
             "2026-01-02T05:04:05+0200",
             "2026-01-02T05:04:05+02",
             "2026-01-01T21:34:05-05:30",
             "2026-01-02 03:04:05+00",
             "2026-01-02 03:04:05 +00:00",
             "2026-01-02 03:04:05 UTC",
             "2026-01-02t03:04:05.0Z",
             "2026-01-02T03:04:05,000Z",
         }) {
        const auto parsed = parse_iso(text);
        ASSERT_TRUE(parsed) << text;
        EXPECT_EQ(parsed->time, at(1767323045)) << text;
        EXPECT_TRUE(parsed->has_zone) << text;
    }
}

TEST(ParseIso, SaysWhenThereWasNoZone) {
    for (const char* text : {"2026-01-02T03:04:05", "2026-01-02 03:04:05.000000"}) {
        const auto parsed = parse_iso(text);
        ASSERT_TRUE(parsed) << text;
        EXPECT_EQ(parsed->time, at(1767323045)) << text;
        EXPECT_FALSE(parsed->has_zone) << text;
    }
    EXPECT_EQ(parse_iso("2026-01-02T03:04")->time, at(1767323040));
    EXPECT_EQ(parse_iso("2026-01-02")->time, at(1767312000));
}

TEST(ParseIso, CutsWhatIsFinerThanMicroseconds) {
    EXPECT_EQ(parse_iso("2026-01-02T03:04:05.123456789Z")->time, at(1767323045, 123456));
    EXPECT_EQ(parse_iso("2026-01-02T03:04:05.5Z")->time, at(1767323045, 500000));
}

TEST(ParseIso, RefusesWhatIsNoTime) {
    for (const char* text : {
             "",
             "now",
             "2026",
             "2026-1-2",
             "2026-13-01",
             "2026-00-01",
             "2026-02-29",
             "2026-01-32",
             "2026-01-02T",
             "2026-01-02X03:04:05",
             "2026-01-02T24:00:00",
             "2026-01-02T03:60:00",
             "2026-01-02T03:04:60",
             "2026-01-02T3:04:05",
             "2026-01-02T03:04:05.",
             "2026-01-02T03:04:05+",
             "2026-01-02T03:04:05+2",
             "2026-01-02T03:04:05+25:00",
             "2026-01-02T03:04:05+02:0",
             "2026-01-02T03:04:05+02:000",
             "2026-01-02T03:04:05 Europe/Berlin",
             "20260102T030405Z",
             "2026-01-02T03:04:05Zx",
             "0000-01-01T00:00:00Z",
         }) {
        EXPECT_FALSE(parse_iso(text)) << text;
    }
    EXPECT_TRUE(parse_iso("2028-02-29T00:00:00Z"));
}

TEST(Duration, ConvertsToNumbersForTheEdges) {
    EXPECT_EQ(to_ms(std::chrono::milliseconds(1500)), 1500);
    EXPECT_DOUBLE_EQ(to_s(std::chrono::milliseconds(1500)), 1.5);
}

}  // namespace
}  // namespace relevo
