#include "agent/backups.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <string>
#include <vector>

#include "os/test_loop.h"

namespace relevo::agent {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class FakeClock final : public ports::Clock {
public:
    Instant at{1h};
    Instant now() const override { return at; }
    WallTime wall() const override { return WallTime(1h); }
};

class FakeBackup final : public ports::Backup {
public:
    std::vector<std::string> calls;
    Status stanza, checked;
    Result<cluster::Repository> repository = cluster::Repository{};
    bool present = true, stopped = false;
    std::function<void()> on_stanza;

    bool configured() const override { return present; }
    ports::BackupConfig config() const override { return {}; }
    Task<Status> apply() override { co_return note("apply"); }
    std::vector<cluster::HistoryLine> left;
    Task<Status> let_fetch(std::optional<std::vector<cluster::HistoryLine>> lines) override {
        if (lines) left = *lines;
        co_return note(lines ? "open" : "close");
    }
    Task<Result<cluster::Repository>> info(Duration) override {
        calls.emplace_back("info");
        co_return repository;
    }
    Task<Status> create_stanza(Duration) override {
        calls.emplace_back("stanza");
        if (on_stanza) on_stanza();
        co_return stanza;
    }
    Task<Status> check(Duration) override {
        calls.emplace_back("check");
        co_return checked;
    }
    Archived in_archive;
    Task<Result<Archived>> archived(cluster::ArchiveRange archive, Duration) override {
        calls.push_back("archived " + archive.id);
        co_return in_archive;
    }
    Task<Result<std::vector<cluster::HistoryLine>>> history(cluster::ArchiveRange,
                                                            cluster::Timeline, Duration) override {
        co_return std::vector<cluster::HistoryLine>{};
    }
    Task<Result<int>> fill_archive(std::vector<cluster::HistoryLine> lines) override {
        calls.push_back("fill " + std::to_string(lines.size()));
        co_return 0;
    }
    std::string why_not_from_standby() const override { return {}; }
    Task<Result<std::string>> run(Plan) override { co_return "x"; }
    Task<Result<std::vector<std::string>>> expire(bool) override {
        co_return std::vector<std::string>{};
    }
    Task<Result<std::string>> verify() override { co_return "x"; }
    void end_job() override {}
    Task<Status> restore(RestorePlan) override { co_return Status{}; }
    void end_restore(const std::string&) override {}
    void stop() override { stopped = true; }

private:
    Status note(const char* what) {
        calls.emplace_back(what);
        return {};
    }
};

class BackupsTest : public ::testing::Test {
protected:
    os::TestLoop t;
    FakeClock clock;
    FakeBackup backup;
    Backups backups{t.loop, clock, backup};

