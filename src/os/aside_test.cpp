#include "os/aside.h"

#include <gtest/gtest.h>

#include <chrono>

#include "os/disk_space.h"
#include "os/file.h"
#include "os/test_loop.h"

namespace relevo::os {
namespace {

using namespace std::chrono_literals;

// A thread that reads from it hangs until somebody writes.
struct Tap {
    int ends[2] = {-1, -1};
    Tap() { EXPECT_EQ(::pipe(ends), 0); }
    void open() const { EXPECT_EQ(::write(ends[1], "x", 1), 1); }
    int wait() const {
        char c = 0;
        return static_cast<int>(::read(ends[0], &c, 1));
    }
};

TEST(Aside, BringsWhatTheWorkReturns) {
    Aside aside;
    TestLoop loop;
    const auto value = loop.await([&]() -> Task<std::optional<int>> {
        auto got = co_await aside.run(10s, [] { return 7; });
        co_return got;
    }());
    EXPECT_EQ(value, 7);
}

TEST(Aside, AWorkThatHangsIsLeftAloneAndNoOtherIsBegunBesideIt) {
    Aside aside;
    TestLoop loop;
    const Tap tap;
    int begun = 0;
    loop.await([&]() -> Task<void> {
        const auto first = co_await aside.run(20ms, [tap] { return tap.wait(); });
        EXPECT_FALSE(first);
        const auto second = co_await aside.run(20ms, [&begun] { return ++begun; });
        EXPECT_FALSE(second);
        EXPECT_EQ(begun, 0);
        tap.open();
        const auto third = co_await aside.run(10s, [&begun] { return ++begun; });
        EXPECT_EQ(third, 1);
    }());
}

TEST(Aside, WhatComesLateCanBeWaitedFor) {
    Aside aside;
    TestLoop loop;
    const Tap tap;
    loop.await([&]() -> Task<void> {
        const auto none = co_await aside.rest<int>(10s);
        EXPECT_FALSE(none);
        const auto first = co_await aside.run(20ms, [tap] { return tap.wait(); });
        EXPECT_FALSE(first);
        EXPECT_TRUE(aside.hangs());
        const auto still = co_await aside.rest<int>(20ms);
        EXPECT_FALSE(still);
        tap.open();
        const auto late = co_await aside.rest<int>(10s);
        EXPECT_EQ(late, 1);
        EXPECT_FALSE(aside.hangs());
    }());
}

TEST(DiskSpace, OfWhatDoesNotExistYetIsThatOfTheDirectoryAbove) {
    const auto here = disk_space("/tmp");
    const auto there = disk_space("/tmp/not/there/yet");
    ASSERT_TRUE(here && there);
    EXPECT_EQ(here->device, there->device);
    EXPECT_GT(here->total, 0U);
    EXPECT_GE(here->total, here->free);
}

TEST(DiskSpace, AReservedFileHasItsBytesOnDisk) {
    const auto directory = make_temporary_directory("reserve.");
    ASSERT_TRUE(directory);
    const std::string path = *directory + "/ballast";
    constexpr std::uint64_t size = 1 << 20;
    EXPECT_EQ(reserved_bytes(path), 0U);
    const auto made = reserve_file(path, size);
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_GE(reserved_bytes(path), size);
    // More than any disk has: nothing is left of the attempt.
    EXPECT_FALSE(reserve_file(path, std::uint64_t{1} << 60U));
    EXPECT_EQ(reserved_bytes(path), 0U);
    EXPECT_TRUE(remove_tree(*directory));
}

}  // namespace
}  // namespace relevo::os
