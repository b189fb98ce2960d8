// Disks that take no writes (docs/adr/0022), as a whole: probes that are refused or hang, and looks
// that hang.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/disks.h"
#include "agent/fake_disk.h"
#include "os/clock.h"
#include "os/test_loop.h"

namespace relevo::agent {
namespace {

using namespace std::chrono_literals;
using cluster::DiskState;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using What = cluster::ProbeAnswer::What;

class FailingDisks : public ::testing::Test {
public:
    ~FailingDisks() override {
        for (FakeDisk* disk : {&host->data, &host->wal, &host->spool, &host->looks})
            disk->hangs(false);
        t.await(disks.stop());
    }

protected:
    struct Clock final : ports::Clock {
        Duration ahead{};
        Instant now() const override { return os::boottime_now() + ahead; }
        WallTime wall() const override { return os::wall_now(); }
    };
    // Data, WAL and the archive's spool, each on a disk of its own.
    struct Host {
        FakeDisk data, wal, spool;
        FakeDisk looks;  // hangs: so do looks at data
        std::atomic<int> looked = 0;
        std::atomic<bool> wal_unseen = false, wal_moved = false, spool_unseen = false;
        std::atomic<std::uint64_t> free = std::uint64_t{500} << 30U;

        DiskSeen look(const DiskAsk& ask) {
            looks.wait();
            DiskSeen seen;
            const std::uint64_t total = std::uint64_t{1000} << 30U;
            seen.places.push_back({"data", true, 1, total, free, {"data"}});
            seen.vital_unseen = wal_unseen;
            if (wal_unseen)
                seen.problem = "cannot look at /wal: Input/output error";
            else
                seen.places.push_back({"WAL", true, wal_moved ? 4U : 2U, total, free, {"wal"}});
            if (ask.past_vital) *ask.past_vital = true;
            spool.wait();
            if (spool_unseen)
                seen.problem = "cannot look at /spool: Permission denied";
            else
                seen.places.push_back({"archive spool", false, 3, total, free, {}});
            ++looked;
            return seen;
        }
    };
    os::TestLoop t;
    Clock clock;
    cluster::DiskSettings settings;
    std::shared_ptr<ports::View> view = std::make_shared<ports::View>();
    std::shared_ptr<Host> host = std::make_shared<Host>();
    std::vector<core::DiskSeen> told;
    Disks disks{t.loop, parts()};

