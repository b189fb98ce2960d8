#include "cluster/backup.h"

#include <gtest/gtest.h>

#include "cluster/backup_json.h"

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

TEST(Backup, ItsJsonLeavesOutWhatIsNotKnown) {
    Repository repository;
    repository.stanza = "main";
    EXPECT_EQ(to_json(repository),
              R"({"stanza":"main","code":0,"running":false,"repositories":[],"backups":[],)"
              R"("archives":[]})");
    repository.message = "ok";
    repository.backup_running = true;
    repository.progress = BackupProgress{.done_bytes = 1, .total_bytes = 4, .percent = 25.0};
    repository.repositories.emplace_back().message = "ok";
    auto& backup = repository.backups.emplace_back();
    backup.label = "20260514-010000F";
    backup.stopped = WallTime(std::chrono::seconds(10));
    backup.wal_stop = "000000020000000000000009";
    backup.lsn_stop = Lsn{0x3000138};
    backup.page_errors = false;
    repository.archives.emplace_back().id = "15-1";
    EXPECT_EQ(
        to_json(repository),
        R"({"stanza":"main","code":0,"status":"ok","running":true,"progress":{"done_bytes":1,)"
        R"("total_bytes":4,"percent":25.0},)"
        R"("repositories":[{"repository":1,"code":0,"status":"ok"}],)"
        R"("backups":[{"label":"20260514-010000F","type":"full","repository":1,)"
        R"("started":"1970-01-01T00:00:00+00:00","stopped":"1970-01-01T00:00:10+00:00",)"
        R"("timeline":2,)"
        R"("wal_stop":"000000020000000000000009","lsn_stop":"0/3000138","database_bytes":0,)"
        R"("copied_bytes":0,"stored_bytes":0,"page_errors":false}],)"
        R"("archives":[{"repository":1,"id":"15-1"}]})");
    ArchiveStatus archive;
    archive.queue_full = true;
    archive.hole = ArchiveHole{.after = "A", .first = "5", .last = "9", .segments = 4, .since = {}};
    EXPECT_TRUE(to_json(repository, archive)
                    .ends_with(R"("archiving":{"missing_ms":0,"waiting_segments":0,)"
                               R"("queue_full":true,"hole":{"after":"A","first":"5","last":"9",)"
                               R"("segments":4}}})"));
}

}  // namespace
}  // namespace relevo::cluster
