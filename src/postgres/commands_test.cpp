#include "postgres/commands.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace relevo::postgres {
namespace {

using Words = std::vector<std::string>;

bool has(const Words& words, const std::string& word) {
    return std::ranges::find(words, word) != words.end();
}

TEST(ShellSplit, reads_words_as_a_shell_does) {
    EXPECT_EQ(shell_split("a 'b c'  \"d $e\" f\\ g 'x'y \"\""),
              (Words{"a", "b c", "d $e", "f g", "xy", ""}));
    EXPECT_EQ(shell_split("  "), Words{});
    EXPECT_EQ(shell_split("a 'b"), std::nullopt);
    EXPECT_EQ(shell_split("a \\"), std::nullopt);
}

TEST(InitdbArguments, pass_the_options_and_refuse_what_is_the_agents) {
    ports::PostgresConfig config;
    config.data_dir = "/d";
    config.superuser.username = "admin";
    config.bootstrap.initdb = {{"encoding", "UTF8"}, {"data-checksums", ""}};
    const auto arguments = initdb_arguments(config, "/pw");
    ASSERT_TRUE(arguments);
    EXPECT_EQ(*arguments, (Words{"--pgdata=/d", "--username=admin", "--pwfile=/pw",
                                 "--encoding=UTF8", "--data-checksums", "--no-sync"}));
    for (const char* name : {"pgdata", "pwfile", "nosync", "sync-only", "version"}) {
        config.bootstrap.initdb = {{name, "x"}};
        EXPECT_FALSE(initdb_arguments(config, "")) << name;
    }
}

TEST(BasebackupArguments, leave_out_what_the_agent_decides) {
    ports::PostgresConfig config;
    config.basebackup = {
        {"max-rate", "100M"}, {"pgdata", "/x"}, {"compress", "9"}, {"checkpoint", "spread"}};
    Words warnings;
    const auto words = basebackup_arguments(config, "host=a", "/d", 150000, warnings);
    EXPECT_EQ(words, (Words{"--pgdata=/d", "-X", "stream", "--dbname=host=a", "--max-rate=100M",
                            "--checkpoint=spread", "--no-sync", "--progress"}));
    EXPECT_EQ(warnings.size(), 2U);
    config.basebackup = {{"compress", "server-lz4"}};
    EXPECT_TRUE(has(basebackup_arguments(config, "host=a", "/d", 150000, warnings),
                    "--compress=server-lz4"));
    EXPECT_TRUE(
        has(basebackup_arguments(config, "host=a", "/d", 150000, warnings), "--checkpoint=fast"));
    EXPECT_FALSE(has(basebackup_arguments(config, "host=a", "/d", 140000, warnings),
                     "--compress=server-lz4"));
}

TEST(ReplicaMethodCommand, adds_the_four_parameters_unless_told_not_to) {
    ports::PostgresConfig config;
    config.scope = "demo";
    config.data_dir = "/d";
    ports::ReplicaMethod method{.name = "pgbackrest",
                                .command = "pgbackrest 're store'",
                                .keep_data = true,
                                .no_params = false,
                                .no_leader = false,
                                .options = {{"stanza", "main"}, {"keep_data", "True"}}};
    EXPECT_EQ(replica_method_command(config, method, "host=a").value_or(Words{}),
              (Words{"pgbackrest", "re store", "--stanza=main", "--keep_data=True", "--scope=demo",
                     "--role=replica", "--datadir=/d", "--connstring=host=a"}));
    method.no_params = true;
    method.options = {{"stanza", "main"}};
    EXPECT_EQ(replica_method_command(config, method, "host=a").value_or(Words{}),
              (Words{"pgbackrest", "re store", "--stanza=main"}));
    method.command = "";
    EXPECT_FALSE(replica_method_command(config, method, ""));
}

TEST(ExpandWalCommand, knows_postgresqls_placeholders) {
    EXPECT_EQ(expand_wal_command("cp %p /a/%f %% %x %r", "pg_wal/1", "1", "0"),
              "cp pg_wal/1 /a/1 % %x 0");
    EXPECT_EQ(expand_wal_command("end%", "p", "f"), "end%");
}

TEST(RoleStatement, cannot_be_left_by_a_password) {
    EXPECT_EQ(quote_literal("it's"), "'it''s'");
    EXPECT_EQ(quote_literal("a\\'"), "E'a\\\\'''");
    EXPECT_EQ(quote_identifier("a\"b"), "\"a\"\"b\"");
    EXPECT_TRUE(role_statement("a", "", "LOGIN").contains("ALTER ROLE \"a\" WITH LOGIN;"));
}

}  // namespace
}  // namespace relevo::postgres