    FailingDisks() {
        settings.probe_every = 1s;
        settings.failed_after = 1s;
        view->scope = "batman";
        view->name = "pg-1";
    }
    Disks::Parts parts() {
        return {.clock = clock,
                .where = [] { return DiskAsk{}; },
                .settings = [this] { return settings; },
                .wal_keep_size = [] { return std::string(); },
                .view = [this] { return view; },
                .measured = [] {},
                .changed = [this](core::DiskSeen seen) { told.push_back(std::move(seen)); },
                .look = [host = host](const DiskAsk& ask) { return host->look(ask); },
                .probe =
                    [host = host](const DiskProbes::Paths& paths) {
                        return (paths.at(0) == "wal" ? host->wal : host->data).probe();
                    }};
    }
    bool until(const std::function<bool()>& condition) { return t.until(condition, 30s); }
    bool tells(std::size_t times) {
        return until([&] { return told.size() >= times; });
    }
    std::vector<DiskState> states() const {
        std::vector<DiskState> out;
        for (const auto& place : disks.report()->places) out.push_back(place.state);
        return out;
    }
};

TEST_F(FailingDisks, OneRefusalIsNone) {
    host->wal.refuses(1);
    disks.start();
    ASSERT_TRUE(until([&] { return host->wal.asked() > 2; }));
    ASSERT_EQ(told.size(), 1U);
    EXPECT_EQ(told[0].state, DiskState::ok);
}

TEST_F(FailingDisks, TwoAreToldWithThePlaceTheErrorAndWhatToDo) {
    disks.start();
    ASSERT_TRUE(tells(1));
    host->wal.answers(What::refused);
    ASSERT_TRUE(tells(2));
    EXPECT_EQ(told[1].state, DiskState::failed);
    EXPECT_THAT(told[1].note, StartsWith("WAL: cannot sync /probe: Input/output error. To do: "));
    EXPECT_THAT(told[1].note, HasSubstr("`relevoctl reinit batman pg-1`"));
    EXPECT_EQ(disks.report()->note, told[1].note);
    EXPECT_EQ(states(), (std::vector{DiskState::ok, DiskState::failed, DiskState::ok}));
    EXPECT_TRUE(disks.report()->places[1].written) << "the last one that came through is kept";
    host->wal.answers(What::written);
    ASSERT_TRUE(tells(3));
    EXPECT_EQ(told[2].state, DiskState::ok);
    EXPECT_EQ(told[2].note, "");
}

TEST_F(FailingDisks, BothAreToldWhenTheSecondFollows) {
    disks.start();
    ASSERT_TRUE(tells(1));
    host->wal.answers(What::refused);
    ASSERT_TRUE(tells(2));
    host->data.hangs(true);
    ASSERT_TRUE(tells(3));
    EXPECT_THAT(told[2].note, StartsWith("data: a page was not written within 1 s; WAL: cannot "));
}

TEST_F(FailingDisks, AStallIsToldAndOnePageEndsIt) {
    settings.failed_after = 2s;
    disks.start();
    ASSERT_TRUE(tells(1));
    host->data.hangs(true);
    ASSERT_TRUE(tells(2));
    EXPECT_EQ(told[1].state, DiskState::failed);
    EXPECT_THAT(told[1].note, StartsWith("data: a page was not written within 2 s. To do: "));
    host->data.hangs(false);
    ASSERT_TRUE(tells(3));
    EXPECT_EQ(told[2].state, DiskState::ok);
}

TEST_F(FailingDisks, WhatIsNearlyFullAsWellIsToldWhenItTakesWritesAgain) {
    host->free = 1;
    host->wal.answers(What::refused);
    disks.start();
    ASSERT_TRUE(until([&] { return !told.empty() && told.back().state == DiskState::failed; }));
    host->wal.answers(What::written);
    ASSERT_TRUE(until([&] { return told.back().state == DiskState::hold; }));
    EXPECT_THAT(told.back().note, StartsWith("data: 1 B of 1000.0 GB free"));
}

TEST_F(FailingDisks, ALookThatHangsBesideProbesThatDoNotIsNoFailure) {
    disks.start();
    ASSERT_TRUE(tells(1));
    host->looks.hangs(true);
    disks.look_now();
    const int before = host->data.asked();
    ASSERT_TRUE(until([&] { return host->data.asked() > before + 5; }));
    EXPECT_EQ(told.size(), 1U);
}

TEST_F(FailingDisks, ALookThatHangsWithAProbeIsAFailureOfThatPlace) {
    disks.start();
    ASSERT_TRUE(tells(1));
    host->looks.hangs(true);
    host->wal.hangs(true);
    disks.look_now();
    ASSERT_TRUE(tells(2));
    EXPECT_THAT(told[1].note, StartsWith("WAL: a page was not written within 1 s. To do: "));
    host->wal.hangs(false);
    ASSERT_TRUE(tells(3)) << "although the look still hangs";
    EXPECT_EQ(told[2].state, DiskState::ok);
}

TEST_F(FailingDisks, ALookThatHasHungSinceTheBeginningIsAFailure) {
    host->looks.hangs(true);
    disks.start();
    ASSERT_TRUE(tells(1));
    EXPECT_EQ(told[0].state, DiskState::failed);
    EXPECT_THAT(told[0].note, StartsWith("data or WAL: no answer to a look within 1 s. To do: "));
    host->looks.hangs(false);
    ASSERT_TRUE(tells(2));
    EXPECT_EQ(told[1].state, DiskState::ok);
}

TEST_F(FailingDisks, NotOneThatHangsAtTheSpool) {
    host->spool.hangs(true);
    disks.start();
    EXPECT_FALSE(t.until([&] { return !told.empty(); }, 3s));
}

TEST_F(FailingDisks, WithoutProbesNothingIsTold) {
    settings.probe_every = 0s;
    host->data.answers(What::refused);
    disks.start();
    ASSERT_TRUE(tells(1));
    host->looks.hangs(true);
    disks.look_now();
    EXPECT_FALSE(t.until([&] { return told.size() > 1; }, 3s));
    EXPECT_EQ(host->data.asked(), 0);
    EXPECT_EQ(told[0].state, DiskState::ok);
}

TEST_F(FailingDisks, WhatIsSwitchedOffEndsIt) {
    host->data.answers(What::refused);
    disks.start();
    ASSERT_TRUE(until([&] { return !told.empty() && told.back().state == DiskState::failed; }));
    settings.probe_every = 0s;
    ASSERT_TRUE(until([&] { return told.back().state == DiskState::ok; }));
}

TEST_F(FailingDisks, ADiskThatCannotEvenBeLookedAtIsGoneOnProbing) {
    disks.start();
    ASSERT_TRUE(tells(1));
    host->wal_unseen = true;
    host->wal.answers(What::refused);
    ASSERT_TRUE(tells(2));
    EXPECT_THAT(told[1].note, StartsWith("WAL: cannot sync"));
    const int before = host->looked;
    disks.look_now();
    ASSERT_TRUE(until([&] { return host->looked > before; }));
    const int asked = host->wal.asked();
    ASSERT_TRUE(until([&] { return host->wal.asked() > asked + 1; }));
    EXPECT_EQ(told.size(), 2U);
    EXPECT_EQ(disks.report()->state, DiskState::failed);
}

TEST_F(FailingDisks, WhatWasReplacedIsForgottenAlsoWhereTheSpoolIsNeverSeen) {
    host->spool_unseen = true;
    settings.failed_after = 3600s;
    disks.start();
    ASSERT_TRUE(tells(1));
    host->wal.answers(What::refused);
    ASSERT_TRUE(tells(2));
    EXPECT_EQ(told[1].state, DiskState::failed);
    host->wal.answers(What::written);
    host->wal_moved = true;
    disks.look_now();
    ASSERT_TRUE(tells(3));
    EXPECT_EQ(told[2].state, DiskState::ok);
}

TEST_F(FailingDisks, NothingIsToldBeforeTheFirstProbeHasComeBack) {
    settings.failed_after = 3600s;
    host->data.hangs(true);
    disks.start();
    ASSERT_TRUE(until([&] { return host->wal.asked() > 2; }));
    EXPECT_TRUE(told.empty());
    host->data.hangs(false);
    ASSERT_TRUE(tells(1));
    EXPECT_EQ(told[0].state, DiskState::ok);
}

}  // namespace
}  // namespace relevo::agent
