#include "agent/disks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/clock.h"
#include "os/disk_space.h"
#include "os/file.h"
#include "os/test_loop.h"

namespace relevo::agent {
namespace {

using namespace std::chrono_literals;
using cluster::DiskState;
using ::testing::HasSubstr;

class DisksTest : public ::testing::Test {
public:
    ~DisksTest() override {
        t.await(disks.stop());
        EXPECT_TRUE(os::remove_tree(root));
    }

protected:
    struct RealClock final : ports::Clock {
        Instant now() const override { return os::boottime_now(); }
        WallTime wall() const override { return os::wall_now(); }
    };
    os::TestLoop t;
    RealClock clock;
    std::string root = os::make_temporary_directory("disks.").value();
    cluster::DiskSettings settings = nothing_is_little();
    std::shared_ptr<ports::View> view = std::make_shared<ports::View>();
    std::vector<core::DiskSeen> told;
    int measured = 0;
    Disks disks{t.loop, parts()};

    DisksTest() {
        EXPECT_TRUE(os::make_directory(root + "/data/pg_wal/archive_status", 0700));
        disks.start();
    }
    Disks::Parts parts() {
        return {
            .clock = clock,
            .where =
                [this] { return DiskAsk{.data_dir = root + "/data", .spool = {}, .settings = {}}; },
            .settings = [this] { return settings; },
            .wal_keep_size = [] { return std::string("1GB"); },
            .view = [this] { return view; },
            .measured = [this] { ++measured; },
            .changed = [this](core::DiskSeen seen) { told.push_back(std::move(seen)); }};
    }
    static cluster::DiskSettings nothing_is_little() {
        cluster::DiskSettings s;
        s.warning_free = s.hold_free = 0;
        s.warning_left = 0min;
        return s;
    }
    // More than any disk has, so that this one is in hold and looked at often.
    static cluster::DiskSettings all_is_little() {
        cluster::DiskSettings s;
        s.warning_free = s.hold_free = std::uint64_t{1} << 62U;
        s.warning_percent = s.hold_percent = 100;
        return s;
    }
    void put(const std::string& name, std::size_t size) {
        EXPECT_TRUE(os::write_file(root + "/data/pg_wal/" + name, std::string(size, 'x'), 0600));
    }
};

TEST_F(DisksTest, MeasuresAndTellsOnceThatAllIsWell) {
    ASSERT_TRUE(t.until([&] { return !told.empty(); }, 20s));
    ASSERT_EQ(disks.report()->places.size(), 1U);
    EXPECT_EQ(disks.report()->places[0].what, "data and WAL");
    EXPECT_GT(disks.report()->places[0].total, 0U);
    EXPECT_EQ(disks.report()->state, DiskState::ok);
    EXPECT_EQ(told[0].state, DiskState::ok);
    EXPECT_EQ(told[0].note, "");
}

class LittleRoom : public DisksTest {
protected:
    LittleRoom() { settings = all_is_little(); }
};

TEST_F(LittleRoom, IsToldOnceWithWhatHoldsWal) {
    constexpr std::size_t segment = 16UL << 20U;
    for (const char* name :
         {"000000010000000000000001", "000000010000000000000002", "000000010000000000000003",
          "000000010000000000000004", "000000010000000000000005"}) {
        put(name, segment);
        put("archive_status/" + std::string(name) + ".ready", 0);
    }
    view->postgres.in_recovery = false;
    view->postgres.wal = cluster::Lsn{1U << 30U};
    cluster::Slot slot;
    slot.name = "gone";
    slot.restart = cluster::Lsn{1U << 20U};
    view->postgres.slots = {slot};
    ASSERT_TRUE(t.until([&] { return measured > 2; }, 20s));
    ASSERT_EQ(told.size(), 1U);
    EXPECT_EQ(told[0].state, DiskState::hold);
    EXPECT_THAT(told[0].note, HasSubstr("slot gone 1023.0 MB (nobody reads it)"));
    EXPECT_THAT(told[0].note, HasSubstr("the archiver's queue 80.0 MB (5 segments)"));
    EXPECT_THAT(told[0].note, HasSubstr("wal_keep_size 1GB"));
    EXPECT_EQ(disks.report()->note, told[0].note);
}

TEST_F(LittleRoom, ItsEndIsToldToo) {
    ASSERT_TRUE(t.until([&] { return !told.empty(); }, 20s));
    settings = nothing_is_little();
    ASSERT_TRUE(t.until([&] { return told.size() > 1; }, 20s));
    EXPECT_EQ(told[1].state, DiskState::ok);
    EXPECT_EQ(told[1].note, "");
}

constexpr std::uint64_t mb = std::uint64_t{1} << 20U;
constexpr std::uint64_t gb = std::uint64_t{1} << 30U;

TEST(Ballast, IsMadeWhereThereIsRoomAndGivenBackWhereThereIsNone) {
    const cluster::DiskSettings s;
    EXPECT_EQ(what_of_ballast(s, 2 * gb, gb, 0), Ballast::make);
    EXPECT_EQ(what_of_ballast(s, 2 * gb, gb, 64 * mb), Ballast::leave);
    // Hold begins at 102 MB.
    EXPECT_EQ(what_of_ballast(s, 2 * gb, 90 * mb, 64 * mb), Ballast::leave);
    EXPECT_EQ(what_of_ballast(s, 2 * gb, 50 * mb, 64 * mb), Ballast::give);
    EXPECT_EQ(what_of_ballast(s, 2 * gb, 114 * mb, 0), Ballast::leave);
    EXPECT_EQ(what_of_ballast(s, 2 * gb, 300 * mb, 0), Ballast::make);
}

TEST(Ballast, OfZeroIsNone) {
    cluster::DiskSettings s;
    s.ballast = 0;
    EXPECT_EQ(what_of_ballast(s, 2 * gb, gb, 0), Ballast::leave);
    EXPECT_EQ(what_of_ballast(s, 2 * gb, gb, 64 * mb), Ballast::give);
}

TEST(Ballast, TakesNoMoreThanATwentiethOfASmallDisk) {
    EXPECT_EQ(ballast_size({}, 2048 * gb), 64 * mb);
    EXPECT_EQ(ballast_size({}, 600 * mb), 30 * mb);
    EXPECT_EQ(ballast_size({}, 100 * mb), 16 * mb);
}

TEST_F(DisksTest, KeepsTheBallastBesideTheDataDirectory) {
    EXPECT_EQ(ballast_path(root + "/data"), "") << "there is no data directory yet";
    ASSERT_TRUE(os::write_file(root + "/data/PG_VERSION", "15\n", 0600));
    const auto path = ballast_path(root + "/data");
    EXPECT_EQ(path, os::real_path(root) + "/data.ballast");
    cluster::DiskSettings s;
    s.ballast = mb;
    s.hold_free = 0;  // this disk may be full
    DiskAsk ask{.data_dir = root + "/data", .spool = {}, .ours = true, .settings = s};
    const auto seen = look_at_disks(ask);
    EXPECT_EQ(seen.ballast_problem, "");
    EXPECT_GE(seen.ballast, mb);
    ask.ours = false;
    ask.settings.ballast = 0;
    EXPECT_EQ(look_at_disks(ask).ballast_problem, "");
    EXPECT_TRUE(os::exists(path)) << "of another's nothing is touched";
    ask.ours = true;
    EXPECT_EQ(look_at_disks(ask).ballast, 0U);
    EXPECT_FALSE(os::exists(path));
}

TEST_F(DisksTest, GivesTheBallastBackBeforeItsRoomIsNeeded) {
    ASSERT_TRUE(os::write_file(root + "/data/PG_VERSION", "15\n", 0600));
    const auto path = ballast_path(root + "/data");
    DiskAsk ask{.data_dir = root + "/data", .spool = {}, .ours = true, .settings = settings};
    ask.settings.ballast = mb;
    ASSERT_GE(look_at_disks(ask).ballast, mb);
    give_ballast(ask);
    EXPECT_TRUE(os::exists(path)) << "there is room enough: it would be made again";
    ask.settings.hold_free = std::uint64_t{1} << 62U;
    ask.settings.hold_percent = 100;
    ask.ours = false;
    give_ballast(ask);
    EXPECT_TRUE(os::exists(path)) << "of another's nothing is touched";
    ask.ours = true;
    give_ballast(ask);
    EXPECT_FALSE(os::exists(path));
}

TEST_F(DisksTest, LooksAtOnceWhenToldTo) {
    settings.probe_every = 0s;
    ASSERT_TRUE(t.until([&] { return !told.empty(); }, 20s));
    for (int look = measured + 1; look < 40; ++look) {  // by itself a second or more each time
        disks.look_now();
        ASSERT_TRUE(t.until([&] { return measured >= look; }, 20s));
    }
}

TEST_F(DisksTest, IsProbedBesideTheDataDirectory) {
    const auto real = os::real_path(root);
    const auto beside = real + "/data.probe";
    EXPECT_EQ(probe_paths(root + "/data", "base/probe", false), std::vector{beside});
    EXPECT_EQ(probe_paths(root + "/data", "base/probe", true),
              (std::vector{beside, real + "/data/base/probe"}));
    ASSERT_TRUE(os::replace_link(root + "/link", root + "/data"));
    EXPECT_EQ(probe_paths(root + "/link", "base/probe", false), std::vector{beside});
    EXPECT_EQ(probe_paths(root + "/later", "base/probe", true), std::vector{real + "/later.probe"})
        << "what does not exist yet is no place";
    EXPECT_EQ(probe_paths(root + "/not/yet", "base/probe", true), std::vector<std::string>{});
    ASSERT_TRUE(t.until([&] { return !told.empty(); }, 20s));
    EXPECT_TRUE(os::exists(beside));
    ASSERT_TRUE(disks.report()->places[0].written);
    EXPECT_GT(disks.report()->places[0].written->took, Duration::zero());
}

TEST(ProbePaths, OfAMountPointAreInside) {
    EXPECT_EQ(probe_paths("/proc", "name", true), std::vector<std::string>{"/proc/name"});
    EXPECT_EQ(probe_paths("/proc", "name", false), std::vector<std::string>{});
    EXPECT_EQ(probe_paths("/", "name", true), std::vector<std::string>{});
}

TEST_F(LittleRoom, ABallastIsGivenBackBesideALook) {
    t.await(disks.make_way());
    ASSERT_TRUE(t.until([&] { return !told.empty(); }, 20s));
}

}  // namespace
}  // namespace relevo::agent
