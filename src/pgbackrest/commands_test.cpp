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
    const std::vector<cluster::HistoryLine> left = {{1, cluster::Lsn{5UL << 24U}, {}, {}, {}}};
    EXPECT_EQ(earlier_segments(names, left, 0),
              (std::vector<std::string>{"000000010000000000000003", "000000010000000000000004"}));
    EXPECT_TRUE(earlier_segments(names, {}, 0).empty());
}

// A standby that followed has the segment of the switch under its plain name, and a timeline that
// does not lead here is another's.
TEST(Commands, WhatIsPartlyOrWhollyOfAnotherLineIsNotArchived) {
    const std::vector<std::string> names = {"000000010000000000000004", "000000010000000000000005",
                                            "000000010000000000000006", "000000020000000000000004"};
    const std::vector<cluster::HistoryLine> left = {
        {1, cluster::Lsn{(5UL << 24U) + 40}, {}, {}, {}},
        {3, cluster::Lsn{9UL << 24U}, {}, {}, {}}};
    EXPECT_EQ(earlier_segments(names, left, 16UL << 20U),
              std::vector<std::string>{"000000010000000000000004"});
}

TEST(Commands, ARestoreNamesDirectoryBackupAndTarget) {
    ports::Backup::RestorePlan plan;
    plan.into = "/srv/restored";
    plan.backup = "20260514-010000F_20260515-010000I";
    plan.target = *cluster::target_at_time("2026-05-15 10:00+00");
    plan.target.inclusive = false;
    plan.tablespaces = "/srv/restored.tablespaces";
    const auto words = restore_arguments(member(), plan);
    ASSERT_TRUE(words) << words.error().message;
    EXPECT_THAT(*words, AllOf(Contains("restore"), Contains("--pg1-path=/srv/restored"),
                              Contains("--set=20260514-010000F_20260515-010000I"),
                              Contains("--type=time"), Contains("--target=2026-05-15 10:00:00+00"),
                              Contains("--target-exclusive"), Contains("--target-action=promote")));
    EXPECT_THAT(*words, AllOf(Contains("--target-timeline=latest"),
                              Contains("--tablespace-map-all=/srv/restored.tablespaces"),
                              Contains("--no-link-all"), Contains("--reset-link-map"),
                              Contains("--reset-tablespace-map"), Contains("--no-delta")));
}

TEST(Commands, EachKindOfTargetHasItsOwnWords) {
    const auto words = [](const cluster::RecoveryTarget& target, bool standby = false) {
        ports::Backup::RestorePlan plan;
        plan.into = "/srv/restored";
        plan.target = target;
        plan.as_standby = standby;
        plan.delta = standby;
        return *restore_arguments(member(), plan);
    };
    EXPECT_THAT(words({}), AllOf(Contains("--type=default"), Contains("--target-timeline=latest"),
                                 Not(Contains(HasSubstr("--target-action")))));
    cluster::RecoveryTarget target;
    target.kind = cluster::TargetKind::immediate;
    target.action = cluster::TargetAction::pause;
    EXPECT_THAT(words(target),
                AllOf(Contains("--type=immediate"), Contains("--target-action=pause"),
                      Not(Contains(HasSubstr("--target-timeline")))));
    target = *cluster::target_at_xid("735");
    target.timeline = {.way = cluster::TargetTimeline::Way::numbered, .number = 3};
    EXPECT_THAT(words(target), AllOf(Contains("--type=xid"), Contains("--target=735"),
                                     Contains("--target-timeline=3")));
    EXPECT_THAT(words(*cluster::target_at_lsn("0/5000000")),
                AllOf(Contains("--type=lsn"), Contains("--target=0/5000000")));
    EXPECT_THAT(words(target, true), AllOf(Contains("--type=standby"), Contains("--delta"),
                                           Not(Contains("--target=735"))));
}

TEST(Commands, NothingOddReachesARestoresArguments) {
    for (const char* into : {"", "/", "srv/restored", "/srv/a\nb"}) {
        ports::Backup::RestorePlan plan;
        plan.into = into;
        EXPECT_FALSE(restore_arguments(member(), plan)) << into;
    }
    ports::Backup::RestorePlan plan;
    plan.into = "/srv/restored";
    for (const char* label : {"", "latest", "../x", "20260514-010000F --force"}) {
        plan.backup = label;
        EXPECT_FALSE(restore_arguments(member(), plan)) << label;
    }
}

// PostgreSQL takes codes up to 125 for a file that the archive has not.
TEST(Commands, ARestoredServerTakesASilentRepositoryForNoEndOfTheArchive) {
    auto settings = member();
    settings.config.program = "/opt/it's/pgbackrest";
    const auto command = restore_command(settings, "/srv/my data");
    EXPECT_THAT(command, AllOf(HasSubstr(R"('/opt/it'\''s/pgbackrest')"),
                               HasSubstr("'--pg1-path=/srv/my data'"),
                               HasSubstr("archive-get %f \"%p\""), HasSubstr("exit 126")));
    ports::Backup::RestorePlan plan;
    plan.into = "/srv/my data";
    // pgBackRest writes it between quotes.
    EXPECT_THAT(*restore_arguments(settings, plan),
                Contains(AllOf(HasSubstr("--recovery-option=restore_command="),
                               HasSubstr(R"(''/opt/it''\\''''s/pgbackrest'')"))));
}

TEST(Commands, AnArchiveIsThatOfOneRepositoryAndDatabase) {
    const cluster::ArchiveRange archive{
        .repository = 2, .id = "15-1", .system_id = {}, .wal_min = {}, .wal_max = {}};
    EXPECT_THAT(list_archive_arguments(member(), archive),
                AllOf(Contains("repo-ls"), Contains("--repo=2"), Contains("archive/main/15-1")));
    EXPECT_THAT(history_arguments(member(), archive, 26),
                AllOf(Contains("repo-get"), Contains("archive/main/15-1/0000001A.history")));
}

TEST(Commands, NoArgumentHoldsASecret) {
    ports::Backup::RestorePlan plan;
    plan.into = "/srv/restored";
    for (const auto& words : {info_arguments(member()), expire_arguments(member(), false),
                              backup_arguments(member(), cluster::BackupType::full, std::nullopt),
                              *restore_arguments(member(), plan)})
        EXPECT_THAT(words, Not(Contains(HasSubstr("xyzzy"))));
}

}  // namespace
}  // namespace relevo::pgbackrest
