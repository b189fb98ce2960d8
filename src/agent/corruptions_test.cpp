#include "agent/corruptions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "os/test_loop.h"

namespace relevo::agent {
namespace {

using namespace std::chrono_literals;
using cluster::Corruption;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Look = ports::Postgres::CorruptionLook;

class CorruptionsTest : public ::testing::Test {
public:
    ~CorruptionsTest() override { t.await(corruptions.stop()); }

protected:
    os::TestLoop t;
    Corruption mark;
    std::optional<Error> broken;
    std::string last_backup;
    cluster::Repository repository;
    int looks = 0, asked = 0, relations = 0;
    std::vector<core::CorruptionSeen> told;
    Corruptions corruptions{t.loop, parts()};

    Corruptions::Parts parts() {
        return {.look = [this](cluster::CorruptionNews news) { return look(std::move(news)); },
                .forget = [this]() -> Task<Status> {
                    cluster::forget(mark);
                    co_return Status{};
                },
                .scope = "demo",
                .name = "pg-1",
                .last_backup = [this] { return last_backup; },
                .repository = [this]() -> Task<Result<cluster::Repository>> {
                    ++asked;
                    co_return repository;
                },
                .amcheck = [] { return cluster::AmcheckState{}; },
                .looked = [] {},
                .changed = [this](core::CorruptionSeen seen) { told.push_back(std::move(seen)); },
                .every = 20ms};
    }
    Task<Result<Look>> look(cluster::CorruptionNews news) {
        ++looks;
        if (broken) co_return std::unexpected(*broken);
        if (!news.backup.empty()) cluster::learn_backup(mark, news.backup, {});
        for (const auto& one : news.relations) {
            ++relations;
            cluster::learn_amcheck(mark, one.where, one.reports, {});
        }
        co_return Look{mark, {}};
    }
    void rots(const std::string& database) {
        cluster::learn_counts(mark, {{database, mark.seen[database] + 1, {}}}, {});
    }
    void begin() {
        corruptions.start();
        ASSERT_TRUE(t.until([&] { return looks > 0; }, 20s));
    }
    void look_again() {
        const auto before = looks;
        ASSERT_TRUE(t.until([&] { return looks > before; }, 20s));
        ASSERT_TRUE(t.until([&] { return corruptions.report() != nullptr; }, 20s));
    }
};

TEST_F(CorruptionsTest, NothingIsToldOfDataThatIsGood) {
    begin();
    EXPECT_THAT(told, IsEmpty());
    EXPECT_EQ(t.await(corruptions.forget()).code, 404);
}

TEST_F(CorruptionsTest, WhatIsFoundIsToldOnceAndForgottenByAWord) {
    rots("app");
    begin();
    look_again();
    ASSERT_THAT(told, SizeIs(1));
    EXPECT_TRUE(told[0].corrupted);
    EXPECT_THAT(told[0].note, HasSubstr("`relevoctl flush demo pg-1 corruption`"));
    EXPECT_EQ(t.await(corruptions.forget()).code, 200);
    ASSERT_THAT(told, SizeIs(2));
    EXPECT_FALSE(told[1].corrupted);
    EXPECT_THAT(told[1].note, IsEmpty());
}

TEST_F(CorruptionsTest, ALookThatFailsTakesNothingBack) {
    rots("app");
    begin();
    ASSERT_TRUE(t.until([&] { return !told.empty(); }, 20s));
    broken = Error{ErrorCode::failed, "the disk does not answer"};
    look_again();
    EXPECT_TRUE(corruptions.report()->mark.corrupted());
    EXPECT_THAT(told, SizeIs(1));
}

TEST_F(CorruptionsTest, TheRepositoryIsAskedOnceForABackupThatWasMadeHere) {
    repository.backups.emplace_back();
    repository.backups[0].label = "20260514-010000F";
    repository.backups[0].page_errors = true;
    begin();
    last_backup = "20260514-010000F";
    ASSERT_TRUE(t.until([&] { return !told.empty(); }, 20s));
    EXPECT_THAT(told[0].note, HasSubstr("page errors in backup 20260514-010000F"));
    look_again();
    EXPECT_EQ(asked, 1);
    // The data is copied anew, or its mark is flushed: what that backup says is known.
    mark = {};
    ASSERT_TRUE(t.until([&] { return told.size() == 2; }, 20s));
    look_again();
    EXPECT_THAT(told, SizeIs(2));
    EXPECT_EQ(asked, 1);
}

TEST_F(CorruptionsTest, ABackupIsNotForgottenWhileWhatItSaysCannotBeKept) {
    repository.backups.emplace_back();
    repository.backups[0].label = last_backup = "20260514-010000F";
    repository.backups[0].page_errors = true;
    broken = Error{ErrorCode::failed, "the disk does not answer"};
    begin();
    ASSERT_TRUE(t.until([&] { return asked > 1; }, 20s));
    EXPECT_THAT(told, IsEmpty());
    broken.reset();
    ASSERT_TRUE(t.until([&] { return !told.empty(); }, 20s));
    const auto often = asked;
    look_again();
    EXPECT_EQ(asked, often);
}

// pgBackRest says so of each backup that refers to the page, whoever made it.
TEST_F(CorruptionsTest, WhatTheBackupBeforeHadIsNoWordOnThisMember) {
    repository.backups.resize(2);
    repository.backups[0].label = "20260514-010000F";
    repository.backups[1].label = last_backup = "20260514-010000F_20260515-010000I";
    repository.backups[1].needs = {"20260514-010000F"};
    for (auto& backup : repository.backups) backup.page_errors = true;
    begin();
    look_again();
    look_again();
    EXPECT_EQ(asked, 1);
    EXPECT_THAT(told, IsEmpty());
}

TEST_F(CorruptionsTest, AGoodBackupIsAskedForOnce) {
    repository.backups.emplace_back();
    repository.backups[0].label = last_backup = "20260514-010000F";
    begin();
    look_again();
    look_again();
    EXPECT_EQ(asked, 1);
    EXPECT_THAT(told, IsEmpty());
}

TEST_F(CorruptionsTest, WhatALookThroughTheDataFoundIsKeptOnceAndNotLost) {
    broken = Error{ErrorCode::failed, "the disk does not answer"};
    begin();
    corruptions.found({.where = "app.public.t", .reports = 3, .words = "block 7", .of_data = 0});
    const auto before = looks;
    ASSERT_TRUE(t.until([&] { return looks > before + 1; }, 20s));
    EXPECT_THAT(told, IsEmpty());
    broken.reset();
    ASSERT_TRUE(t.until([&] { return !told.empty(); }, 20s));
    EXPECT_TRUE(told[0].corrupted);
    EXPECT_THAT(told[0].note, HasSubstr("amcheck made 3 reports on app.public.t"));
    look_again();
    EXPECT_EQ(relations, 1);
}

// What stands in the log may be whatever a client wants.
TEST_F(CorruptionsTest, LinesOfTheLogAreToldAndAreNoDamage) {
    cluster::learn_log(mark, "invalid page in block 0 of relation base/5/16384", {});
    begin();
    ASSERT_TRUE(t.until([&] { return !told.empty(); }, 20s));
    EXPECT_FALSE(told[0].corrupted);
    EXPECT_THAT(told[0].note, HasSubstr("wrote into its log: \"invalid page in block 0"));
    EXPECT_EQ(t.await(corruptions.forget()).code, 200);
    EXPECT_THAT(told.back().note, IsEmpty());
}

}  // namespace
}  // namespace relevo::agent
