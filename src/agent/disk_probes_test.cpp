#include "agent/disk_probes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "agent/fake_disk.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/test_loop.h"

namespace relevo::agent {
namespace {

using namespace std::chrono_literals;
using cluster::ProbeAnswer;
using What = ProbeAnswer::What;

class DiskProbesTest : public ::testing::Test {
protected:
    // The time runs as it does, and can be put forward.
    struct Clock final : ports::Clock {
        Duration ahead{};
        Instant now() const override { return os::boottime_now() + ahead; }
        WallTime wall() const override { return os::wall_now(); }
    };
    os::TestLoop t;
    Clock clock;
    cluster::DiskSettings settings;
    std::shared_ptr<FakeDisk> data = std::make_shared<FakeDisk>();
    std::shared_ptr<FakeDisk> wal = std::make_shared<FakeDisk>();
    int heard = 0;
    DiskProbes probes{t.loop, parts()};

    // As often as it goes: 250 ms.
    DiskProbesTest() { settings.probe_every = 0s; }
    void TearDown() override {
        data->hangs(false);
        wal->hangs(false);
        t.await(probes.stop());
    }
    DiskProbes::Parts parts() {
        return {.clock = clock,
                .settings = [this] { return settings; },
                .probe =
                    [data = data, wal = wal](const DiskProbes::Paths& paths) {
                        return (paths.at(0) == "wal" ? wal : data)->probe();
                    },
                .heard = [this] { ++heard; }};
    }
    void watch_both() { probes.watch({{1, {"data"}}, {2, {"wal"}}}); }
    bool failed(std::uint64_t device) const {
        const auto* health = probes.health(device);
        return health != nullptr && health->failed();
    }
    bool until(const std::function<bool()>& condition) { return t.until(condition, 20s); }
};

TEST_F(DiskProbesTest, WriteAgainAndAgain) {
    watch_both();
    ASSERT_TRUE(until([&] { return data->asked() > 3 && wal->asked() > 3; }));
    EXPECT_FALSE(failed(1));
    ASSERT_TRUE(probes.health(1)->written());
    EXPECT_EQ(probes.health(1)->written()->took, 2ms);
    EXPECT_GT(heard, 5);
    EXPECT_EQ(probes.health(3), nullptr);
}

TEST_F(DiskProbesTest, WaitBetweenTwoUnlessOneIsRefused) {
    settings.probe_every = 60s;
    data->refuses(1);
    watch_both();
    ASSERT_TRUE(until([&] { return data->asked() == 2; }));
    EXPECT_EQ(wal->asked(), 1);
    EXPECT_FALSE(failed(1)) << "the next one came through";
}

TEST_F(DiskProbesTest, DoNotWaitWhenToldTo) {
    settings.probe_every = 60s;
    watch_both();
    for (int n = 1; n < 10; ++n) {
        ASSERT_TRUE(until([&] { return data->asked() == n && wal->asked() == n; }));
        probes.probe_now();
    }
}

TEST_F(DiskProbesTest, TwoRefusalsAreAFailureOfThatDiskAlone) {
    data->answers(What::refused);
    watch_both();
    ASSERT_TRUE(until([&] { return failed(1); }));
    EXPECT_EQ(data->asked(), 2);
    EXPECT_FALSE(failed(2));
    data->answers(What::written);
    ASSERT_TRUE(until([&] { return data->asked() > 3; }));
    EXPECT_TRUE(failed(1)) << "one success is not enough after errors";
    clock.ahead += 10s;
    EXPECT_TRUE(until([&] { return !failed(1); }));
}

TEST_F(DiskProbesTest, ADeadDiskIsAskedOnceAndDoesNotHideTheOther) {
    settings.failed_after = 1s;
    data->hangs(true);
    watch_both();
    ASSERT_TRUE(until([&] { return failed(1); }));
    const int before = wal->asked();
    ASSERT_TRUE(until([&] { return wal->asked() > before + 2; }));
    EXPECT_EQ(data->asked(), 1);
    EXPECT_FALSE(failed(2));
    data->hangs(false);
    ASSERT_TRUE(until([&] { return !failed(1); }));
    EXPECT_EQ(data->most_at_once(), 1);
}

TEST_F(DiskProbesTest, TimeInWhichNobodyCouldHaveHeardIsNoSilence) {
    data->hangs(true);
    watch_both();
    ASSERT_TRUE(until([&] { return data->asked() == 1; }));
    clock.ahead += 3600s;  // the machine was suspended
    const int before = heard;
    ASSERT_TRUE(until([&] { return heard > before + 8; }));
    EXPECT_FALSE(failed(1));
}

TEST_F(DiskProbesTest, WhatIsNoLongerWatchedIsForgotten) {
    data->answers(What::refused);
    watch_both();
    ASSERT_TRUE(until([&] { return failed(1); }));
    probes.watch({{2, {"wal"}}});
    EXPECT_EQ(probes.health(1), nullptr);
    watch_both();
    EXPECT_FALSE(failed(1));
    EXPECT_TRUE(until([&] { return failed(1); }));
}

TEST_F(DiskProbesTest, OneThatHangsIsWaitedForWhenItIsWatchedAgain) {
    settings.failed_after = 1s;
    data->hangs(true);
    watch_both();
    ASSERT_TRUE(until([&] { return failed(1); }));
    probes.watch({});
    EXPECT_EQ(probes.health(1), nullptr);
    watch_both();
    EXPECT_FALSE(failed(1));
    ASSERT_TRUE(until([&] { return failed(1); }));
    EXPECT_EQ(data->asked(), 1);
    data->hangs(false);
    ASSERT_TRUE(until([&] { return !failed(1) && data->asked() > 3; }));
    EXPECT_EQ(data->most_at_once(), 1);
}

TEST_F(DiskProbesTest, EndsWithAProbeThatHangs) {
    data->hangs(true);
    watch_both();
    ASSERT_TRUE(until([&] { return data->asked() == 1; }));
    t.await(probes.stop());
    EXPECT_EQ(probes.health(1), nullptr);
}

class ProbeOneOf : public ::testing::Test {
protected:
    std::string root = os::make_temporary_directory("probes.").value();
    void TearDown() override { EXPECT_TRUE(os::remove_tree(root)); }
};

TEST_F(ProbeOneOf, WritesToTheFirstPlaceWhereItMay) {
    ASSERT_TRUE(os::make_directory(root + "/taken", 0700));
    const auto answer = probe_one_of({root + "/taken", root + "/page", root + "/other"});
    EXPECT_EQ(answer.what, What::written);
    EXPECT_GT(answer.took, Duration::zero());
    EXPECT_TRUE(os::exists(root + "/page"));
    EXPECT_FALSE(os::exists(root + "/other"));
}

TEST_F(ProbeOneOf, SaysWhyItMayNotWriteAnywhere) {
    ASSERT_TRUE(os::make_directory(root + "/taken", 0700));
    const auto answer = probe_one_of({root + "/taken", root + "/gone/page"});
    EXPECT_EQ(answer.what, What::unknown);
    EXPECT_THAT(answer.why, ::testing::HasSubstr("/taken: Is a directory"));
}

TEST_F(ProbeOneOf, KnowsWhatIsNotThereFromWhatIsFullAndFromWhatIsRefused) {
    EXPECT_EQ(probe_one_of({root + "/gone/page"}).what, What::absent);
    EXPECT_EQ(probe_one_of({"/dev/full"}).what, What::full);
    const auto answer = probe_one_of({"/proc/self/mem", root + "/page"});
    EXPECT_EQ(answer.what, What::refused);
    EXPECT_EQ(answer.why, "cannot write /proc/self/mem: Input/output error");
    EXPECT_FALSE(os::exists(root + "/page")) << "what the disk refuses is refused elsewhere, too";
}

}  // namespace
}  // namespace relevo::agent
