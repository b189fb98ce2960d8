// No test opens a real device: the kernel's calls are stood in for, or the testing driver writes
// into a file.
#include "os/watchdog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/watchdog.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "os/file.h"

namespace relevo::os {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

// As a driver of the kernel behaves.
struct FakeDevice {
    std::vector<std::string> said;
    int timeout = 60, longest = 300, open_error = 0, write_error = 0;
    bool settable = true, counts = false;
    bool nowayout = false;

    WatchdogCalls calls() {
        return {.open =
                    [this](const std::string&) {
                        if (open_error != 0) return errno = open_error, -1;
                        said.emplace_back("open");
                        counts = true;
                        return 7;
                    },
                .ioctl =
                    [this](int, unsigned long request, void* argument) {
                        if (request == WDIOC_GETSUPPORT) {
                            *static_cast<watchdog_info*>(argument) = {};
                            static_cast<watchdog_info*>(argument)->options = WDIOF_MAGICCLOSE;
                            return 0;
                        }
                        int& value = *static_cast<int*>(argument);
                        if (request == WDIOC_SETTIMEOUT) {
                            if (!settable) return errno = EOPNOTSUPP, -1;
                            if (value > longest) return errno = EINVAL, -1;
                            timeout = value;
                        }
                        value = timeout;
                        return 0;
                    },
                .write =
                    [this](int, const void* bytes, std::size_t count) {
                        if (write_error != 0) return errno = write_error, ssize_t{-1};
                        said.emplace_back(static_cast<const char*>(bytes), count);
                        return static_cast<ssize_t>(count);
                    },
                .close =
                    [this](int) {
                        counts = nowayout || said.empty() || said.back() != "V";
                        said.emplace_back("close");
                        return 0;
                    },
                .attribute =
                    [this](const std::string&, const char* name) {
                        if (std::string(name) == "state")
                            return std::string(counts ? "active" : "inactive");
                        return std::string(nowayout ? "1" : "0");
                    }};
    }
};

TEST(Watchdog, IsSetFedAndClosedByTheMagicCharacter) {
    FakeDevice device;
    Watchdog watchdog("/dev/none", device.calls());
    const auto armed = watchdog.arm(25s);
    ASSERT_TRUE(armed) << armed.error().message;
    EXPECT_EQ(*armed, 25s);
    EXPECT_TRUE(watchdog.feed());
    EXPECT_TRUE(watchdog.disarm());
    EXPECT_THAT(device.said, ElementsAre("open", "1", "1", "V", "close"));
    EXPECT_FALSE(device.counts);
}

TEST(Watchdog, IsGivenAnotherTimeoutWithoutBeingClosed) {
    FakeDevice device;
    Watchdog watchdog("/dev/none", device.calls());
    ASSERT_TRUE(watchdog.arm(25s));
    const auto again = watchdog.arm(10s);
    ASSERT_TRUE(again);
    EXPECT_EQ(*again, 10s);
    EXPECT_THAT(device.said, ElementsAre("open", "1", "1"));
}

TEST(Watchdog, SaysWhatTheDeviceCountsWhereItCannotBeSet) {
    FakeDevice device;
    device.settable = false;
    Watchdog watchdog("/dev/none", device.calls());
    const auto armed = watchdog.arm(25s);
    ASSERT_TRUE(armed);
    EXPECT_EQ(*armed, 60s);
}

TEST(Watchdog, GoesOnCountingWhenItsOwnerDies) {
    FakeDevice device;
    {
        Watchdog watchdog("/dev/none", device.calls());
        ASSERT_TRUE(watchdog.arm(25s));
    }
    EXPECT_TRUE(device.counts);
    Watchdog next("/dev/none", device.calls());
    EXPECT_TRUE(next.disarm()) << "what the one before left counting";
    EXPECT_FALSE(device.counts);
}

TEST(Watchdog, ThatDoesNotCountIsNotTouched) {
    FakeDevice device;
    Watchdog watchdog("/dev/none", device.calls());
    EXPECT_TRUE(watchdog.disarm());
    EXPECT_TRUE(device.said.empty());
}

TEST(Watchdog, OfAnotherProgramIsLeftToIt) {
    FakeDevice device;
    device.counts = true;
    device.open_error = EBUSY;
    Watchdog watchdog("/dev/none", device.calls());
    EXPECT_TRUE(watchdog.disarm());
    const auto armed = watchdog.arm(25s);
    ASSERT_FALSE(armed);
    EXPECT_THAT(armed.error().message, HasSubstr("another program holds it"));
}

TEST(Watchdog, ThatCannotBeFedSaysSo) {
    FakeDevice device;
    Watchdog watchdog("/dev/none", device.calls());
    ASSERT_TRUE(watchdog.arm(25s));
    device.write_error = EIO;
    EXPECT_FALSE(watchdog.feed());
    EXPECT_FALSE(watchdog.disarm());
    EXPECT_TRUE(watchdog.armed()) << "it counts on";
}

TEST(Watchdog, ThatIsNotThereSaysWhatToDo) {
    Watchdog watchdog("/nonexistent/watchdog", kernel_watchdog());
    EXPECT_EQ(watchdog.usable().error().code, ErrorCode::not_found);
    const auto armed = watchdog.arm(25s);
    ASSERT_FALSE(armed);
    EXPECT_EQ(armed.error().code, ErrorCode::not_found);
    EXPECT_THAT(armed.error().message, HasSubstr("softdog"));
}

class WatchdogFile : public testing::Test {
protected:
    void SetUp() override {
        auto made = make_temporary_directory("watchdog");
        ASSERT_TRUE(made);
        directory = *made;
        path = directory + "/device";
        ASSERT_TRUE(write_file(path, "", 0600));
    }
    void TearDown() override { (void)remove_tree(directory); }
    std::string directory, path;
};

TEST_F(WatchdogFile, ThatIsNoDeviceIsNotTakenForOne) {
    Watchdog watchdog(path, kernel_watchdog());
    EXPECT_FALSE(watchdog.arm(25s));
    EXPECT_EQ(read_file(path).value_or("?"), "");
}

TEST_F(WatchdogFile, OfTheTestingDriverIsToldEverything) {
    Watchdog watchdog(path, testing_watchdog());
    ASSERT_TRUE(watchdog.arm(4s));
    ASSERT_TRUE(watchdog.feed());
    ASSERT_TRUE(watchdog.disarm());
    EXPECT_EQ(read_file(path).value_or("?"), "T4\n11V");
}

TEST(Watchdog, OfTheTestingDriverIsNeverARealDevice) {
    Watchdog watchdog("/dev/null", testing_watchdog());
    const auto armed = watchdog.arm(4s);
    ASSERT_FALSE(armed);
    EXPECT_EQ(armed.error().code, ErrorCode::denied);
}

}  // namespace
}  // namespace relevo::os
