// The words themselves: usage, global options, completion.
#include "ctl/commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ctl/fake_context.h"

namespace relevo::ctl {
namespace {

using testing::HasSubstr;

class Commands : public testing::Test, public World {};

TEST_F(Commands, wrongWordsExitWithTwo) {
    EXPECT_EQ(run({"lst"}), 2);
    EXPECT_EQ(run({"list", "--nonsense"}), 2);
    EXPECT_EQ(run({"list", "-f", "xml"}), 2);
    EXPECT_EQ(run({"restart"}), 2);
    EXPECT_EQ(run({"remove"}), 2);
    EXPECT_EQ(run({"dsn", "-r", "boss"}), 2);
    EXPECT_EQ(run({"flush", "orders"}), 2);
    EXPECT_EQ(run({"flush", "orders", "everything"}), 2);
    EXPECT_EQ(terminal.output, "");
    EXPECT_THAT(terminal.errors, HasSubstr("Try 'relevoctl list --help' for help.\n"));
}

TEST_F(Commands, helpGoesToStandardOutput) {
    EXPECT_EQ(run({"--help"}), 0);
    EXPECT_THAT(terminal.output, HasSubstr("switchover"));
    terminal.output.clear();
    EXPECT_EQ(run({"restart", "--help"}), 0);
    EXPECT_THAT(terminal.output, HasSubstr("--pg-version"));
    terminal.output.clear();
    EXPECT_EQ(run({}), 0);
    EXPECT_THAT(terminal.output, HasSubstr("edit-config"));
    EXPECT_EQ(terminal.errors, "");
}

TEST_F(Commands, knowTheirVersion) {
    EXPECT_EQ(run({"--version"}), 0);
    EXPECT_EQ(terminal.output, "relevoctl version 1.2.3\n");
}

TEST_F(Commands, globalOptionsStandBeforeOrBehindTheCommand) {
    EXPECT_EQ(run({"-c", "a.yml", "-d", "etcd3://h:2379", "-k", "list"}), 0);
    EXPECT_EQ(seen.config_file, "a.yml");
    EXPECT_EQ(seen.dcs_url, "etcd3://h:2379");
    EXPECT_TRUE(seen.insecure);
    EXPECT_EQ(run({"list", "-c", "b.yml"}), 0);
    EXPECT_EQ(seen.config_file, "b.yml");
    EXPECT_FALSE(seen.insecure);
}

TEST_F(Commands, aBadConfigurationIsAnError) {
    no_configuration = Error{ErrorCode::invalid, "patroni.yml:3: ttl: wrong"};
    EXPECT_EQ(run({"list"}), 1);
    EXPECT_EQ(terminal.errors, "Error: patroni.yml:3: ttl: wrong\n");
}

TEST_F(Commands, saySoWhereCitusIsMeant) {
    EXPECT_EQ(run({"list", "--group", "1"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("Citus"));
}

TEST_F(Commands, completionKnowsEveryCommand) {
    no_configuration = Error{ErrorCode::invalid, "none"};
    EXPECT_EQ(run({"completion", "bash"}), 0);
    for (const char* word : {"list", "topology", "history", "explain", "show-config", "edit-config",
                             "switchover", "failover", "restart", "reload", "reinit", "amcheck",
                             "pause", "resume", "query", "dsn", "remove", "flush", "version"})
        EXPECT_THAT(terminal.output, HasSubstr(std::string("            ") + word + ") words='"));
    EXPECT_THAT(terminal.output, HasSubstr("complete -F _relevoctl relevoctl"));
    EXPECT_THAT(terminal.output, HasSubstr("--from-leader"));
    EXPECT_EQ(run({"completion", "fish"}), 2);
}

}  // namespace
}  // namespace relevo::ctl
