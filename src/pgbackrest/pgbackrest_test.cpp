// The adapter with a program in pgBackRest's place; the real one: tests/e2e/backup_scenarios.py.
#include "pgbackrest/pgbackrest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <chrono>
#include <cstdlib>

#include "os/file.h"
#include "os/test_loop.h"
#include "pgbackrest/info_test_data.h"

namespace relevo::pgbackrest {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class Adapter : public ::testing::Test {
protected:
    void SetUp() override {
        directory = *os::make_temporary_directory("relevo-pgbackrest-");
        settings.config.present = true;
        settings.config.stanza = "main";
        settings.config.program = directory + "/program";
        settings.config.options["repo1-cipher-pass"] = {"xyzzy"};
        settings.directory = directory + "/data.pgbackrest";
        settings.file = settings.directory + "/pgbackrest.conf";
        settings.gate = settings.directory + "/fetch";
        settings.data_dir = directory + "/data";
        settings.user = "postgres";
        settings.password = "hunter2";
    }
    void TearDown() override { ASSERT_TRUE(os::remove_tree(directory)); }

    // "$@" are its words.
    void program(const std::string& script) const {
        ASSERT_TRUE(os::write_file(settings.config.program, "#!/bin/sh\n" + script, 0700));
    }
    static mode_t mode(const std::string& path) {
        struct stat info{};
        return ::stat(path.c_str(), &info) == 0 ? info.st_mode & 0777U : 0;
    }

