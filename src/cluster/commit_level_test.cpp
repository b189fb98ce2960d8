#include "cluster/commit_level.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace relevo::cluster {
namespace {

TEST(CommitLevel, ReadsPostgresqlsWords) {
    EXPECT_EQ(parse_commit_level("Remote_Write"), CommitLevel::remote_write);
    EXPECT_EQ(parse_commit_level("remote_apply"), CommitLevel::remote_apply);
    EXPECT_EQ(parse_commit_level("local"), CommitLevel::local);
    for (const char* on : {"on", "true", "YES", "1"})
        EXPECT_EQ(parse_commit_level(on), CommitLevel::on) << on;
    for (const char* off : {"off", "false", "No", "0"})
        EXPECT_EQ(parse_commit_level(off), CommitLevel::off) << off;
    for (const char* wrong : {"", "remote", "2", "onn"}) EXPECT_FALSE(parse_commit_level(wrong));
    EXPECT_LT(CommitLevel::local, CommitLevel::remote_write);
    EXPECT_LT(CommitLevel::on, CommitLevel::remote_apply);
}

TEST(CommitLevel, SaysWhoSetsIt) {
    const std::vector<CommitSetting> some = {
        {CommitLevel::off, "app", "", ""},
        {CommitLevel::local, "", "shop", ""},
        {CommitLevel::remote_write, "app", "shop", ""},
        {CommitLevel::off, "", "", ""},
        {CommitLevel::off, "", "", "/data/postgresql.auto.conf"},
    };
    EXPECT_EQ(describe(some),
              "off for role app, local for database shop, remote_write for role app in database "
              "shop, off for all roles, off in /data/postgresql.auto.conf");
    EXPECT_EQ(describe({}), "");
}

TEST(CommitLevel, SaysItInOneReadableLineWhateverTheNames) {
    EXPECT_EQ(describe({{CommitLevel::off, "a b\n\x1b[2J", "", ""}}),
              "off for role \"a b\\n\\x1b[2J\"");
    EXPECT_EQ(describe(std::vector<CommitSetting>(9, {CommitLevel::off, "r", "", ""})),
              "off for role r, off for role r, off for role r, off for role r, off for role r, off "
              "for role r and 3 more");
}

TEST(CommitLevel, KnowsWhatTheAgentMayTakeBack) {
    EXPECT_TRUE((CommitSetting{CommitLevel::off, "app", "", ""}.can_be_reset()));
    EXPECT_TRUE(
        (CommitSetting{CommitLevel::off, "", "", "/d/postgresql.auto.conf"}.can_be_reset()));
    EXPECT_FALSE((CommitSetting{CommitLevel::off, "", "", "/d/extra.conf"}.can_be_reset()));
}

}  // namespace
}  // namespace relevo::cluster
