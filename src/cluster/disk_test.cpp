#include "cluster/disk.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

namespace relevo::cluster {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr std::uint64_t mb = std::uint64_t{1} << 20U;
constexpr std::uint64_t gb = std::uint64_t{1} << 30U;

// What is free at each second, looked at every so often.
DiskForecast series(Duration length, Duration every,
                    const std::function<std::uint64_t(double)>& free_at) {
    DiskForecast forecast;
    for (Duration t{}; t <= length; t += every) forecast.add(Instant(t), free_at(to_s(t)));
    return forecast;
}

TEST(DiskLimits, MakeSenseOnASmallDiskAndOnALargeOne) {
    const DiskSettings standard;
    const auto small = limits(standard, 2 * gb);
    EXPECT_EQ(small.warning, 2 * gb / 100 * 15);  // 307 MB
    EXPECT_EQ(small.hold, 2 * gb / 100 * 5);      // 102 MB
    const auto large = limits(standard, 2048 * gb);
    EXPECT_EQ(large.warning, 20 * gb);
    EXPECT_EQ(large.hold, 2 * gb);
    // Three segments of WAL, however small the disk.
    EXPECT_EQ(limits(standard, 500 * mb).hold, 48 * mb);
}

TEST(DiskLimits, OfZeroAreSwitchedOff) {
    DiskSettings s;
    s.hold_free = 0;
    s.hold_left = {};
    s.warning_percent = 0;
    s.warning_left = {};
    EXPECT_EQ(limits(s, 2 * gb).hold, 0U);
    EXPECT_EQ(judge(s, DiskState::ok, 2 * gb, 0, {}).state, DiskState::ok);
}

TEST(DiskForecast, OfASteadyFillIsItsRate) {
    const auto forecast = series(minutes(10), seconds(5), [](double t) {
        return static_cast<std::uint64_t>(100.0 * static_cast<double>(gb) - t * 10e6);
    });
    EXPECT_NEAR(forecast.trend(), 10e6, 1e5);
    EXPECT_NEAR(forecast.pace(), 10e6, 1e5);
}

// 1 GB of WAL that is recycled with each checkpoint.
TEST(DiskForecast, OfASawToothIsNone) {
    const auto forecast = series(minutes(14), seconds(5), [](double t) {
        return 100 * gb - static_cast<std::uint64_t>(std::fmod(t, 240.0) / 240.0 * 1e9);
    });
    EXPECT_LT(forecast.trend(), 1e5);
}

// The same, and beneath it 20 MB a minute that nobody gives back.
TEST(DiskForecast, SeesTheTrendBeneathASawTooth) {
    const auto forecast = series(seconds(1150), seconds(5), [](double t) {
        return 100 * gb -
               static_cast<std::uint64_t>(std::fmod(t, 240.0) / 240.0 * 1e9 + t * 20e6 / 60);
    });
    EXPECT_NEAR(forecast.trend(), 20e6 / 60, 5e4);
}

// A sort spills 30 GB for a minute and gives them back.
TEST(DiskForecast, ForgetsABurstAsSoonAsItHasEnded) {
    const auto spill = [](double t) { return t >= 300 && t < 360 ? 70 * gb : 100 * gb; };
    EXPECT_GT(series(seconds(359), seconds(5), spill).trend(), 1e6);
    EXPECT_EQ(series(seconds(365), seconds(5), spill).trend(), 0.0);
}

// Until its first checkpoint: 64 MB of pg_wal in a minute would fill a small disk within the hour.
TEST(DiskForecast, SaysNothingOfTheWalOfAYoungServer) {
    const auto forecast = series(minutes(4), seconds(1), [](double t) {
        return 100 * gb - static_cast<std::uint64_t>(t * 10e6);
    });
    EXPECT_EQ(forecast.trend(), 0.0);
    EXPECT_GT(forecast.pace(), 9e6);
}

TEST(DiskForecast, OfGrowingRoomIsNone) {
    const auto forecast = series(minutes(10), seconds(5), [](double t) {
        return 10 * gb + static_cast<std::uint64_t>(t * 10e6);
    });
    EXPECT_EQ(forecast.trend(), 0.0);
    EXPECT_EQ(forecast.pace(), 0.0);
}

TEST(DiskForecast, LooksBackAQuarterOfAnHour) {
    // 50 GB were written an hour ago; nothing has changed since.
    const auto forecast =
        series(minutes(70), seconds(5), [](double t) { return t < 600 ? 100 * gb : 50 * gb; });
    EXPECT_EQ(forecast.trend(), 0.0);
}

TEST(DiskState, BeginsAtItsLimitAndEndsWellAboveIt) {
    const DiskSettings s;
    const std::uint64_t total = 2 * gb;
    const auto at = [&](DiskState before, std::uint64_t free) {
        return judge(s, before, total, free, {}).state;
    };
    EXPECT_EQ(at(DiskState::ok, 320 * mb), DiskState::ok);
    EXPECT_EQ(at(DiskState::ok, 300 * mb), DiskState::warning);
    EXPECT_EQ(at(DiskState::warning, 320 * mb), DiskState::warning);
    EXPECT_EQ(at(DiskState::warning, 340 * mb), DiskState::ok);
    EXPECT_EQ(at(DiskState::warning, 100 * mb), DiskState::hold);
    EXPECT_EQ(at(DiskState::hold, 120 * mb), DiskState::hold);
    EXPECT_EQ(at(DiskState::hold, 130 * mb), DiskState::warning);
    EXPECT_EQ(at(DiskState::hold, gb), DiskState::ok);
}

TEST(DiskState, WarnsByTheForecastWhileMuchIsFree) {
    const auto forecast = series(minutes(10), seconds(5), [](double t) {
        return 200 * gb - static_cast<std::uint64_t>(t * 100e6);
    });
    const auto free = 200 * gb - static_cast<std::uint64_t>(600 * 100e6);
    const auto judged = judge({}, DiskState::ok, 500 * gb, free, forecast);
    EXPECT_EQ(judged.state, DiskState::warning);
    ASSERT_TRUE(judged.left);
    EXPECT_NEAR(static_cast<double>(judged.left->count()), 1547, 20);
}

// A large disk that fills at 1 GB/s is in hold while 14 GB are free: 2 GB are gone in two seconds.
TEST(DiskState, HoldsBySecondsLeftOnceLittleIsFree) {
    const auto fast = [](double t) { return 30 * gb - static_cast<std::uint64_t>(t * 1e9); };
    const auto forecast = series(seconds(18), milliseconds(250), fast);
    EXPECT_EQ(judge({}, DiskState::warning, 2048 * gb, fast(18), forecast).state, DiskState::hold);
    // The same pace where more is free is a burst.
    EXPECT_EQ(judge({}, DiskState::ok, 2048 * gb, 30 * gb, forecast).state, DiskState::ok);
}

TEST(DiskState, IsLookedAtSoOftenThatHoldIsNotPassedUnseen) {
    EXPECT_EQ(look_again_after({}, 2048 * gb, 1000 * gb), seconds(5));
    EXPECT_EQ(look_again_after({}, 2 * gb, 50 * mb), milliseconds(250));
    EXPECT_EQ(look_again_after({}, 2 * gb, 300 * mb), milliseconds(250));
    EXPECT_LT(look_again_after({}, 2 * gb, 2 * gb), milliseconds(1100));
}

TEST(DiskText, IsForPeople) {
    EXPECT_EQ(size_text(300 * mb), "300.0 MB");
    EXPECT_EQ(left_text(seconds(90)), "90 s");
    EXPECT_EQ(left_text(seconds(200)), "3 min");
    DiskPlace place;
    place.what = "data and WAL";
    place.total = 2 * gb;
    place.free = 300 * mb;
    place.left = seconds(200);
    EXPECT_EQ(describe(place), "data and WAL: 300.0 MB of 2.0 GB free, full in about 3 min");
    EXPECT_EQ(parse_disk_state("hold"), DiskState::hold);
    EXPECT_FALSE(parse_disk_state("full"));
}

}  // namespace
}  // namespace relevo::cluster
