// The shell of the backup job on a store in memory and a pgBackRest that the test plays. The rules
// have their own tests (backup/keeper_test.cpp); here it is what is read, written, begun and ended.
#include "agent/backup_jobs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "cluster/keys.h"
#include "cluster/memory_store.h"
#include "os/clock.h"
#include "os/test_loop.h"

namespace relevo::agent {
namespace {

using namespace std::chrono_literals;
using cluster::JobState;
using cluster::JobWhat;
using testing::HasSubstr;

constexpr auto quietly = boost::asio::as_tuple(boost::asio::use_awaitable);

struct RealClock final : ports::Clock {
    Instant now() const override { return os::boottime_now(); }
    WallTime wall() const override { return os::wall_now(); }
};

struct StoreDcs final : ports::Dcs {
    cluster::MemoryStore store;
    bool silent = false;
    int reads = 0;
    std::function<void()> after_commit;

    Task<Result<cluster::KeyTree>> read(Duration) override {
        ++reads;
        if (silent) co_return fail(ErrorCode::unavailable, "etcd does not answer");
        co_return store.tree();
    }
    Task<Result<cluster::TxnResult>> commit(cluster::Txn txn, Duration) override {
        if (silent) co_return fail(ErrorCode::outcome_unknown, "etcd does not answer");
        auto result = store.commit(txn, 0);
        if (after_commit) std::exchange(after_commit, {})();
        co_return result;
    }
    Task<Result<cluster::Lease>> keep_lease(std::chrono::seconds, Duration) override {
        co_return fail(ErrorCode::unavailable, "not here");
    }
    Task<Status> revoke_lease(Duration) override { co_return Status{}; }
    void watch(ChangeHandler) override {}
    Task<void> stop() override { co_return; }
};

// A backup takes until the test ends it, or somebody ends the job.
struct PlayedBackup final : ports::Backup {
    explicit PlayedBackup(boost::asio::io_context& io) : over(io) {
        over.expires_at(boost::asio::steady_timer::time_point::max());
    }
    ports::BackupConfig settings = [] {
        ports::BackupConfig config;
        config.present = true;
        return config;
    }();
    boost::asio::steady_timer over;
    cluster::Repository repository = [] {
        cluster::Repository empty;
        empty.repositories = {
            {.repository = 1, .code = 2, .message = "no valid backups", .cipher = "none"}};
        return empty;
    }();
    bool running = false, told = false, finishes = false;
    int runs = 0, expires = 0, infos = 0, locked = 0;
    Plan plan;

    bool configured() const override { return settings.present; }
    ports::BackupConfig config() const override { return settings; }
    Task<Status> apply() override { co_return Status{}; }
    Task<Status> let_fetch(std::optional<std::vector<cluster::HistoryLine>>) override {
        co_return Status{};
    }
    Task<Result<cluster::Repository>> info(Duration) override {
        ++infos;
        auto answer = repository;
        answer.backup_running = running;
        co_return answer;
    }
    Task<Status> create_stanza(Duration) override { co_return Status{}; }
    Task<Status> check(Duration) override { co_return Status{}; }
    Task<Result<Archived>> archived(cluster::ArchiveRange, Duration) override {
        co_return Archived{};
    }
    Task<Result<std::vector<cluster::HistoryLine>>> history(cluster::ArchiveRange,
                                                            cluster::Timeline, Duration) override {
        co_return std::vector<cluster::HistoryLine>{};
    }
    Task<Result<int>> fill_archive(std::vector<cluster::HistoryLine>) override { co_return 0; }
    std::string why_not_from_standby() const override { return "there is no way"; }
    Task<Result<std::string>> run(Plan asked) override {
        ++runs;
        if (locked > 0) {
            --locked;
            co_return fail(ErrorCode::conflict, "unable to acquire lock");
        }
        plan = std::move(asked);
        running = true;
        while (!finishes && !told) co_await over.async_wait(quietly);
        running = false;
        if (std::exchange(told, false)) co_return fail(ErrorCode::cancelled, "ended");
        finishes = false;
        cluster::BackupRecord made;
        made.label = "20260514-010000F";
        made.started = os::wall_now();
        repository.backups.push_back(made);
        co_return std::string("20260514-010000F");
    }
    Task<Result<std::vector<std::string>>> expire(bool) override {
        ++expires;
        co_return std::vector<std::string>{"expire full backup 20260101-010000F"};
    }
    Result<std::string> verified = std::string("as it was written");
    Task<Result<std::string>> verify() override { co_return verified; }
    void end_job() override {
        told = running;
        over.cancel();
    }
    Task<Status> restore(RestorePlan) override { co_return Status{}; }
    void end_restore(const std::string&) override {}
    void stop() override {}
    void finish() {
        finishes = true;
        over.cancel();
    }
};

class BackupJobsTest : public testing::Test {
protected:
    os::TestLoop loop;
    RealClock clock;
    StoreDcs dcs;
    PlayedBackup backup{loop.loop};
    BackupJobs jobs{loop.loop, clock, dcs, &backup};

