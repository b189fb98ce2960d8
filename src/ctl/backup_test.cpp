// `relevoctl backup`, from the words to the text.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ctl/fake_context.h"

namespace relevo::ctl {
namespace {

using ::testing::HasSubstr;

constexpr const char* repository =
    R"({"stanza":"main","code":0,"status":"ok","running":true,)"
    R"("progress":{"done_bytes":1,"percent":25.5},)"
    R"("repositories":[{"repository":1,"code":0,"status":"ok"},)"
    R"({"repository":2,"code":2,"status":"no valid backups"}],)"
    R"("backups":[{"label":"20260514-010000F","type":"full","repository":1,)"
    R"("started":"2026-05-14T01:00:00+00:00","stopped":"2026-05-14T01:02:10+00:00","timeline":2,)"
    R"("wal_start":"000000020000000000000008","wal_stop":"000000020000000000000009",)"
    R"("database_bytes":23192440,"copied_bytes":23192440,"stored_bytes":900,"page_errors":true}],)"
    R"("archives":[{"repository":1,"id":"15-1","wal_min":"000000010000000000000001",)"
    R"("wal_max":"000000020000000000000009"}]})";

class BackupCommands : public ::testing::Test, public World {
protected:
    BackupCommands() { three_members(); }
    std::string key(const std::string& member, const std::string& what) {
        return what + " " + member + " /backup";
    }
};

TEST_F(BackupCommands, listIsATableWithTheWalBelowIt) {
    http.answer(key("db-a", "GET"), 200, repository);
    EXPECT_EQ(run({"backup", "list"}), 0) << terminal.errors;
    EXPECT_EQ(terminal.output, std::string(R"(
+ Backups: main (ok) -----+---------------------+---------+----+----------+-----------+--------+
| Label            | Type | Finished            |    Took | TL | Database |    Stored | Errors |
+------------------+------+---------------------+---------+----+----------+-----------+--------+
| 20260514-010000F | full | 2026-05-14 03:02:10 | 0:02:10 |  2 |  22.1 MB | 900 bytes | pages  |
+------------------+------+---------------------+---------+----+----------+-----------+--------+
The newest backup ended 1403 days ago, the newest full one 1403 days ago
repo2: no valid backups
WAL in repo1 (15-1): 000000010000000000000001 to 000000020000000000000009
A backup is running: 25.5 %
)")
                                   .substr(1));
}

TEST_F(BackupCommands, listSaysWhatTheRepositoryHasNot) {
    std::string text = repository;
    text.insert(text.size() - 1, R"(,"archiving":{"missing_ms":12345,"waiting_segments":0})");
    http.answer(key("db-a", "GET"), 200, text);
    EXPECT_EQ(run({"backup", "list"}), 0) << terminal.errors;
    EXPECT_THAT(terminal.output,
                HasSubstr("\nNot in the repository: the transactions of the last 13 s\n"));
}

TEST_F(BackupCommands, listSaysWhyWalWaits) {
    std::string text = repository;
    text.insert(text.size() - 1, R"(,"archiving":{"missing_ms":7300000,"waiting_segments":3,)"
                                 R"("failing":"000000020000000000000010"})");
    http.answer(key("db-a", "GET"), 200, text);
    EXPECT_EQ(run({"backup", "list"}), 0) << terminal.errors;
    EXPECT_THAT(terminal.output,
                HasSubstr("the last 2 h; 3 WAL segments wait; archive_command fails for "
                          "000000020000000000000010"));
}

TEST_F(BackupCommands, listSaysWhatWasDropped) {
    std::string text = repository;
    text.insert(text.size() - 1,
                R"(,"archiving":{"missing_ms":7300000,"waiting_segments":3,"queue_full":true,)"
                R"("hole":{"after":"A","first":"5","last":"9","segments":4}})");
    http.answer(key("db-a", "GET"), 200, text);
    EXPECT_EQ(run({"backup", "list"}), 0) << terminal.errors;
    EXPECT_THAT(terminal.output, HasSubstr("the oldest of it is dropped\nWAL is missing behind "
                                           "backup A (4 segments from 5 to 9): what came after"));
}

TEST_F(BackupCommands, listHasFormatsForPrograms) {
    http.answer(key("db-a", "GET"), 200, repository);
    EXPECT_EQ(run({"backup", "list", "-f", "json"}), 0);
    EXPECT_THAT(terminal.output, HasSubstr(R"("Label": "20260514-010000F", "Type": "full")"));
    EXPECT_THAT(terminal.output, HasSubstr(R"("Database": 23192440)"));
    EXPECT_THAT(terminal.output, HasSubstr(R"("Page errors": true)"));
    terminal.output.clear();
    EXPECT_EQ(run({"backup", "list", "--format", "tsv", "orders"}), 0);
    EXPECT_THAT(terminal.output, HasSubstr("\n20260514-010000F\tfull\t2026-05-14T01:00:00+00:00"));
    terminal.output.clear();
    EXPECT_EQ(run({"backup", "list", "-f", "yaml"}), 0);
    EXPECT_THAT(terminal.output, HasSubstr("- Label: \"20260514-010000F\"\n"));
}

TEST_F(BackupCommands, listAsksTheNextWhereOneCannotTell) {
    http.answer(key("db-a", "GET"), 404, "this member has no section `backup`");
    http.answer(key("db-b", "GET"), 503, R"({"state": "running"})");
    http.answer(key("db-c", "GET"), 200, repository);
    EXPECT_EQ(run({"backup", "list", "-f", "tsv"}), 0);
    EXPECT_THAT(terminal.output, HasSubstr("20260514-010000F"));
}

TEST_F(BackupCommands, listSaysWhyNobodyCanTell) {
    http.answer(key("db-a", "GET"), 503, "the repository cannot be read with this passphrase");
    http.answer(key("db-b", "GET"), 200, R"({"state": "running"})");
    EXPECT_EQ(run({"backup", "list"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("db-a: the repository cannot be read with this"));
    EXPECT_THAT(terminal.errors, HasSubstr("db-b: it knows no backups"));
    EXPECT_THAT(terminal.errors, HasSubstr("db-c: connection refused"));
}

TEST_F(BackupCommands, checkAsksEveryMemberAndFailsWhenOneDoes) {
    http.answer(key("db-a", "POST") + "/check", 200, "WAL reaches the repository");
    http.answer(key("db-b", "POST") + "/check", 200, "the repository can be read from here");
    http.answer(key("db-c", "POST") + "/check", 503, "wrong key");
    EXPECT_EQ(run({"backup", "check"}), 1);
    EXPECT_THAT(terminal.output, HasSubstr("db-a: WAL reaches the repository\n"));
    EXPECT_THAT(terminal.output, HasSubstr("Failed: backup check for member db-c"));
    EXPECT_EQ(terminal.errors, "Error: 1 of 3 members cannot use the repository\n");
}

TEST_F(BackupCommands, theWordsAreExplained) {
    EXPECT_EQ(run({"backup"}), 2);
    EXPECT_EQ(run({"backup", "list", "--help"}), 0);
    EXPECT_THAT(terminal.output, HasSubstr("--format"));
    terminal.output.clear();
    EXPECT_EQ(run({"completion", "bash"}), 0);
    EXPECT_THAT(terminal.output, HasSubstr("backup) words='"));
    EXPECT_THAT(terminal.output, HasSubstr("list check"));
}

}  // namespace
}  // namespace relevo::ctl
