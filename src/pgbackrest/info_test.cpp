#include "pgbackrest/info.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pgbackrest/info_test_data.h"

namespace relevo::pgbackrest {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::no_stanza;
using testing::two_backups;

TEST(Info, ABackupHasItsNumbersAndWhatItNeeds) {
    const auto repository = parse_info(two_backups, "main");
    ASSERT_TRUE(repository) << repository.error().message;
    EXPECT_EQ(repository->code, 0);
    EXPECT_TRUE(repository->has_stanza());
    EXPECT_FALSE(repository->backup_running);
    ASSERT_EQ(repository->backups.size(), 2U);
    const auto& full = repository->backups[0];
    EXPECT_EQ(full.label, "20260514-010000F");
    EXPECT_EQ(full.type, cluster::BackupType::full);
    EXPECT_EQ(to_iso(full.started), "2026-05-14T01:00:00+00:00");
    EXPECT_EQ(to_iso(full.stopped), "2026-05-14T01:00:10+00:00");
    EXPECT_EQ(full.wal_start, "000000010000000000000003");
    EXPECT_EQ(to_string(full.lsn_stop), "0/3000138");
    EXPECT_EQ(full.database_bytes, 23192440U);
    EXPECT_EQ(full.stored_bytes, 2948571U);
    EXPECT_EQ(full.page_errors, false);
    EXPECT_EQ(full.system_id, "7711188255317205645");
    EXPECT_EQ(full.postgres_version, "15");
    EXPECT_THAT(full.needs, IsEmpty());
    const auto& incremental = repository->backups[1];
    EXPECT_EQ(incremental.type, cluster::BackupType::incremental);
    EXPECT_EQ(incremental.prior, full.label);
    EXPECT_THAT(incremental.needs, ElementsAre(full.label));
    EXPECT_EQ(incremental.timeline(), 2U);
    EXPECT_EQ(incremental.page_errors, true);
    ASSERT_EQ(repository->archives.size(), 1U);
    EXPECT_EQ(repository->archives[0].id, "15-1");
    EXPECT_EQ(repository->archives[0].wal_max, "000000020000000000000009");
    EXPECT_EQ(repository->archives[0].system_id, full.system_id);
    ASSERT_EQ(repository->repositories.size(), 1U);
    EXPECT_EQ(repository->repositories[0].cipher, "aes-256-cbc");
}

TEST(Info, AStanzaThatIsNotThereIsAnAnswer) {
    for (const auto& repository : {parse_info(no_stanza, "main"), parse_info("[]", "main"),
                                   parse_info(two_backups, "other")}) {
        ASSERT_TRUE(repository);
        EXPECT_FALSE(repository->has_stanza());
        EXPECT_EQ(repository->message, "missing stanza path");
        EXPECT_THAT(repository->backups, IsEmpty());
    }
}

TEST(Info, ABackupUnderWayHasItsShare) {
    const auto repository = parse_info(
        R"([{"name":"main","status":{"code":0,"message":"ok","lock":{"backup":{"held":true,)"
        R"("size":1000,"size-cplt":250}}}}])",
        "main");
    ASSERT_TRUE(repository);
    EXPECT_TRUE(repository->backup_running);
    ASSERT_TRUE(repository->progress);
    EXPECT_EQ(repository->progress->done_bytes, 250U);
    EXPECT_DOUBLE_EQ(*repository->progress->percent, 25.0);
}

TEST(Info, WhatIsNoAnswerIsAnError) {
    for (const char* text : {"", "{}", "[", "null", "ERROR: [055]"})
        EXPECT_THAT(parse_info(text, "main").error().message, HasSubstr("is this really"));
    EXPECT_FALSE(parse_info(std::string(100'000, '['), "main"));
}

// As 2.45 does with a wrong passphrase: bytes that are no text stand in its JSON.
TEST(Info, NoiseInAMessageDoesNotHideIt) {
    const auto repository = parse_info(
        "[{\"name\":\"main\",\"repo\":[{\"cipher\":\"aes-256-cbc\",\"key\":1,\"status\":{\"code\":"
        "99,"
        "\"message\":\"[FormatError] outside of section: \x0f\xcc\x8f\xff\"}}],"
        "\"status\":{\"code\":99,\"message\":\"other\"}}]",
        "main");
    ASSERT_TRUE(repository) << repository.error().message;
    ASSERT_EQ(repository->repositories.size(), 1U);
    EXPECT_THAT(repository->repositories[0].message, HasSubstr("outside of section"));
}

TEST(Info, AnArchivesSegmentsAreItsWholeOnes) {
    const auto segments = parse_archive(
        R"({".":{"type":"path"},"15-1":{"type":"path"},"15-1/0000000100000000":{"type":"path"},)"
        R"("15-1/0000000100000000/000000010000000000000001-0f6aa7.lz4":{"type":"file","size":9,)"
        R"("time":1778720400},)"
        R"("15-1/0000000100000000/000000010000000000000002.00000028.backup":{"type":"file"},)"
        R"("15-1/0000000100000000/000000010000000000000003.partial-0f.lz4":{"type":"file"},)"
        R"("000000020000000000000003-0f.lz4":7,"15-1/00000002.history":{"type":"file"}})");
    ASSERT_TRUE(segments) << segments.error().message;
    EXPECT_THAT(segments->segments,
                ElementsAre("000000020000000000000003", "000000010000000000000001"));
    EXPECT_EQ(segments->stored[0], WallTime{});
    EXPECT_EQ(to_iso(segments->stored[1]), "2026-05-14T01:00:00+00:00");
    EXPECT_THAT(segments->histories, ElementsAre(2U));
    EXPECT_FALSE(parse_archive("[]"));
    EXPECT_FALSE(parse_archive(std::string(100'000, '{')));
}

TEST(Info, OddValuesAreLeftOut) {
    const auto repository = parse_info(
        R"([7,{"name":"main","status":"x","db":5,"repo":{"a":1},"archive":[1],"backup":[null,)"
        R"({"label":"20260514-010000F","timestamp":{"start":-5,"stop":1e300},"error":"no",)"
        R"("info":{"size":-1},"reference":[1,null,"a"],"lsn":{"start":7,"stop":"x"}}]}])",
        "main");
    ASSERT_TRUE(repository);
    EXPECT_EQ(repository->code, 99);
    ASSERT_EQ(repository->backups.size(), 1U);
    EXPECT_EQ(repository->backups[0].database_bytes, 0U);
    EXPECT_EQ(repository->backups[0].started, WallTime{});
    EXPECT_FALSE(repository->backups[0].page_errors);
    EXPECT_THAT(repository->backups[0].needs, ElementsAre("a"));
}

}  // namespace
}  // namespace relevo::pgbackrest
