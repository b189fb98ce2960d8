#include "os/boot_timer.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/clock.h"
#include "os/file.h"

namespace relevo::os {
namespace {

using namespace std::chrono_literals;

TEST(BootTimer, IsDueAtItsTimeAndOnce) {
    boost::asio::io_context loop;
    int due = 0;
    BootTimer timer(loop, [&] { ++due; });
    const Instant when = boottime_now() + 20ms;
    timer.set(when);
    while (due == 0) loop.run_one();
    EXPECT_GE(boottime_now(), when);
    loop.run_for(50ms);
    EXPECT_EQ(due, 1);
}

TEST(BootTimer, ThatHasPassedIsDueAtOnce) {
    boost::asio::io_context loop;
    int due = 0;
    BootTimer timer(loop, [&] { ++due; });
    timer.set(Instant{});
    loop.run_one_for(10s);
    EXPECT_EQ(due, 1);
}

TEST(BootTimer, CanBeSetAnewAndTakenBack) {
    boost::asio::io_context loop;
    int due = 0;
    BootTimer timer(loop, [&] { ++due; });
    timer.set(boottime_now() + 1h);
    timer.set(boottime_now() + 10ms);
    while (due == 0) loop.run_one();
    timer.set(boottime_now() + 10ms);
    timer.cancel();
    loop.run_for(50ms);
    EXPECT_EQ(due, 1);
}

// No test can suspend the machine: that it counts the sleep is the clock's own promise.
TEST(BootTimer, GoesByTheClockThatCountsSuspension) {
    boost::asio::io_context loop;
    const BootTimer timer(loop, [] {});
    const auto info = read_file(fmt::format("/proc/self/fdinfo/{}", timer.descriptor()));
    ASSERT_TRUE(info);
    EXPECT_THAT(*info, testing::HasSubstr(fmt::format("clockid: {}\n", CLOCK_BOOTTIME)));
}

}  // namespace
}  // namespace relevo::os