    os::TestLoop t;
    std::string directory;
    Settings settings;
    PgBackRest backup{t.loop,
                      t.pool,
                      {.section = [this]() -> const auto& { return settings.config; },
                       .settings = [this] { return settings; }}};
};

TEST_F(Adapter, WhatIsRenderedIsForOurUserAlone) {
    ASSERT_TRUE(t.await(backup.apply()));
    EXPECT_EQ(mode(settings.directory), 0700U);
    EXPECT_EQ(mode(settings.file), 0600U);
    EXPECT_EQ(mode(settings.directory + "/pgpass"), 0600U);
    EXPECT_THAT(*os::read_file(settings.file), HasSubstr("repo1-cipher-pass=xyzzy\n"));
    settings.config.options["repo1-cipher-pass"] = {"plugh"};
    settings.password.clear();
    ASSERT_TRUE(t.await(backup.apply()));
    EXPECT_THAT(*os::read_file(settings.file), HasSubstr("repo1-cipher-pass=plugh\n"));
    EXPECT_FALSE(os::exists(settings.directory + "/pgpass"));
}

TEST_F(Adapter, TheOperatorsOwnFileIsLeftAloneAndOursGoes) {
    ASSERT_TRUE(t.await(backup.apply()));
    const auto ours = settings.file;
    settings.config.config = settings.file = directory + "/own.conf";
    ASSERT_TRUE(os::write_file(settings.file, "[main]\n", 0640));
    ASSERT_TRUE(t.await(backup.apply()));
    EXPECT_EQ(*os::read_file(settings.file), "[main]\n");
    EXPECT_FALSE(os::exists(ours));
}

TEST_F(Adapter, TheGateOpensAndCloses) {
    cluster::HistoryLine left;
    left.timeline = 3;
    left.switch_point = cluster::Lsn{0x2'0500'0028};
    ASSERT_TRUE(t.await(backup.let_fetch(std::vector{left})));
    EXPECT_EQ(*os::read_file(settings.gate), ".*[.]history\n000000030000000200000005\n");
    ASSERT_TRUE(t.await(backup.let_fetch(std::nullopt)));
    ASSERT_TRUE(t.await(backup.let_fetch(std::nullopt)));
    EXPECT_FALSE(os::exists(settings.gate));
}

TEST_F(Adapter, InfoIsReadAndNobodysEnvironmentCounts) {
    ::setenv("PGBACKREST_REPO1_PATH", "/elsewhere", 1);
    program(std::string("[ -z \"$PGBACKREST_REPO1_PATH\" ] || exit 9\n"
                        "[ \"$PGPASSFILE\" = ") +
            settings.directory + "/pgpass ] || exit 8\ncat <<'END'\n" + testing::two_backups +
            "\nEND\n");
    const auto repository = t.await(backup.info(10s));
    ::unsetenv("PGBACKREST_REPO1_PATH");
    ASSERT_TRUE(repository) << repository.error().message;
    EXPECT_EQ(repository->backups.size(), 2U);
}

TEST_F(Adapter, AnErrorInsideOfTheAnswerIsAnError) {
    program(R"(cat <<'END'
[{"name":"main","status":{"code":99,"message":"other"},"repo":[{"key":1,"cipher":"aes-256-cbc",
"status":{"code":99,"message":"[CryptoError] cipher header invalid: xyzzy"}}]}]
END
)");
    const auto repository = t.await(backup.info(10s));
    ASSERT_FALSE(repository);
    EXPECT_EQ(repository.error().code, ErrorCode::denied);
    EXPECT_THAT(repository.error().message,
                AllOf(HasSubstr("repo-cipher-pass"), Not(HasSubstr("xyzzy"))));
}

TEST_F(Adapter, ARepositoryThatHangsCostsTheDeadline) {
    program("sleep 60\n");
    const auto began = std::chrono::steady_clock::now();
    const auto repository = t.await(backup.info(200ms));
    ASSERT_FALSE(repository);
    EXPECT_EQ(repository.error().code, ErrorCode::unavailable);
    EXPECT_LT(std::chrono::steady_clock::now() - began, 10s);
}

TEST_F(Adapter, ABackupTellsItsProgressAndItsLabel) {
    program(
        "echo 'P01 DETAIL: backup file /d/1 (8KB, 50%) checksum'\n"
        "echo 'P00   INFO: new backup label = 20260514-010000F'\n");
    std::vector<double> shares;
    ports::Backup::Plan plan;
    plan.progress = [&](const cluster::BackupProgress& progress) {
        shares.push_back(*progress.percent);
    };
    const auto label = t.await(backup.run(std::move(plan)));
    ASSERT_TRUE(label) << label.error().message;
    EXPECT_EQ(*label, "20260514-010000F");
    EXPECT_THAT(shares, ElementsAre(50.0));
}

TEST_F(Adapter, AJobIsEndedWithAllItStarted) {
    program("sleep 600 & echo $! >" + directory + "/child; echo started; wait\n");
    std::optional<Result<std::string>> ended;
    boost::asio::co_spawn(
        t.loop, backup.run({}),
        [&](const std::exception_ptr&, Result<std::string> result) { ended = std::move(result); });
    ASSERT_TRUE(
        t.until([&] { return os::read_file(directory + "/child").value_or("") != ""; }, 10s));
    backup.end_job();
    ASSERT_TRUE(t.until([&] { return ended.has_value(); }, 10s));
    ASSERT_FALSE(*ended);
    EXPECT_EQ(ended->error().code, ErrorCode::cancelled);
    const auto child = std::stoi(*os::read_file(directory + "/child"));
    EXPECT_TRUE(t.until(
        [&] {
            return ::kill(child, 0) != 0 || !os::exists("/proc/" + std::to_string(child) + "/exe");
        },
        5s));
}

TEST_F(Adapter, ABackupIsEndedAlsoAfterSomebodyAskedWhatRetentionWouldRemove) {
    program(
        "case \" $* \" in *\" expire \"*) exit 0 ;; esac\n"
        "echo >" +
        directory + "/child; exec sleep 600\n");
    std::optional<Result<std::string>> ended;
    boost::asio::co_spawn(
        t.loop, backup.run({}),
        [&](const std::exception_ptr&, Result<std::string> result) { ended = std::move(result); });
    ASSERT_TRUE(t.until([&] { return os::exists(directory + "/child"); }, 10s));
    ASSERT_TRUE(t.await(backup.expire(true)));
    EXPECT_FALSE(ended);
    backup.end_job();
    ASSERT_TRUE(t.until([&] { return ended.has_value(); }, 10s));
    EXPECT_EQ(ended->error().code, ErrorCode::cancelled);
}

TEST_F(Adapter, ARestoreTellsHowFarItIs) {
    program("echo \"$@\" >" + directory + "/words\n" +
            "echo 'P01 DETAIL: restore file /d/1 (8KB, 50%) checksum 0f'\n");
    std::vector<double> shares;
    ports::Backup::RestorePlan plan;
    plan.into = directory + "/new";
    plan.progress = [&](const cluster::BackupProgress& progress) {
        shares.push_back(*progress.percent);
    };
    const auto done = t.await(backup.restore(std::move(plan)));
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_THAT(shares, ElementsAre(50.0));
    EXPECT_THAT(*os::read_file(directory + "/words"),
                AllOf(HasSubstr("--pg1-path=" + directory + "/new"), HasSubstr(" restore ")));
}

TEST_F(Adapter, ARestoreIsEndedByItsDirectoryAndTheJobGoesOn) {
    program(
        "case \" $* \" in *\" restore \"*) what=restore ;; *) what=backup ;; esac\n"
        "echo >" +
        directory + "/began-$what\nexec sleep 600\n");
    std::optional<Status> restored;
    std::optional<Result<std::string>> made;
    const auto plan = [&] {
        ports::Backup::RestorePlan out;
        out.into = directory + "/new";
        return out;
    };
    boost::asio::co_spawn(
        t.loop, backup.restore(plan()),
        [&](const std::exception_ptr&, Status status) { restored = std::move(status); });
    boost::asio::co_spawn(
        t.loop, backup.run({}),
        [&](const std::exception_ptr&, Result<std::string> result) { made = std::move(result); });
    ASSERT_TRUE(t.until(
        [&] {
            return os::exists(directory + "/began-restore") &&
                   os::exists(directory + "/began-backup");
        },
        10s));
    // Two into one directory would write over each other.
    EXPECT_EQ(t.await(backup.restore(plan())).error().code, ErrorCode::conflict);
    backup.end_restore("/elsewhere");
    backup.end_restore(directory + "/new");
    ASSERT_TRUE(t.until([&] { return restored.has_value(); }, 10s));
    EXPECT_EQ(restored->error().code, ErrorCode::cancelled);
    EXPECT_FALSE(made);
    backup.end_job();
    ASSERT_TRUE(t.until([&] { return made.has_value(); }, 10s));
}

TEST_F(Adapter, ARestoreEndsWithWhoAwaitsIt) {
    program("echo >" + directory + "/began\nexec sleep 600\n");
    const auto awaiting = [this]() -> Task<Status> {
        ports::Backup::RestorePlan plan;
        plan.into = directory + "/new";
        auto done = co_await backup.restore(std::move(plan));
        co_return done;
    };
    boost::asio::cancellation_signal signal;
    std::optional<Status> restored;
    boost::asio::co_spawn(t.loop, awaiting(),
                          boost::asio::bind_cancellation_slot(
                              signal.slot(), [&](const std::exception_ptr&, Status status) {
                                  restored = std::move(status);
                              }));
    ASSERT_TRUE(t.until([&] { return os::exists(directory + "/began"); }, 10s));
    signal.emit(boost::asio::cancellation_type::all);
    ASSERT_TRUE(t.until([&] { return restored.has_value(); }, 10s));
    EXPECT_EQ(restored->error().code, ErrorCode::cancelled);
}

TEST_F(Adapter, WhatTheLastPrimaryLeftIsArchived) {
    const auto wal = settings.data_dir + "/pg_wal";
    ASSERT_TRUE(os::make_directory(wal, 0700));
    for (const char* name : {"000000010000000000000003", "000000010000000000000004",
                             "000000020000000000000004", "000000010000000000000004.partial"})
        ASSERT_TRUE(os::write_file(wal + "/" + name, "", 0600));
    program("echo \"$@\" >>" + directory + "/words\n");
    const std::vector<cluster::HistoryLine> left = {{1, cluster::Lsn{5UL << 24U}, {}, {}, {}}};
    const auto count = t.await(backup.fill_archive(left));
    ASSERT_TRUE(count) << count.error().message;
    EXPECT_EQ(*count, 2);
    const auto words = *os::read_file(directory + "/words");
    EXPECT_THAT(words, AllOf(HasSubstr("archive-push " + wal + "/000000010000000000000003\n"),
                             HasSubstr("archive-push " + wal + "/000000010000000000000004\n")));
    EXPECT_EQ(std::ranges::count(words, '\n'), 2);
    program(
        "echo 'ERROR: [045]: WAL file already exists with a different checksum' >&2; exit 45\n");
    EXPECT_EQ(t.await(backup.fill_archive(left)).error().code, ErrorCode::conflict);
}

TEST_F(Adapter, ACheckSaysWhyASegmentDoesNotArrive) {
    const auto marks = settings.data_dir + "/pg_wal/archive_status";
    ASSERT_TRUE(os::make_directory(settings.data_dir, 0700));
    ASSERT_TRUE(os::make_directory(settings.data_dir + "/pg_wal", 0700));
    ASSERT_TRUE(os::make_directory(marks, 0700));
    program(R"(case "$*" in
*" check"*) echo "ERROR: [082]: WAL segment X was not archived before the 60000ms timeout" >&2 ;;
*"--reset-archive-push-queue-max archive-push "*000000010000000000000004)
    echo "ERROR: [101]: [500] Internal Server Error" >&2 ;;
*) exit 0 ;;
esac
exit 1
)");
    EXPECT_THAT(t.await(backup.check(5s)).error().message, HasSubstr("PostgreSQL's log"));
    for (const auto* name : {"000000010000000000000005.ready", "000000010000000000000003.done",
                             "000000010000000000000004.ready", "00000001.history.ready"})
        ASSERT_TRUE(os::write_file(marks + "/" + name, "", 0600));
    EXPECT_THAT(t.await(backup.check(5s)).error().message,
                AllOf(HasSubstr("archiving 000000010000000000000004"),
                      HasSubstr("the object store has an error itself")));
    // It arrives when it is pushed once more: what the check said stands.
    ASSERT_TRUE(os::remove_file(marks + "/000000010000000000000004.ready"));
    EXPECT_THAT(t.await(backup.check(5s)).error().message, HasSubstr("was not archived before"));
}

TEST_F(Adapter, WithoutASectionOrAProgramThatIsSaid) {
    EXPECT_THAT(t.await(backup.check(1s)).error().message, HasSubstr("install pgBackRest"));
    settings.config.present = false;
    EXPECT_FALSE(backup.configured());
    EXPECT_EQ(t.await(backup.check(1s)).error().code, ErrorCode::invalid);
}

TEST_F(Adapter, AfterStopNothingBegins) {
    backup.stop();
    EXPECT_EQ(t.await(backup.create_stanza(1s)).error().code, ErrorCode::cancelled);
}

TEST_F(Adapter, AStandbyNeedsAWayToThePrimarysHost) {
    EXPECT_THAT(backup.why_not_from_standby(), HasSubstr("primary_host"));
    ports::Backup::Plan plan;
    plan.primary = ports::Endpoint{.host = "10.0.0.1", .port = 5432};
    EXPECT_EQ(t.await(backup.run(std::move(plan))).error().code, ErrorCode::invalid);
    settings.config.primary_host = {{"host-type", {"tls"}}};
    EXPECT_EQ(backup.why_not_from_standby(), "");
}

}  // namespace
}  // namespace relevo::pgbackrest
