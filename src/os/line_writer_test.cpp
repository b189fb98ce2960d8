#include "os/line_writer.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <mutex>
#include <string>
#include <vector>

namespace relevo::os {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

// Shared with a thread that may outlive the test.
struct Told {
    std::mutex mutex, held;
    std::vector<std::string> lines;
};

TEST(LineWriter, WritesInTheOrderOfComing) {
    const auto told = std::make_shared<Told>();
    LineWriter writer([told](std::string_view line) { told->lines.emplace_back(line); }, 10);
    for (const char* line : {"a", "b", "c"}) writer.add(line);
    ASSERT_TRUE(writer.drain(10s));
    EXPECT_THAT(told->lines, ElementsAre("a", "b", "c"));
}

TEST(LineWriter, DropsAndCountsWhatNobodyTakes) {
    const auto told = std::make_shared<Told>();
    LineWriter writer(
        [told](std::string_view line) {
            const std::lock_guard wait(told->held);
            told->lines.emplace_back(line);
        },
        3);
    {
        const std::lock_guard stuck(told->held);
        for (int i = 0; i < 100; ++i) writer.add("line");
        EXPECT_FALSE(writer.drain(1ms));
    }
    ASSERT_TRUE(writer.drain(10s));
    ASSERT_GE(told->lines.size(), 4U);
    EXPECT_LE(told->lines.size(), 5U);  // one may have been under way already
    EXPECT_THAT(told->lines.back(), testing::HasSubstr("lines of the log were dropped"));
}

TEST(LineWriter, HoldsUpNobodyWhenThePipeIsFull) {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const std::string much(1 << 16, 'x');
    {
        LineWriter writer(
            [end = ends[1]](std::string_view line) {
                [[maybe_unused]] const auto written = ::write(end, line.data(), line.size());
            },
            100);
        for (int i = 0; i < 1000; ++i) writer.add(much);
        EXPECT_FALSE(writer.drain(10ms));
    }  // and it can be left as it is
    ::close(ends[0]);  // ends the write that hangs, with SIGPIPE held back in that thread
}

}  // namespace
}  // namespace relevo::os
