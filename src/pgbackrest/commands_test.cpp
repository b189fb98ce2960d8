#include "pgbackrest/commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace relevo::pgbackrest {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

Settings member() {
    Settings settings;
    settings.config.stanza = "main";
    settings.config.options["repo1-cipher-pass"] = {"xyzzy"};
    settings.file = "/srv/data.pgbackrest/pgbackrest.conf";
    settings.data_dir = "/srv/data";
    return settings;
}

TEST(Commands, NameTheFileAndTheStanza) {
    EXPECT_EQ(info_arguments(member()),
              (Arguments{"pgbackrest", "--config=/srv/data.pgbackrest/pgbackrest.conf",
                         "--stanza=main", "--log-level-console=off", "--log-level-stderr=warn",
                         "--no-log-timestamp", "info", "--output=json"}));
    EXPECT_THAT(expire_arguments(member(), true), Contains("--dry-run"));
    EXPECT_THAT(expire_arguments(member(), false), Not(Contains("--dry-run")));
}

TEST(Commands, ItsPatienceFitsIntoOurs) {
    using namespace std::chrono_literals;
    auto settings = member();
    EXPECT_EQ(with_patience({}, settings, 600s), Arguments{});
    EXPECT_EQ(with_patience({}, settings, 75s), Arguments{"--io-timeout=15"});
    EXPECT_EQ(with_patience({}, settings, 1s), Arguments{"--io-timeout=3"});
    settings.config.options["io-timeout"] = {"10"};
    EXPECT_EQ(with_patience({}, settings, 75s), Arguments{});
}

TEST(Commands, ABackupNeverExpiresByItself) {
    const auto here = backup_arguments(member(), cluster::BackupType::differential, std::nullopt);
    EXPECT_THAT(here, AllOf(Contains("backup"), Contains("--type=diff"),
                            Contains("--no-expire-auto"), Contains("--no-backup-standby")));
}

TEST(Commands, AStandbysBackupNamesThePrimary) {
    auto settings = member();
    settings.config.primary_host = {{"host-type", {"tls"}}, {"host-port", {"8432"}}};
    const auto there = backup_arguments(settings, cluster::BackupType::full,
                                        ports::Endpoint{.host = "10.0.0.1", .port = 5432});
    EXPECT_THAT(there, AllOf(Contains("--backup-standby"), Contains("--pg2-host=10.0.0.1"),
                             Contains("--pg2-port=5432"), Contains("--pg2-path=/srv/data"),
                             Contains("--pg2-host-type=tls"), Contains("--pg2-host-port=8432")));
    settings.config.primary_host["path"] = {"/elsewhere"};
    const auto elsewhere = backup_arguments(settings, cluster::BackupType::full,
                                            ports::Endpoint{.host = "10.0.0.1", .port = 5432});
    EXPECT_THAT(elsewhere,
                AllOf(Contains("--pg2-path=/elsewhere"), Not(Contains("--pg2-path=/srv/data"))));
}

TEST(Commands, OfEarlierTimelinesOnlyWholeSegmentsAreArchived) {
    const std::vector<std::string> names = {
        "00000002.history",         "000000020000000000000005", "archive_status",
        "000000010000000000000004", "000000010000000000000003", "000000010000000000000005.partial",
        "000000030000000000000006", "00000001000000000000000G"};
    EXPECT_EQ(earlier_segments(names, 2),
              (std::vector<std::string>{"000000010000000000000003", "000000010000000000000004"}));
    EXPECT_TRUE(earlier_segments(names, 1).empty());
}

TEST(Commands, NoArgumentHoldsASecret) {
    for (const auto& words : {info_arguments(member()), expire_arguments(member(), false),
                              backup_arguments(member(), cluster::BackupType::full, std::nullopt)})
        EXPECT_THAT(words, Not(Contains(HasSubstr("xyzzy"))));
}

}  // namespace
}  // namespace relevo::pgbackrest
