#include "agent/copies.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>

#include "agent/fake_backup.h"
#include "os/process.h"
#include "os/test_loop.h"

namespace relevo::agent {
namespace {

using ::testing::ElementsAre;

class CopiesTest : public ::testing::Test {
protected:
    os::TestLoop t;
    FakeRestores backup;
    Copies copies{t.pool, backup};

    cluster::BackupRecord record() {
        cluster::BackupRecord made;
        made.label = "20260514-010000F";
        made.repository = 2;
        made.system_id = "7";
        made.wal_stop = "000000010000000000000005";
        return made;
    }
    ports::CopySource::Restore what() {
        return {.backup = record(), .into = "/d", .delta = true, .progress = {}};
    }
};

TEST_F(CopiesTest, ChoosesFromWhatTheRepositoryHolds) {
    cluster::WalLine line;
    line.system_id = "7";
    line.timeline = 1;
    EXPECT_EQ(t.await(copies.newest(line)).error().code, ErrorCode::not_found);
    backup.repository->backups = {record()};
    EXPECT_EQ(t.await(copies.newest(line))->label, "20260514-010000F");
    backup.repository = fail(ErrorCode::denied, "wrong passphrase");
    EXPECT_EQ(t.await(copies.newest(line)).error().message, "wrong passphrase");
}

TEST_F(CopiesTest, RestoresThatBackupAsAStandby) {
    ASSERT_TRUE(t.await(copies.restore(what())));
    ASSERT_EQ(backup.plans.size(), 1U);
    const auto& plan = backup.plans.front();
    EXPECT_EQ(plan.into, "/d");
    EXPECT_TRUE(plan.delta && plan.as_standby);
    EXPECT_EQ(plan.backup, "20260514-010000F");
    EXPECT_EQ(plan.repository, 2);
}

TEST_F(CopiesTest, ErrorsAreToldAsTheyAre) {
    backup.outcome = fail(ErrorCode::failed, "the disk is full");
    EXPECT_EQ(t.await(copies.restore(what())).error().message, "the disk is full");
    copies.end_restore("/d");
    EXPECT_THAT(backup.ended, ElementsAre("/d"));
}

// As pgBackRest's: named by its words, and stopped, so that it does not end by itself.
os::PidHandle helper(const std::string& into, const char* what) {
    os::Detached start;
    start.command.arguments = {"/bin/sh", "-c", "kill -STOP $$", "pgbackrest", "--pg1-path=" + into,
                               what};
    auto pid = os::start_detached(start);
    EXPECT_TRUE(pid);
    auto handle = os::PidHandle::open(*pid);
    EXPECT_TRUE(handle);
    return *std::move(handle);
}

TEST_F(CopiesTest, WhatIsLeftOfAnotherAgentsRestoreIsEndedFirst) {
    const std::string into = "/nowhere/" + std::to_string(::getpid());
    const auto left = helper(into, "restore:local");
    const auto elsewhere = helper(into + "2", "restore:local");
    const auto another = helper(into, "archive-get:local");
    auto plan = what();
    plan.into = into;
    ASSERT_TRUE(t.await(copies.restore(plan)));
    EXPECT_FALSE(left.alive());
    EXPECT_TRUE(elsewhere.alive() && another.alive());
    ASSERT_TRUE(elsewhere.send(SIGKILL) && another.send(SIGKILL));
}

}  // namespace
}  // namespace relevo::agent
