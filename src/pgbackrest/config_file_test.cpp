#include "pgbackrest/config_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace relevo::pgbackrest {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Settings member() {
    Settings settings;
    settings.config.present = true;
    settings.config.stanza = "main";
    settings.directory = "/srv/data.pgbackrest";
    settings.file = "/srv/data.pgbackrest/pgbackrest.conf";
    settings.data_dir = "/srv/data";
    settings.port = 5433;
    settings.user = "postgres";
    return settings;
}

TEST(ConfigFile, HasTheOperatorsOptionsOurDefaultsAndTheServer) {
    auto settings = member();
    settings.config.options = {{"repo1-path", {"/backups"}},
                               {"repo1-cipher-pass", {"a b=c#d"}},
                               {"process-max", {"3"}},
                               {"tls-server-auth", {"a=main", "b=main"}}};
    settings.config.command_options["archive-push"] = {{"process-max", {"4"}}};
    settings.socket_dir = "/run/pg";
    EXPECT_EQ(render(settings),
              "# Written by relevo out of the section `backup`; changes to this file do not last.\n"
              "[global]\n"
              "compress-type=lz4\n"
              "lock-path=/srv/data.pgbackrest/lock\n"
              "log-level-file=off\n"
              "log-path=/srv/data.pgbackrest/log\n"
              "process-max=3\n"
              "repo1-cipher-pass=a b=c#d\n"
              "repo1-path=/backups\n"
              "repo1-retention-full=7\n"
              "spool-path=/srv/data.pgbackrest/spool\n"
              "start-fast=y\n"
              "tls-server-auth=a=main\n"
              "tls-server-auth=b=main\n"
              "\n[global:archive-push]\n"
              "process-max=4\n"
              "\n[main]\n"
              "pg1-database=postgres\n"
              "pg1-path=/srv/data\n"
              "pg1-port=5433\n"
              "pg1-socket-path=/run/pg\n"
              "pg1-user=postgres\n");
}

TEST(ConfigFile, EachRepositoryKeepsSevenFullBackupsUnlessToldOtherwise) {
    auto settings = member();
    EXPECT_THAT(render(settings), HasSubstr("repo1-retention-full=7\n"));
    settings.config.options = {{"repo1-retention-full", {"3"}}, {"repo2-type", {"s3"}}};
    const auto text = render(settings);
    EXPECT_THAT(text, HasSubstr("repo1-retention-full=3\n"));
    EXPECT_THAT(text, HasSubstr("repo2-retention-full=7\n"));
    EXPECT_THAT(text, Not(HasSubstr("repo1-retention-full=7")));
}

TEST(ConfigFile, ThePasswordFileIsForAnyPlaceOfTheSocket) {
    auto settings = member();
    EXPECT_EQ(pgpass(settings), "");
    settings.password = R"(a:b\c)";
    EXPECT_EQ(pgpass(settings), "*:*:*:postgres:a\\:b\\\\c\n");
    EXPECT_THAT(render(settings), Not(HasSubstr("a:b")));
}

}  // namespace
}  // namespace relevo::pgbackrest
