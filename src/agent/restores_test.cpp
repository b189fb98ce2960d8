#include "agent/restores.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>

#include "os/file.h"
#include "os/test_loop.h"

namespace relevo::agent {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;

class FakeClock final : public ports::Clock {
public:
    WallTime time = parse_iso("2026-05-14T10:00:00Z")->time;
    Instant now() const override { return Instant(1h); }
    WallTime wall() const override { return time; }
};

// One backup on timeline 1; a restore makes a few files and waits for the test.
class PlayedBackup final : public ports::Backup {
public:
    explicit PlayedBackup(boost::asio::io_context& io) : over(io) {
        over.expires_at(boost::asio::steady_timer::time_point::max());
        cluster::BackupRecord backup;
        backup.label = "20260514-010000F";
        backup.stopped = parse_iso("2026-05-14T01:00:10Z")->time;
        backup.wal_start = backup.wal_stop = "000000010000000000000005";
        backup.lsn_start = cluster::Lsn{0x5000028};
        backup.lsn_stop = cluster::Lsn{0x5000100};
        backup.system_id = "77";
        backup.postgres_version = "15";
        backup.database_bytes = 1000;
        repository.backups = {backup};
        repository.archives = {
            {.repository = 1, .id = "15-1", .system_id = "77", .wal_min = {}, .wal_max = {}}};
        archive.segments = {"000000010000000000000005", "000000010000000000000006"};
        const auto stored = parse_iso("2026-05-14T03:00:00Z")->time;
        archive.stored = {stored, stored};
        archive.segment_bytes = 16U << 20U;
    }

    cluster::Repository repository;
    Archived archive;
    Result<void> outcome;
    bool present = true, running = false, told = false, ended = false;
    RestorePlan plan;
    boost::asio::steady_timer over;
    std::vector<cluster::Timeline> histories_asked;

    bool configured() const override { return present; }
    ports::BackupConfig config() const override { return {}; }
    Task<Status> apply() override { co_return Status{}; }
    Task<Status> let_fetch(std::optional<std::vector<cluster::HistoryLine>>) override {
        co_return Status{};
    }
    Task<Result<cluster::Repository>> info(Duration) override { co_return repository; }
    Task<Status> create_stanza(Duration) override { co_return Status{}; }
    Task<Status> check(Duration) override { co_return Status{}; }
    Task<Result<Archived>> archived(cluster::ArchiveRange, Duration) override { co_return archive; }
    Task<Result<std::vector<cluster::HistoryLine>>> history(cluster::ArchiveRange,
                                                            cluster::Timeline timeline,
                                                            Duration) override {
        histories_asked.push_back(timeline);
        cluster::HistoryLine left;
        left.timeline = 1;
        left.switch_point = cluster::Lsn{0x6000100};
        co_return std::vector<cluster::HistoryLine>{left};
    }
    Task<Result<int>> fill_archive(std::vector<cluster::HistoryLine>) override { co_return 0; }
    std::string why_not_from_standby() const override { return {}; }
    Task<Result<std::string>> run(Plan) override { co_return std::string(); }
    Task<Result<std::vector<std::string>>> expire(bool) override {
        co_return std::vector<std::string>{};
    }
    Task<Result<std::string>> verify() override { co_return std::string(); }
    void end_job() override {}
    Task<Status> restore(RestorePlan asked) override {
        plan = std::move(asked);
        put("PG_VERSION", "15\n");
        put("postgresql.conf", "port = 5432\ndata_directory = '/elsewhere'\n");
        put("postgresql.auto.conf", "restore_command = 'x'\n");
        put("pg_hba.conf.backup", "local all all peer\n");
        running = true;
        plan.progress({.done_bytes = 500, .total_bytes = 0, .percent = 50});
        while (!ended && !told) {
            boost::system::error_code ignored;
            co_await over.async_wait(
                boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
        }
        running = false;
        if (std::exchange(told, false)) co_return fail(ErrorCode::cancelled, "ended");
        ended = false;
        co_return outcome;
    }
    void end_restore(const std::string& into) override {
        told = running && into == plan.into;
        over.cancel();
    }
    void stop() override {}
    void finish(Status how = {}) {
        outcome = std::move(how);
        ended = true;
        over.cancel();
    }

private:
    void put(const char* name, const char* text) const {
        std::ofstream(plan.into + "/" + name) << text;
    }
};

class RestoresTest : public ::testing::Test {
protected:
    void SetUp() override {
        directory = *os::make_temporary_directory("relevo-restores-");
        ASSERT_TRUE(os::make_directory(directory + "/data", 0700));
        ASSERT_TRUE(os::write_file(directory + "/data/PG_VERSION", "15\n", 0600));
        ports::View view;
        view.name = "pg-1";
        view.postgres.timeline = 1;
        restores.see(view);
    }
    void TearDown() override {
        t.await(restores.stop());
        ASSERT_TRUE(os::remove_tree(directory));
    }
    ports::RestoreOrder order(const std::string& into = {}) const {
        ports::RestoreOrder out;
        out.into = into.empty() ? std::string() : directory + "/" + into;
        return out;
    }
    ports::Reply ask(ports::RestoreOrder what) { return t.await(restores.order(std::move(what))); }
    bool state_becomes(const char* word) {
        return t.until(
            [&] { return restores.state().text.contains(fmt::format(R"("state":"{}")", word)); },
            10s);
    }
    std::string read(const std::string& name) const {
        return os::read_file(directory + "/" + name).value_or("(none)");
    }