    ports::View primary(cluster::Revision term = 7) {
        ports::View view;
        view.name = "a";
        view.leading = true;
        view.term = term;
        view.lead_until = clock.at + 10s;
        view.postgres.server = cluster::Server::running;
        view.postgres.in_recovery = false;
        view.postgres.timeline = 3;
        view.postgres.history = {{1, {}, {}, {}, {}}, {2, {}, {}, {}, {}}};
        cluster::Snapshot snapshot;
        snapshot.leader = cluster::LeaderKey{"a", 1, 1, 1};
        view.snapshot = std::make_shared<const cluster::Snapshot>(snapshot);
        return view;
    }
    // Its leader has written up to 100.
    ports::View standby(const char* leader = "b", std::uint64_t has = 100) {
        auto view = primary();
        view.leading = false;
        view.lead_until = {};
        view.term = 0;
        view.postgres.in_recovery = true;
        view.postgres.replication_state = "streaming";  // or says so
        view.postgres.replay = cluster::Lsn{has};
        cluster::Snapshot snapshot;
        if (leader != nullptr) {
            snapshot.leader = cluster::LeaderKey{leader, 1, 1, 1};
            snapshot.members[leader].role = cluster::Role::primary;
        }
        snapshot.status.optime = cluster::Lsn{100};
        view.snapshot = std::make_shared<const cluster::Snapshot>(snapshot);
        return view;
    }
    // What was called since the last time, once nothing is left to do.
    std::vector<std::string> see(const ports::View& view) {
        backups.see(view);
        t.loop.restart();
        while (t.loop.poll() > 0) {
        }
        return std::exchange(backup.calls, {});
    }
    // The calls of the first view, which every member makes.
    void begin() { EXPECT_THAT(see(standby()), ElementsAre("apply", "close")); }
};

TEST_F(BackupsTest, WithoutASectionNothingIsDone) {
    backup.present = false;
    EXPECT_THAT(see(primary()), IsEmpty());
}

TEST_F(BackupsTest, APrimaryMakesAndChecksTheStanzaOnceForEachTerm) {
    begin();
    EXPECT_THAT(see(primary(7)), ElementsAre("apply", "stanza", "check", "fill 2"));
    EXPECT_THAT(see(primary(7)), IsEmpty());
    EXPECT_THAT(see(standby()), IsEmpty());
    EXPECT_THAT(see(primary(9)), ElementsAre("apply", "stanza", "check", "fill 2"));
    backups.reloaded();
    EXPECT_THAT(see(primary(9)), ElementsAre("apply", "apply", "stanza", "check", "fill 2"));
}

TEST_F(BackupsTest, OneWhoseRightIsInDoubtMakesNoStanza) {
    begin();
    auto view = primary();
    view.lead_until = clock.at;
    EXPECT_THAT(see(view), IsEmpty());
    view = primary();
    view.postgres.in_recovery = true;
    EXPECT_THAT(see(view), IsEmpty());
}

TEST_F(BackupsTest, AStanzaThatFailedIsTriedAgainUntilItLeadsNoMore) {
    begin();
    backup.stanza = fail(ErrorCode::denied, "wrong passphrase");
    EXPECT_THAT(see(primary()), ElementsAre("apply", "stanza"));
    EXPECT_THAT(see(primary()), IsEmpty()) << "the pause is not over";
    EXPECT_THAT(see(standby()), IsEmpty());
    backup.stanza = {};
    EXPECT_THAT(see(primary()), ElementsAre("apply", "stanza", "check", "fill 2"));
}

TEST_F(BackupsTest, AReloadEndsThePause) {
    begin();
    backup.checked = fail(ErrorCode::failed, "archive_command");
    EXPECT_THAT(see(primary()), ElementsAre("apply", "stanza", "check"));
    backup.checked = {};
    backups.reloaded();
    EXPECT_THAT(see(primary()),
                UnorderedElementsAre("apply", "apply", "stanza", "check", "fill 2"));
    EXPECT_THAT(see(primary()), IsEmpty());
}

TEST_F(BackupsTest, OnlyAStandbyThatIsStuckUnderALeaderMayFetch) {
    begin();
    EXPECT_THAT(see(standby("b", 50)), IsEmpty()) << "not yet";
    clock.at += 9s;
    EXPECT_THAT(see(standby("b", 50)), IsEmpty());
    clock.at += 1s;
    EXPECT_THAT(see(standby("b", 50)), ElementsAre("open"));
    EXPECT_THAT(see(standby("b", 50)), IsEmpty());
    EXPECT_THAT(see(standby("b", 60)), IsEmpty()) << "it stays open while segments come";
    EXPECT_THAT(see(standby(nullptr, 60)), ElementsAre("close")) << "one may have to be chosen";
    clock.at += 60s;
    EXPECT_THAT(see(standby(nullptr, 60)), IsEmpty());
    auto blind = standby("b", 60);
    blind.snapshot = nullptr;
    EXPECT_THAT(see(blind), IsEmpty()) << "nor where the DCS is silent";
    EXPECT_THAT(see(standby("b", 60)), IsEmpty()) << "it counts from here";
    clock.at += 10s;
    EXPECT_THAT(see(standby("b", 60)), ElementsAre("open"));
    EXPECT_THAT(see(standby("b", 100)), ElementsAre("close"));
}

// It takes no connection, and where it is cannot be told.
TEST_F(BackupsTest, ACopyThatHasNotOpenedMayFetchWhatItsLeaderHasNotSentForLong) {
    begin();
    auto copy = standby("b", 0);
    copy.postgres.server = cluster::Server::starting;
    EXPECT_THAT(see(copy), IsEmpty());
    clock.at += 11s;
    EXPECT_THAT(see(copy), IsEmpty()) << "it was not copied: it opens by what it has";
    copy.postgres.voteless = true;
    EXPECT_THAT(see(copy), IsEmpty());
    clock.at += 11s;
    EXPECT_THAT(see(copy), ElementsAre("open"));
    EXPECT_THAT(backup.left, IsEmpty());
    EXPECT_THAT(see(standby("b", 100)), ElementsAre("close"));
}

TEST_F(BackupsTest, TheGateKnowsWhereTheLeadersLineLeftItsEarlierTimelines) {
    begin();
    const auto behind = [&](std::vector<cluster::HistoryLine> lines) {
        auto view = standby("b", 50);
        auto snapshot = *view.snapshot;
        snapshot.history = std::move(lines);
        view.snapshot = std::make_shared<const cluster::Snapshot>(snapshot);
        return view;
    };
    cluster::HistoryLine one, two;
    one.timeline = 1;
    two.timeline = 2;
    EXPECT_THAT(see(behind({one})), IsEmpty());
    clock.at += 11s;
    EXPECT_THAT(see(behind({one})), ElementsAre("open"));
    EXPECT_THAT(backup.left, ElementsAre(one));
    EXPECT_THAT(see(behind({one})), IsEmpty());
    EXPECT_THAT(see(behind({one, two})), ElementsAre("open")) << "another led meanwhile";
    EXPECT_THAT(backup.left, ElementsAre(one, two));
}

// Where its line left the last timeline is not known until then.
TEST_F(BackupsTest, UnderANewLeaderTheTimeCountsFromWhenItIsThePrimary) {
    begin();
    const auto under = [&](cluster::Revision term, cluster::Role role) {
        auto view = standby("b", 50);
        auto snapshot = *view.snapshot;
        snapshot.leader->create_revision = term;
        snapshot.members["b"].role = role;
        view.snapshot = std::make_shared<const cluster::Snapshot>(snapshot);
        return view;
    };
    EXPECT_THAT(see(under(1, cluster::Role::primary)), IsEmpty());
    clock.at += 10s;
    EXPECT_THAT(see(under(1, cluster::Role::primary)), ElementsAre("open"));
    EXPECT_THAT(see(under(2, cluster::Role::replica)), ElementsAre("close"));
    clock.at += 60s;
    EXPECT_THAT(see(under(2, cluster::Role::replica)), IsEmpty()) << "it is promoted for long";
    EXPECT_THAT(see(under(2, cluster::Role::primary)), IsEmpty());
    clock.at += 9s;
    EXPECT_THAT(see(under(2, cluster::Role::primary)), IsEmpty());
    clock.at += 1s;
    EXPECT_THAT(see(under(2, cluster::Role::primary)), ElementsAre("open"));
    EXPECT_THAT(see(under(3, cluster::Role::primary)), ElementsAre("close"));
}

TEST_F(BackupsTest, OneThatGetsOnIsNotStuck) {
    begin();
    for (std::uint64_t has = 10; has < 90; has += 10) {
        EXPECT_THAT(see(standby("b", has)), IsEmpty());
        clock.at += 9s;
    }
}

TEST_F(BackupsTest, ManyWhoAskCostOneLookIntoTheRepository) {
    begin();
    int answered = 0;
    for (int i = 0; i < 5; ++i)
        boost::asio::co_spawn(t.loop, backups.list(),
                              [&](const std::exception_ptr&, const Result<cluster::Repository>& r) {
                                  answered += r.has_value();
                              });
    ASSERT_TRUE(t.until([&] { return answered == 5; }, 5s));
    EXPECT_THAT(backup.calls, ElementsAre("info"));
    clock.at += 2s;
    EXPECT_TRUE(t.await(backups.list()));
    EXPECT_THAT(backup.calls, ElementsAre("info", "info"));
    // Whoever expired a backup does not see it again.
    backups.repository_changed();
    EXPECT_TRUE(t.await(backups.list()));
    EXPECT_THAT(backup.calls, ElementsAre("info", "info", "info"));
}

TEST_F(BackupsTest, ACheckSaysWhatItWasWorth) {
    begin();
    EXPECT_THAT(t.await(backups.check()).text, HasSubstr("the stanza does not exist"));
    backup.repository->repositories.emplace_back();
    EXPECT_THAT(t.await(backups.check()).text, HasSubstr("can be read from here"));
    (void)see(primary());
    EXPECT_THAT(t.await(backups.check()).text, HasSubstr("WAL reaches"));
    auto& made = backup.repository->backups.emplace_back();
    made.label = "20260514-010000F";
    made.wal_start = "000000030000000000000005";
    backup.repository->archives.emplace_back().id = "15-1";
    backup.in_archive = {.segments = {"000000030000000000000005", "000000030000000000000006"},
                         .stored = {},
                         .histories = {},
                         .segment_bytes = 16U << 20U};
    auto whole = t.await(backups.check());
    EXPECT_EQ(whole.code, 200);
    EXPECT_THAT(whole.text, HasSubstr("none is missing since backup 20260514-010000F"));
    backup.in_archive.segments.emplace_back("000000030000000000000009");
    const auto holed = t.await(backups.check());
    EXPECT_EQ(holed.code, 503);
    EXPECT_THAT(holed.text,
                HasSubstr("2 from 000000030000000000000007 to 000000030000000000000008"));
    EXPECT_THAT(holed.text, HasSubstr("make one now"));
    // A newer backup: what lies in the hole is lost, and nothing is to be done.
    auto& newer = backup.repository->backups.emplace_back();
    newer.label = "20260514-020000F";
    newer.wal_start = "000000030000000000000009";
    const auto closed = t.await(backups.check());
    EXPECT_EQ(closed.code, 200);
    EXPECT_THAT(closed.text, HasSubstr("none is missing since backup 20260514-020000F"));
    EXPECT_THAT(closed.text, HasSubstr("since backup 20260514-010000F: 2 from"));
    backup.checked = fail(ErrorCode::unavailable, "no answer");
    const auto reply = t.await(backups.check());
    EXPECT_EQ(reply.code, 503);
    EXPECT_EQ(reply.text, "no answer");
}

// Of another repository, or from before pg_upgrade, is what stands first and last in the lists.
TEST_F(BackupsTest, ACheckComparesABackupWithTheWalOfItsRepository) {
    begin();
    (void)see(primary());
    const auto add = [&](const char* label, int repository, const char* system, const char* wal) {
        auto& made = backup.repository->backups.emplace_back();
        made.label = label;
        made.repository = repository;
        made.system_id = system;
        made.wal_start = wal;
    };
    add("20260101-010000F", 1, "7001", "000000010000000000000001");
    add("20260510-010000F", 2, "7002", "000000030000000000000001");
    add("20260514-010000F", 1, "7002", "000000030000000000000005");
    backup.repository->archives = {
        {1, "14-1", "7001", {}, {}}, {1, "15-2", "7002", {}, {}}, {2, "15-1", "7002", {}, {}}};
    backup.in_archive = {.segments = {"000000030000000000000005", "000000030000000000000006"},
                         .stored = {},
                         .histories = {},
                         .segment_bytes = 16U << 20U};
    const auto whole = t.await(backups.check());
    EXPECT_EQ(whole.code, 200) << whole.text;
    EXPECT_THAT(whole.text, HasSubstr("none is missing since backup 20260514-010000F"));
    EXPECT_THAT(backup.calls, ::testing::Contains("archived 15-2"));
}

TEST_F(BackupsTest, StoppingEndsThePauseToo) {
    begin();
    backup.stanza = fail(ErrorCode::denied, "wrong passphrase");
    (void)see(primary());
    t.await(backups.stop());
    EXPECT_TRUE(backup.stopped);
    EXPECT_THAT(see(primary()), IsEmpty());
}

}  // namespace
}  // namespace relevo::agent
