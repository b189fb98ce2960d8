#include "cluster/backup_job.h"

#include <gtest/gtest.h>

namespace relevo::cluster {
namespace {

WallTime at(std::string_view text) { return parse_iso(text)->time; }

BackupJob whole() {
    BackupJob job;
    job.id = "20260514T010000Z-7";
    job.what = JobWhat::incremental;
    job.state = JobState::running;
    job.asker = JobAsker::operator_;
    job.requested = at("2026-05-14T01:00:00.5Z");
    job.due = at("2026-05-14T01:00:00Z");
    job.member = "pg-1";
    job.declined = {"pg-2", "pg \"3\""};
    job.run = "pg-1/17";
    job.under = 4711;
    job.ttl_s = 30;
    job.primary = "pg-0";
    job.attempts = 2;
    job.begun = at("2026-05-14T01:00:01Z");
    job.ended = at("2026-05-14T01:20:01Z");
    job.progress = {123, 456, 2697, at("2026-05-14T01:00:09Z")};
    job.interrupted = true;
    job.label = "20260514-010000F_20260515-010000I";
    job.result = "no reason";
    return job;
}

TEST(BackupJob, IsReadAsItWasWritten) {
    EXPECT_EQ(parse_backup_job(to_json(whole())), whole());
    BackupJob bare;
    bare.id = "x";
    bare.requested = at("2026-05-14T01:00:00Z");
    EXPECT_EQ(to_json(bare),
              R"({"id":"x","what":"full","state":"requested","requested_by":"schedule",)"
              R"("requested":"2026-05-14T01:00:00+00:00"})");
    EXPECT_EQ(parse_backup_job(to_json(bare)), bare);
}

TEST(BackupJob, WordsOfANewerVersionAreNotGuessed) {
    auto text = to_json(whole());
    text.replace(text.find("incremental"), 11, "block");
    EXPECT_FALSE(parse_backup_job(text));
    for (const char* bad :
         {"", "{}", "[]", "null", R"({"id":"x"})",
          R"({"id":"","what":"full","state":"done","requested_by":"schedule",)"
          R"("requested":"2026-05-14T01:00:00Z"})",
          R"({"id":"x","what":"full","state":"running","requested_by":"schedule",)"
          R"("requested":"2026-05-14T01:00:00Z"})"})
        EXPECT_FALSE(parse_backup_job(bad)) << bad;
}

TEST(BackupJob, ASentenceIsOneShortPrintableLine) {
    EXPECT_EQ(job_sentence(" a\nHINT: b\x01\xc3\xbc "), "a HINT: b???");
    EXPECT_EQ(job_sentence(std::string(5000, 'x')).size(), 1000U);
}

TEST(BackupJob, PgBackRestsShortWordsAreUnderstood) {
    EXPECT_EQ(parse_job_what("diff"), JobWhat::differential);
    EXPECT_EQ(parse_job_what("incr"), JobWhat::incremental);
    EXPECT_EQ(parse_job_what("full"), JobWhat::full);
    EXPECT_EQ(parse_job_what("Full"), std::nullopt);
}

}  // namespace
}  // namespace relevo::cluster
