#include "cluster/backup.h"

#include <gtest/gtest.h>

namespace relevo::cluster {
namespace {

BackupRecord made(BackupType type, int hour) {
    BackupRecord backup;
    backup.type = type;
    backup.stopped = WallTime(std::chrono::hours(hour));
    return backup;
}

TEST(Backup, TypesHavePgBackRestsWordsToo) {
    for (const auto type : {BackupType::full, BackupType::differential, BackupType::incremental})
        EXPECT_EQ(parse_backup_type(to_string(type)), type);
    EXPECT_EQ(parse_backup_type("diff"), BackupType::differential);
    EXPECT_EQ(parse_backup_type("incr"), BackupType::incremental);
    EXPECT_FALSE(parse_backup_type("Full"));
    EXPECT_FALSE(parse_backup_type(""));
}

TEST(Backup, TheTimelineIsThatOfItsLastSegment) {
    BackupRecord backup;
    EXPECT_EQ(backup.timeline(), 0U);
    backup.wal_start = "000000010000000000000002";
    EXPECT_EQ(backup.timeline(), 1U);
    backup.wal_stop = "0000001A0000000000000003";
    EXPECT_EQ(backup.timeline(), 26U);
    backup.wal_stop = "not hexadecimal at all";
    EXPECT_EQ(backup.timeline(), 0U);
}

TEST(Backup, ABackupThatHoldsMoreServesForOneThatHoldsLess) {
    Repository repository;
    EXPECT_EQ(repository.newest(), nullptr);
    repository.backups = {made(BackupType::full, 1), made(BackupType::differential, 2),
                          made(BackupType::incremental, 3)};
    EXPECT_EQ(repository.newest()->type, BackupType::incremental);
    EXPECT_EQ(repository.newest_at_least(BackupType::differential)->type, BackupType::differential);
    EXPECT_EQ(repository.newest_at_least(BackupType::full)->type, BackupType::full);
    repository.backups.push_back(made(BackupType::full, 4));
    EXPECT_EQ(repository.newest_at_least(BackupType::incremental)->type, BackupType::full);
}

TEST(Backup, ARepositoryWithoutBackupsMayHaveItsStanza) {
    Repository repository;
    EXPECT_FALSE(repository.has_stanza());
    repository.repositories.emplace_back().code = 2;
    repository.code = 2;
    EXPECT_TRUE(repository.has_stanza());
    repository.code = 1;
    EXPECT_FALSE(repository.has_stanza());
}

}  // namespace
}  // namespace relevo::cluster
