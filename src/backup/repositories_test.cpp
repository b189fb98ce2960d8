#include "backup/repositories.h"

#include <gtest/gtest.h>

namespace relevo::backup {
namespace {

cluster::Repository two(int first, int second) {
    cluster::Repository out;
    out.code = first == second ? first : 4;  // "different across repos"
    out.repositories = {{.repository = 1, .code = first, .message = "one", .cipher = {}},
                        {.repository = 2, .code = second, .message = "two", .cipher = {}}};
    return out;
}

void add_full(cluster::Repository& to, int repository) {
    auto& made = to.backups.emplace_back();
    made.type = cluster::BackupType::full;
    made.repository = repository;
}

TEST(Repositories, WithoutTheFirstOneNobodyKnowsWhichBackupsThereAre) {
    for (const int code : {1, 3, 99}) {
        auto there = two(code, 2);
        EXPECT_EQ(why_unknown(there), "repository 1 could not be read: one");
        add_full(there, 2);
        EXPECT_EQ(why_unknown(there), "repository 1 could not be read: one");
    }
    EXPECT_EQ(why_unknown(two(2, 2)), "");
}

TEST(Repositories, AnotherOneHoldsUpNothingWhereTheFirstHasAFullBackup) {
    auto there = two(2, 99);
    EXPECT_EQ(why_unknown(there), "repository 2 could not be read: two");
    add_full(there, 1);
    EXPECT_EQ(why_unknown(there), "");
}

TEST(Repositories, WithoutAStanzaNothingIsUnknown) {
    EXPECT_EQ(why_unknown(two(1, 1)), "");
    EXPECT_EQ(why_unknown({}), "");
}

TEST(Repositories, WhatIsOfAnotherSystemIsLeftOut) {
    auto there = two(0, 0);
    for (const char* id : {"7001", "7002", ""}) {
        there.backups.emplace_back().system_id = id;
        there.archives.emplace_back().system_id = id;
    }
    auto of_this = there;
    leave_out_others(of_this, "7002");
    ASSERT_EQ(of_this.backups.size(), 2);
    EXPECT_EQ(of_this.backups.front().system_id, "7002");
    EXPECT_EQ(of_this.archives.size(), 2);
    leave_out_others(there, "");
    EXPECT_EQ(there.backups.size(), 3);
}

TEST(Repositories, ABackupsWalIsThatOfItsRepositoryAndSystem) {
    auto there = two(0, 0);
    there.archives = {
        {1, "14-1", "7001", {}, {}}, {1, "15-2", "7002", {}, {}}, {2, "15-1", "7002", {}, {}}};
    cluster::BackupRecord made;
    made.system_id = "7002";
    EXPECT_EQ(archive_of(there, made)->id, "15-2");
    made.repository = 2;
    EXPECT_EQ(archive_of(there, made)->id, "15-1");
    made.system_id = "7003";
    EXPECT_EQ(archive_of(there, made), nullptr);
}

TEST(Repositories, WhereABackupMayBeAllTheSameIsSaid) {
    EXPECT_EQ(or_unread("none", two(2, 2)), "none");
    EXPECT_EQ(or_unread("none", two(2, 99)), "none; but repository 2 could not be read: two");
}

}  // namespace
}  // namespace relevo::backup