    os::TestLoop t;
    FakeClock clock;
    PlayedBackup backup{t.loop};
    std::string directory;
    Restores restores{t.loop, clock, backup, t.pool, [this] { return directory + "/data"; }};
};

TEST_F(RestoresTest, WithoutADirectoryItIsOnlyPlanned) {
    const auto reply = ask(order());
    EXPECT_EQ(reply.code, 200);
    EXPECT_THAT(reply.text,
                AllOf(HasSubstr(R"("member":"pg-1")"), HasSubstr(R"("label":"20260514-010000F")")));
    EXPECT_THAT(restores.state().text, HasSubstr(R"("state":"none")"));
    auto early = order("new");
    early.target = *cluster::target_at_time("2026-05-13 10:00+00");
    EXPECT_EQ(ask(early).code, 412);
    EXPECT_THAT(ask(early).text, HasSubstr(R"("problem":"2026-05-13 10:00:00+00 is before)"));
    early.dry_run = true;
    EXPECT_EQ(ask(early).code, 200);
    EXPECT_FALSE(os::exists(directory + "/new"));
}

TEST_F(RestoresTest, WhatIsRestoredIsHalfMadeUntilItIsWhole) {
    const auto reply = ask(order("new/"));
    ASSERT_EQ(reply.code, 202) << reply.text;
    ASSERT_TRUE(t.until([&] { return backup.running; }, 10s));
    EXPECT_EQ(read("new.half_made"), "restore\n");
    EXPECT_EQ(backup.plan.into, directory + "/new");
    EXPECT_EQ(backup.plan.backup, "20260514-010000F");
    EXPECT_EQ(to_string(backup.plan.target.timeline), "1");
    clock.time += 10s;
    EXPECT_THAT(restores.state().text,
                AllOf(HasSubstr(R"("percent":50.00)"), HasSubstr(R"("total_bytes":1000)"),
                      HasSubstr(R"("eta_s":10)")));
    EXPECT_EQ(ask(order("other")).code, 409);
    backup.finish();
    ASSERT_TRUE(state_becomes("done")) << restores.state().text;
    EXPECT_FALSE(os::exists(directory + "/new.half_made"));
    EXPECT_EQ(read("new/postgresql.conf"), "port = 5432\n");
    EXPECT_EQ(read("new/pg_hba.conf"), "local all all peer\n");
    EXPECT_THAT(read("new/postgresql.auto.conf"),
                AllOf(HasSubstr("restore_command = 'x'\n"), HasSubstr("archive_mode = 'off'"),
                      HasSubstr("hba_file = '" + directory + "/new/pg_hba.conf'")));
    EXPECT_EQ(ask(order("new")).code, 409) << "it is not empty any more";
}

TEST_F(RestoresTest, WhatFailsIsClearedAway) {
    ASSERT_EQ(ask(order("new")).code, 202);
    ASSERT_TRUE(t.until([&] { return backup.running; }, 10s));
    backup.finish(fail(ErrorCode::not_found, "the backup is gone"));
    ASSERT_TRUE(state_becomes("failed"));
    EXPECT_THAT(restores.state().text, HasSubstr(R"("result":"the backup is gone")"));
    EXPECT_EQ(*os::directory_state(directory + "/new"), os::DirectoryState::empty);
    EXPECT_FALSE(os::exists(directory + "/new.half_made"));
    ASSERT_EQ(ask(order("new")).code, 202) << "and it can be tried again";
    ASSERT_TRUE(t.until([&] { return backup.running; }, 10s));
    EXPECT_EQ(restores.cancel().code, 200);
    ASSERT_TRUE(state_becomes("failed"));
    EXPECT_THAT(restores.state().text, HasSubstr("it was cancelled"));
    EXPECT_EQ(restores.cancel().code, 404);
}

// The agent died in the middle of one.
TEST_F(RestoresTest, AHalfMadeOneOfOursIsBegunAnew) {
    ASSERT_TRUE(os::make_directory(directory + "/new", 0700));
    ASSERT_TRUE(os::write_file(directory + "/new/PG_VERSION", "15\n", 0600));
    EXPECT_EQ(ask(order("new")).code, 409);
    ASSERT_TRUE(os::write_file(directory + "/new.half_made", "bootstrap\n", 0600));
    EXPECT_EQ(ask(order("new")).code, 409) << "another's";
    ASSERT_TRUE(os::write_file(directory + "/new.half_made", "restore\n", 0600));
    ASSERT_TRUE(os::write_file(directory + "/new/rest", "x", 0600));
    ASSERT_EQ(ask(order("new")).code, 202);
    ASSERT_TRUE(t.until([&] { return backup.running; }, 10s));
    EXPECT_FALSE(os::exists(directory + "/new/rest"));
    backup.finish();
    ASSERT_TRUE(state_becomes("done"));
}

TEST_F(RestoresTest, DirectoriesThatWillNotDo) {
    for (const char* into : {"data", "data/sub", "data/../data", "missing/new", "data/PG_VERSION"})
        EXPECT_EQ(ask(order(into)).code, 409) << into;
    ports::RestoreOrder relative;
    relative.into = "new";
    EXPECT_EQ(ask(relative).code, 400);
    ports::RestoreOrder above;
    above.into = directory;
    EXPECT_THAT(ask(above).text, HasSubstr("holds or lies in this member's data directory"));
    ASSERT_TRUE(os::replace_link(directory + "/link", directory + "/data"));
    EXPECT_EQ(ask(order("link")).code, 409);
    EXPECT_EQ(ask(order("link/sub")).code, 409);
    backup.repository.backups[0].database_bytes = 1ULL << 60U;
    EXPECT_THAT(ask(order("new")).text, HasSubstr("not enough room"));
    EXPECT_EQ(read("data/PG_VERSION"), "15\n");
}

TEST_F(RestoresTest, ADryRunLooksAtTheDirectoryToo) {
    auto what = order("data");
    what.dry_run = true;
    EXPECT_EQ(ask(what).code, 409);
    what.into = directory + "/new";
    EXPECT_EQ(ask(what).code, 200);
    EXPECT_FALSE(os::exists(directory + "/new"));
    EXPECT_FALSE(os::exists(directory + "/new.half_made"));
}

TEST_F(RestoresTest, TheClustersTimelineIsTheLine) {
    backup.archive.segments = {"000000010000000000000005", "000000020000000000000006"};
    backup.archive.histories = {2, 3};
    ports::View view;
    view.name = "pg-1";
    view.postgres.timeline = 2;
    restores.see(view);
    EXPECT_THAT(ask(order()).text,
                AllOf(HasSubstr(R"("timeline":"2")"),
                      HasSubstr(R"("last_segment":"000000020000000000000006")")));
    EXPECT_EQ(backup.histories_asked, std::vector<cluster::Timeline>{2});
}

TEST_F(RestoresTest, WithoutASectionThereIsNothingToRestoreFrom) {
    backup.present = false;
    EXPECT_EQ(ask(order("new")).code, 404);
}

TEST_F(RestoresTest, StoppingEndsIt) {
    ASSERT_EQ(ask(order("new")).code, 202);
    ASSERT_TRUE(t.until([&] { return backup.running; }, 10s));
    t.await(restores.stop());
    EXPECT_FALSE(backup.running);
    EXPECT_EQ(*os::directory_state(directory + "/new"), os::DirectoryState::empty);
    EXPECT_EQ(ask(order("new")).code, 503);
}

}  // namespace
}  // namespace relevo::agent