    BackupJobsTest() {
        put("leader", "pg-0");
        put("members/pg-0", R"({"conn_url":"postgres://10.0.0.1:5432/postgres","state":"running",)"
                            R"("role":"primary"})");
        view.name = "pg-0";
        view.leading = true;
        view.lead_until = clock.now() + 1h;
        view.term = dcs.store.tree().keys.at("leader").create_revision;
        view.settings.ttl = 3s;
    }
    void TearDown() override {
        loop.await(jobs.stop());
        loop.await(jobs.wait());
    }

    ports::View view;

    void put(const std::string& key, const std::string& value) {
        (void)dcs.store.commit({{}, {{cluster::Write::What::put, key, value, false}}}, 0);
    }
    void begin() {
        jobs.see(view);
        jobs.begin();
    }
    std::optional<cluster::BackupJob> job() {
        const auto at = dcs.store.tree().keys.find("backup");
        if (at == dcs.store.tree().keys.end()) return std::nullopt;
        return *cluster::parse_backup_job(at->second.value);
    }
    bool until(const std::function<bool()>& what, std::chrono::milliseconds most = 5s) {
        return loop.await([](os::TestLoop& on, std::function<bool()> asked,
                             std::chrono::milliseconds limit) -> Task<bool> {
            const auto end = os::boottime_now() + limit;
            boost::asio::steady_timer timer(on.loop);
            while (!asked() && os::boottime_now() < end) {
                timer.expires_after(5ms);
                co_await timer.async_wait(quietly);
            }
            co_return asked();
        }(loop, what, most));
    }
    bool is(JobState state) { return job() && job()->state == state; }
};

TEST_F(BackupJobsTest, AnEmptyRepositoryGetsAFullBackupAndItsEndIsWritten) {
    begin();
    ASSERT_TRUE(until([&] { return backup.running; }));
    EXPECT_EQ(job()->state, JobState::running);
    EXPECT_EQ(job()->member, "pg-0");
    EXPECT_FALSE(backup.plan.primary);
    EXPECT_EQ(jobs.made_here(), "");
    backup.finish();
    ASSERT_TRUE(until([&] { return is(JobState::done); }));
    EXPECT_EQ(job()->label, "20260514-010000F");
    EXPECT_EQ(jobs.made_here(), "20260514-010000F");
    EXPECT_THAT(job()->result, HasSubstr("20260101-010000F"));
    EXPECT_EQ(backup.expires, 1);
    EXPECT_FALSE(until([&] { return backup.runs > 1; }, 300ms));  // and that is all
}

// A second repository's alone would seem to be none at all.
TEST_F(BackupJobsTest, ARepositoryThatCannotBeReadIsNotAnEmptyOne) {
    const auto empty = backup.repository.repositories;
    backup.repository.repositories = {
        {.repository = 1, .code = 99, .message = "[HostConnectError]", .cipher = "none"},
        {.repository = 2, .code = 2, .message = "no valid backups", .cipher = "none"}};
    backup.repository.code = 4;
    begin();
    ASSERT_TRUE(until([&] { return backup.infos > 0; }));
    EXPECT_FALSE(until([&] { return backup.runs > 0; }, 500ms));
    EXPECT_FALSE(jobs.newest());
    backup.repository.repositories = empty;
    jobs.reloaded();
    EXPECT_TRUE(until([&] { return backup.running; }));
    EXPECT_TRUE(jobs.newest());
}

TEST_F(BackupJobsTest, AfterAnUpgradeABackupOfTheNewClusterIsMade) {
    put("initialize", "7654321098765432101");
    auto& old = backup.repository.backups.emplace_back();
    old.label = "20260513-010000F";
    old.started = clock.wall();
    old.system_id = "7654321098765432101";
    backup.settings.full = "0 0 1 1 *";
    begin();
    ASSERT_TRUE(until([&] { return backup.infos > 0; }));
    EXPECT_FALSE(until([&] { return backup.runs > 0; }, 300ms));
    put("initialize", "7654321098765432102");
    jobs.reloaded();
    EXPECT_TRUE(until([&] { return backup.running; }));
}

TEST_F(BackupJobsTest, ALockThatIsHeldForAMomentIsWaitedFor) {
    backup.locked = 1;
    begin();
    ASSERT_TRUE(until([&] { return backup.running; }));
    EXPECT_EQ(backup.runs, 2);
    EXPECT_EQ(job()->attempts, 1);
}

TEST_F(BackupJobsTest, BeforeItBeginsNothingIsAsked) {
    jobs.see(view);
    EXPECT_FALSE(until([&] { return dcs.reads + backup.infos > 0; }, 100ms));
}

TEST_F(BackupJobsTest, WithoutASectionNothingIsAskedAndTheApiSaysSo) {
    backup.settings.present = false;
    begin();
    EXPECT_FALSE(until([&] { return dcs.reads + backup.infos > 0; }, 100ms));
    EXPECT_EQ(loop.await(jobs.start({})).code, 404);
    EXPECT_EQ(loop.await(jobs.schedule()).code, 404);
}

TEST_F(BackupJobsTest, ARunIsEndedWhenTheDcsIsSilentForHalfATtl) {
    begin();
    ASSERT_TRUE(until([&] { return backup.running; }));
    const auto began = clock.now();
    dcs.silent = true;
    ASSERT_TRUE(until([&] { return !backup.running; }));
    EXPECT_LT(clock.now() - began, 1600ms);  // half of 3 s
    EXPECT_GT(clock.now() - began, 500ms);   // the reads go on before that
    dcs.silent = false;
    ASSERT_TRUE(until([&] { return is(JobState::failed); }));
    EXPECT_TRUE(job()->interrupted);
    EXPECT_THAT(job()->result, HasSubstr("has not answered"));
    // And it is made again.
    EXPECT_TRUE(until([&] { return backup.runs == 2; }));
}

TEST_F(BackupJobsTest, ARunGoesOnWhileTheDcsAnswers) {
    begin();
    ASSERT_TRUE(until([&] { return backup.running; }));
    EXPECT_FALSE(until([&] { return !backup.running; }, 3500ms));
    EXPECT_GE(dcs.reads, 5);
}

TEST_F(BackupJobsTest, ARunIsEndedWhenAnotherLeads) {
    begin();
    ASSERT_TRUE(until([&] { return backup.running; }));
    put("members/pg-1", "{}");
    put("leader", "pg-1");
    view.leading = false;
    jobs.see(view);
    ASSERT_TRUE(until([&] { return is(JobState::failed); }));
    EXPECT_FALSE(backup.running);
    EXPECT_THAT(job()->result, HasSubstr("pg-1 leads now"));
}

TEST_F(BackupJobsTest, StoppingEndsTheRunAndWritesThat) {
    begin();
    ASSERT_TRUE(until([&] { return backup.running; }));
    loop.await(jobs.stop());
    EXPECT_FALSE(backup.running);
    EXPECT_EQ(job()->state, JobState::failed);
    EXPECT_THAT(job()->result, HasSubstr("the agent stops"));
}

TEST_F(BackupJobsTest, WhatAnEarlierLifeRanIsWrittenOff) {
    cluster::BackupJob old;
    old.id = "old";
    old.requested = clock.wall();
    old.state = JobState::running;
    old.member = "pg-0";
    old.run = "pg-0/1";
    old.under = dcs.store.tree().keys.at("members/pg-0").create_revision;
    old.ttl_s = 3;
    old.primary = "pg-0";
    put("backup", to_json(old));
    begin();
    ASSERT_TRUE(until([&] { return job()->id != "old"; }));
    EXPECT_TRUE(until([&] { return backup.running; }));
}

TEST_F(BackupJobsTest, AnOperatorsRequestIsTakenUnlessAJobIsActive) {
    backup.settings.full.clear();
    begin();
    auto reply = loop.await(jobs.start({JobWhat::proof, false}));
    EXPECT_EQ(reply.code, 409);
    EXPECT_THAT(reply.text, HasSubstr("there is no standby"));
    reply = loop.await(jobs.start({JobWhat::incremental, false}));
    EXPECT_EQ(reply.code, 202);
    EXPECT_THAT(reply.text, HasSubstr(R"("requested_by":"operator")"));
    ASSERT_TRUE(until([&] { return backup.running; }));
    EXPECT_EQ(backup.plan.type, cluster::BackupType::incremental);
    reply = loop.await(jobs.start({JobWhat::full, false}));
    EXPECT_EQ(reply.code, 409);
    EXPECT_THAT(reply.text, HasSubstr("runs on pg-0"));
    backup.plan.progress({.done_bytes = 50, .total_bytes = 200, .percent = 25.0});
    reply = loop.await(jobs.schedule());
    EXPECT_EQ(reply.code, 200);
    EXPECT_THAT(reply.text, HasSubstr(R"("percent":25.00)"));
}

TEST_F(BackupJobsTest, WhyNobodyBeginsIsShown) {
    backup.settings.from = ports::BackupConfig::From::standby;
    begin();
    ASSERT_TRUE(until([&] { return backup.infos > 0; }));
    until([] { return false; }, 100ms);
    const auto reply = loop.await(jobs.schedule());
    EXPECT_THAT(reply.text, HasSubstr("has no way to the primary's host"));
    EXPECT_EQ(backup.runs, 0);
}

TEST_F(BackupJobsTest, RetentionAloneIsAJobToo) {
    backup.settings.full.clear();
    begin();
    EXPECT_EQ(loop.await(jobs.start({JobWhat::expire, false})).code, 202);
    ASSERT_TRUE(until([&] { return is(JobState::done); }));
    EXPECT_EQ(backup.runs, 0);
    EXPECT_EQ(backup.expires, 1);
    const auto reply = loop.await(jobs.start({JobWhat::expire, true}));
    EXPECT_EQ(reply.code, 200);
    EXPECT_THAT(reply.text, HasSubstr("20260101-010000F"));
}

TEST_F(BackupJobsTest, WhatVerifyFindsIsTheJobsEnd) {
    backup.settings.full.clear();
    begin();
    EXPECT_EQ(loop.await(jobs.start({JobWhat::verify, false})).code, 202);
    ASSERT_TRUE(until([&] { return is(JobState::done); }));
    EXPECT_EQ(job()->result, "as it was written");
    backup.verified = fail(ErrorCode::failed, "damaged: file missing 'x'");
    EXPECT_EQ(loop.await(jobs.start({JobWhat::verify, false})).code, 202);
    ASSERT_TRUE(until([&] { return is(JobState::failed); }));
    EXPECT_EQ(job()->result, "damaged: file missing 'x'");
    EXPECT_FALSE(job()->interrupted);
    EXPECT_EQ(backup.expires, 0);
}

TEST_F(BackupJobsTest, WithoutTheDcsARequestIsRefused) {
    backup.settings.full.clear();
    begin();
    until([&] { return dcs.reads > 0; });
    dcs.silent = true;
    EXPECT_EQ(loop.await(jobs.start({})).code, 503);
}

}  // namespace
}  // namespace relevo::agent
