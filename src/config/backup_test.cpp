#include "config/backup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/dynamic.h"
#include "config/reload.h"
#include "config/testing.h"

namespace relevo::config {
namespace {

using ports::BackupConfig;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::load_text;
using testing::minimal;
using ::testing::Not;
using ::testing::Pair;
using testing::problems_of;

const std::string whole = minimal + R"(
backup:
  stanza: main
  program: /usr/bin/pgbackrest
  options:
    repo1-type: s3
    repo1-path: /pg
    repo1-retention-full: 14
    repo1-cipher-type: aes-256-cbc
    repo1-cipher-pass: "${PASSPHRASE}"
    repo1-storage-verify-tls: false
    archive-async: yes
    tls-server-auth: [a=main, b=main]
    archive-push: {process-max: 4}
  primary_host: {host-type: tls, host-port: 8432}
  schedule: {full: "0 1 * * 0", differential: "0 1 * * 1-6", incremental: false, timezone: UTC}
  from: standby
  archive_timeout: 30s
)";

std::string with(const std::string& text) { return problems_of(minimal + "backup: " + text); }

Effective effective_of(const std::string& yaml, const std::string& dynamic = "{}") {
    const auto local = load_text(yaml);
    EXPECT_TRUE(local) << local.error().message;
    if (!local) return {};
    auto made = effective(*local, dynamic);
    EXPECT_TRUE(made) << made.error().message;
    return made ? *std::move(made) : Effective{};
}

TEST(BackupSection, IsReadAsPgBackRestWillHaveIt) {
    const auto config = load_text(whole, {{"PASSPHRASE", "a b=c"}});
    ASSERT_TRUE(config) << config.error().message;
    const BackupConfig& backup = config->backup;
    EXPECT_TRUE(backup.present);
    EXPECT_THAT(config->consumed, Contains("PASSPHRASE"));
    EXPECT_EQ(backup.stanza, "main");
    EXPECT_EQ(backup.program, "/usr/bin/pgbackrest");
    EXPECT_THAT(backup.options.at("repo1-retention-full"), ElementsAre("14"));
    EXPECT_THAT(backup.options.at("repo1-cipher-pass"), ElementsAre("a b=c"));
    EXPECT_THAT(backup.options.at("repo1-storage-verify-tls"), ElementsAre("n"));
    EXPECT_THAT(backup.options.at("archive-async"), ElementsAre("y"));
    EXPECT_THAT(backup.options.at("tls-server-auth"), ElementsAre("a=main", "b=main"));
    EXPECT_THAT(backup.command_options.at("archive-push").at("process-max"), ElementsAre("4"));
    EXPECT_THAT(backup.primary_host.at("host-port"), ElementsAre("8432"));
    EXPECT_EQ(backup.full, "0 1 * * 0");
    EXPECT_EQ(backup.differential, "0 1 * * 1-6");
    EXPECT_EQ(backup.incremental, "");
    EXPECT_EQ(backup.from, BackupConfig::From::standby);
    EXPECT_EQ(backup.archive_timeout, std::chrono::seconds(30));
    EXPECT_THAT(config->unknown, IsEmpty());
    EXPECT_EQ(load_text(minimal)->backup, BackupConfig{});
}

TEST(BackupSection, SaysNothingAndHasADayOfBackups) {
    const auto config = load_text(minimal + "backup: {}\n");
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_TRUE(config->backup.present);
    EXPECT_EQ(config->backup.stanza, "demo");
    EXPECT_EQ(config->backup.full, "0 1 * * *");
    EXPECT_EQ(config->backup.from, BackupConfig::From::prefer_standby);
    EXPECT_EQ(config->backup.archive_timeout, std::chrono::seconds(60));
}

TEST(BackupSection, SaysWhatIsWrongOnceEach) {
    EXPECT_THAT(with("{options: {pg1-path: /data}}"),
                HasSubstr("backup.options.pg1-path: is the agent's own; leave it out"));
    EXPECT_THAT(with("{options: {pg-port: 5432}}"), HasSubstr("the section postgresql"));
    EXPECT_THAT(with("{options: {stanza: x}}"), HasSubstr("give backup.stanza"));
    EXPECT_THAT(with("{options: {pg2-host: b}}"), HasSubstr("backup.primary_host"));
    EXPECT_THAT(with("{options: {--repo1-path: /b}}"), HasSubstr("without dashes"));
    EXPECT_THAT(with("{options: {repo1-path: {a: b}}}"), HasSubstr("one line of text"));
    EXPECT_THAT(with("{options: {repo1-path: }}"), HasSubstr("one line of text"));
    EXPECT_THAT(with("{options: {repo1-path: \"a\\nb\"}}"), HasSubstr("one line of text"));
    EXPECT_THAT(with("{options: [a]}"), HasSubstr("backup.options: found a list"));
    EXPECT_THAT(with("{config: /etc/p.conf, options: {repo1-path: /b}}"),
                HasSubstr("used as it is"));
    EXPECT_THAT(with("{config: p.conf}"), HasSubstr("an absolute path"));
    EXPECT_THAT(with("{stanza: global}"), HasSubstr("is no stanza's name"));
    EXPECT_THAT(with("{stanza: 'a b'}"), HasSubstr("is no stanza's name"));
    EXPECT_THAT(with("{from: standby}"), HasSubstr("backup.from: a backup from a standby"));
    EXPECT_THAT(with("{config: /etc/p.conf, from: standby}"),
                HasSubstr("does not follow the leader"));
    EXPECT_EQ(with("{config: /etc/p.conf, from: standby, primary_host: {host-type: tls}}"), "");
    EXPECT_THAT(with("{from: elsewhere}"), HasSubstr("one of prefer-standby, standby, primary"));
    EXPECT_THAT(with("{primary_host: {port: 1}}"), HasSubstr("found port"));
    EXPECT_THAT(with("{schedule: {full: 7}}"), HasSubstr("a cron expression in quotes"));
    EXPECT_THAT(with("{schedule: {full: \"0 25 * * *\"}}"), HasSubstr("backup.schedule.full"));
    EXPECT_THAT(with("{schedule: {timezone: Nowhere/Else}}"),
                HasSubstr("backup.schedule.timezone"));
    EXPECT_THAT(with("{archive_timeout: 0}"), HasSubstr("backup.archive_timeout"));
    const auto schedule = with("{schedule: daily}");
    EXPECT_THAT(schedule, HasSubstr("backup.schedule: found \"daily\""));
    EXPECT_EQ(schedule.find("backup.schedule"), schedule.rfind("backup.schedule"));
}

TEST(BackupSection, WalIsDroppedOnlyWhereTheOperatorSaysSoAndHowMuchMayWait) {
    const auto config =
        load_text(minimal + "backup: {archive_queue: drop, archive_queue_max: 16GB}\n");
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->backup.archive_queue, BackupConfig::Queue::drop);
    EXPECT_EQ(config->backup.archive_queue_max_bytes, 16UL << 30U);
    EXPECT_EQ(load_text(minimal + "backup: {}\n")->backup.archive_queue, BackupConfig::Queue::keep);
    EXPECT_THAT(with("{archive_queue: drop}"), HasSubstr("drop needs a bound"));
    EXPECT_THAT(with("{archive_queue: drop, archive_queue_max: 16MB}"),
                HasSubstr("backup.archive_queue_max"));
    EXPECT_THAT(with("{archive_queue_max: 1GB}"), HasSubstr("add archive_queue: drop"));
    EXPECT_THAT(with("{archive_queue: lose}"), HasSubstr("one of keep, drop"));
    for (const auto* option : {"{options: {archive-push-queue-max: 1GB}}",
                               "{options: {archive-push: {archive-push-queue-max: 1GB}}}"})
        EXPECT_THAT(with(option), HasSubstr("give backup.archive_queue: drop")) << option;
}

TEST(BackupSection, HalfACipherIsRefused) {
    EXPECT_THAT(with("{options: {repo1-cipher-pass: xyzzy}}"),
                AllOf(HasSubstr("nothing would be encrypted"), Not(HasSubstr("xyzzy"))));
    EXPECT_THAT(with("{options: {repo1-cipher-pass: xyzzy, repo1-cipher-type: none}}"),
                HasSubstr("nothing would be encrypted"));
    EXPECT_THAT(with("{options: {repo2-cipher-type: aes-256-cbc}}"),
                HasSubstr("repo2-cipher-type is given without repo2-cipher-pass"));
    EXPECT_EQ(with("{options: {repo1-cipher-type: none}}"), "");
}

TEST(BackupSection, APassphraseMayLookLikeANumber) {
    const auto config = load_text(
        minimal +
        "backup: {options: {repo1-cipher-type: aes-256-cbc, repo1-cipher-pass: 0123, a: [1e3]}}\n");
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_THAT(config->backup.options.at("repo1-cipher-pass"), ElementsAre("0123"));
    EXPECT_THAT(config->backup.options.at("a"), ElementsAre("1e3"));
}

TEST(BackupSection, TheOperatorsProgramNeedsNoneOfIt) {
    const auto yaml = minimal + "backup: {options: {repo1-cipher-pass: \"${NOT_SET}\"}}\n";
    EXPECT_THAT(problems_of(yaml), HasSubstr("NOT_SET"));
    const auto config =
        load({.path = std::nullopt, .environment = {{"PATRONI_CONFIGURATION", yaml}}}, For::ctl);
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_FALSE(config->backup.present);
}

TEST(BackupSection, NoMessageShowsAValueOfAnOption) {
    const auto text = with("{options: {repo1-s3-key: [xyzzy, {a: b}], 'X y': xyzzy}}");
    EXPECT_THAT(text, AllOf(HasSubstr("repo1-s3-key"), Not(HasSubstr("xyzzy"))));
}

TEST(Archiving, IsTurnedOnWithTheFileThatTheAgentRenders) {
    const auto made = effective_of(minimal + "backup: {stanza: main}\n");
    const auto& base = made.postgres.parameters.base;
    EXPECT_EQ(base.at("archive_mode"), "on");
    EXPECT_EQ(base.at("archive_timeout"), "60");
    EXPECT_EQ(base.at("archive_command"),
              "pgbackrest --config=/srv/data.pgbackrest/pgbackrest.conf --stanza=main "
              "archive-push \"%p\"");
    EXPECT_EQ(
        made.postgres.recovery_conf.at("restore_command"),
        "[ -e /srv/data.pgbackrest/fetch ] && { echo %f | grep -qxf /srv/data.pgbackrest/fetch; "
        "[ $? -eq 1 ]; } && timeout --foreground -k 2 60 pgbackrest "
        "--config=/srv/data.pgbackrest/pgbackrest.conf --stanza=main archive-get %f \"%p\" "
        "|| exit 1");
    EXPECT_THAT(made.postgres.fetch_command, Not(HasSubstr("/fetch")));
    EXPECT_THAT(made.notes, IsEmpty());
    const auto without = effective_of(minimal);
    EXPECT_FALSE(without.postgres.parameters.base.contains("archive_mode"));
    EXPECT_FALSE(without.postgres.recovery_conf.contains("restore_command"));
    EXPECT_EQ(without.postgres.fetch_command, "");
    EXPECT_TRUE(made.postgres.archiver_patience);
    EXPECT_FALSE(without.postgres.archiver_patience);
}

// On the command alone: what the agent archives itself is never dropped.
TEST(Archiving, HasTheBoundOfTheQueueOnItsCommand) {
    const auto section = minimal + "backup: {archive_queue: drop, archive_queue_max: 64MB}\n";
    const auto made = effective_of(section);
    EXPECT_EQ(made.postgres.parameters.base.at("archive_command"),
              "pgbackrest --config=/srv/data.pgbackrest/pgbackrest.conf --stanza=demo "
              "--archive-push-queue-max=67108864 archive-push \"%p\"");
    EXPECT_THAT(made.notes, IsEmpty());
    const auto own =
        effective_of(section, R"({"postgresql":{"parameters":{"archive_command":"mine %p"}}})");
    EXPECT_EQ(own.postgres.parameters.base.at("archive_command"), "mine %p");
    EXPECT_THAT(own.notes, ElementsAre(HasSubstr("backup.archive_queue: drop has no effect")));
}

TEST(ReplicasFromBackups, NeedTheSectionOrACommand) {
    const std::string method = R"({"postgresql":{"create_replica_methods":["pgbackrest"]}})";
    const auto made = effective_of(minimal + "backup: {}\n", method);
    const auto& built_in = made.postgres.replica_methods.at("pgbackrest");
    EXPECT_TRUE(built_in.from_repository && !built_in.delta);
    EXPECT_THAT(made.notes, IsEmpty());
    const auto delta = effective_of(
        minimal + "backup: {}\n",
        R"({"postgresql":{"create_replica_methods":["pgbackrest"],"pgbackrest":{"delta":true}}})");
    EXPECT_TRUE(delta.postgres.replica_methods.at("pgbackrest").delta);

    const auto without = effective_of(minimal, method);
    EXPECT_FALSE(without.postgres.replica_methods.at("pgbackrest").from_repository);
    EXPECT_THAT(without.notes, ElementsAre(HasSubstr("needs postgresql.pgbackrest.command")));
    const auto own = effective_of(minimal + "backup: {}\n",
                                  R"({"postgresql":{"create_replica_methods":["pgbackrest"],)"
                                  R"("pgbackrest":{"command":"/mine","delta":true}}})");
    EXPECT_FALSE(own.postgres.replica_methods.at("pgbackrest").from_repository);
    EXPECT_THAT(own.postgres.replica_methods.at("pgbackrest").options,
                Contains(Pair("delta", "True")));
}

TEST(Archiving, WhatTheOperatorSetHimselfWins) {
    const std::string adr =
        R"({"postgresql":{"parameters":{"archive_mode":"on","archive_timeout":300,)"
        R"("archive_command":"pgbackrest --stanza=main archive-push %p"},)"
        R"("recovery_conf":{"restore_command":"mine %f %p"}}})";
    const auto made =
        effective_of(minimal + "backup: {config: /etc/pgbackrest/pgbackrest.conf}\n", adr);
    const auto& base = made.postgres.parameters.base;
    EXPECT_EQ(base.at("archive_command"), "pgbackrest --stanza=main archive-push %p");
    EXPECT_EQ(base.at("archive_timeout"), "300");
    EXPECT_EQ(made.postgres.recovery_conf.at("restore_command"), "mine %f %p");
    EXPECT_EQ(made.postgres.fetch_command, "");
    const auto library = effective_of(
        minimal + "backup: {}\n", R"({"postgresql":{"parameters":{"archive_library":"mine"}}})");
    EXPECT_FALSE(library.postgres.parameters.base.contains("archive_command"));
}

TEST(Archiving, ThatIsTurnedOffIsSaid) {
    const auto made = effective_of(minimal + "backup: {}\n",
                                   R"({"postgresql":{"parameters":{"archive_mode":"off"}}})");
    EXPECT_EQ(made.postgres.parameters.base.at("archive_mode"), "off");
    EXPECT_THAT(made.notes, ElementsAre(HasSubstr("no WAL reaches the repository")));
}

TEST(Archiving, APathThatTheShellOrPostgresWouldExpandIsQuoted) {
    auto yaml = minimal + "backup: {config: \"/etc/it's 100%/p.conf\"}\n";
    const auto made = effective_of(yaml);
    EXPECT_THAT(made.postgres.parameters.base.at("archive_command"),
                HasSubstr(R"(pgbackrest '--config=/etc/it'\''s 100%%/p.conf' --stanza=demo)"));
}

TEST(Archiving, FollowsAReload) {
    const auto running = load_text(minimal);
    auto fresh = load_text(minimal + "backup: {}\n");
    ASSERT_TRUE(running && fresh);
    EXPECT_TRUE(reload_over(*running, *std::move(fresh)).config.backup.present);
}

const std::string section = "backup: {stanza: new}\n";
std::string origin_problems(const std::string& options, const std::string& backup = section) {
    return problems_of(minimal + backup + "bootstrap: {method: pgbackrest, pgbackrest: " + options +
                       "}\n");
}

TEST(Origin, ATargetIsReadInPostgresqlsWords) {
    const auto config = load_text(minimal + section + R"(
bootstrap:
  method: pgbackrest
  pgbackrest:
    stanza: old
    recovery_target_time: 2026-05-14 10:00:00+02
    recovery_target_timeline: 3
    recovery_target_inclusive: false
    backup: 20260514-010000F
)");
    ASSERT_TRUE(config) << config.error().message;
    const auto& bootstrap = config->postgres.bootstrap;
    ASSERT_TRUE(bootstrap.origin);
    EXPECT_FALSE(bootstrap.custom);
    EXPECT_EQ(describe(bootstrap.origin->target), "just before 2026-05-14 08:00:00+00");
    EXPECT_EQ(to_string(bootstrap.origin->target.timeline), "3");
    EXPECT_EQ(bootstrap.origin->backup, "20260514-010000F");
    EXPECT_EQ(bootstrap.origin->stanza, "old");
    EXPECT_EQ(effective_of(minimal + section +
                           "bootstrap: {method: pgbackrest, pgbackrest: {stanza: old}}\n")
                  .postgres.bootstrap.origin->target.kind,
              cluster::TargetKind::latest);
}

TEST(Origin, WithACommandItIsAMethodOfTheOperators) {
    const auto config = load_text(
        minimal + "bootstrap: {method: pgbackrest, pgbackrest: {command: /bin/restore, a: b}}\n");
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_FALSE(config->postgres.bootstrap.origin);
    EXPECT_EQ(config->postgres.bootstrap.custom->command, "/bin/restore");
}

TEST(Origin, TwoClustersNeverArchiveIntoOneStanza) {
    EXPECT_THAT(origin_problems("{}"), HasSubstr("take_over_stanza"));
    EXPECT_THAT(origin_problems("{stanza: new}"), HasSubstr("take_over_stanza"));
    EXPECT_THAT(problems_of(minimal + section + "bootstrap: {method: pgbackrest}\n"),
                HasSubstr("take_over_stanza"));
    EXPECT_EQ(origin_problems("{take_over_stanza: true}"), "");
    EXPECT_EQ(origin_problems("{stanza: old}"), "");
    EXPECT_EQ(origin_problems("{config: /etc/other.conf}"), "");
    EXPECT_THAT(origin_problems("{config: /etc/p.conf}", "backup: {config: /etc/p.conf}\n"),
                HasSubstr("take_over_stanza"));
    EXPECT_THAT(origin_problems("{stanza: old}", ""), HasSubstr("where the backups are"));
    EXPECT_EQ(origin_problems("{stanza: old, config: /etc/p.conf}", ""), "");
}

TEST(Origin, WhatIsMisspeltOrUnclearIsRefused) {
    EXPECT_THAT(origin_problems("{stanza: old, recovery_target_tme: x}"),
                HasSubstr("bootstrap.pgbackrest.recovery_target_tme: is not known here"));
    EXPECT_THAT(origin_problems("{stanza: old, recovery_target_time: '2026-05-14 10:00'}"),
                HasSubstr("zone"));
    EXPECT_THAT(origin_problems("{stanza: old, recovery_target_xid: 7, recovery_target_lsn: 0/5}"),
                HasSubstr("more than one target"));
    EXPECT_THAT(origin_problems("{stanza: old, config: p.conf}"), HasSubstr("an absolute path"));
}

TEST(BackupProof, IsMadeByAScheduleOnlyWhereTheSectionIsThere) {
    const auto plain = load_text(minimal + "backup: {options: {repo1-path: /r}}\n");
    EXPECT_EQ(plain->backup.proof.schedule, "");
    const auto weekly =
        load_text(minimal + "backup: {options: {repo1-path: /r}, proof: {on: replica}}\n");
    EXPECT_EQ(weekly->backup.proof.schedule, "0 4 * * 0");
    EXPECT_EQ(weekly->backup.proof.on, "");
    const auto asked = load_text(minimal + R"(
backup:
  options: {repo1-path: /r}
  proof: {schedule: false, on: pg-9, directory: /srv/p, check: SELECT true, database: app,
          amcheck: false, timeout: 2h, on_only_member: true}
)");
    const auto& proof = asked->backup.proof;
    EXPECT_EQ(proof.schedule, "");
    EXPECT_EQ(proof.on, "pg-9");
    EXPECT_EQ(proof.check, "SELECT true");
    EXPECT_EQ(proof.timeout, std::chrono::hours(2));
    EXPECT_TRUE(proof.on_only_member);
    EXPECT_FALSE(proof.amcheck);
}

TEST(BackupProof, WhatIsWrongIsNamed) {
    const auto with = [](const char* proof) {
        return problems_of(minimal + "backup: {options: {repo1-path: /r}, proof: " + proof + "}\n");
    };
    EXPECT_THAT(with("{directory: here}"), HasSubstr("backup.proof.directory"));
    EXPECT_THAT(with("{check: SELECT 1, check_file: /a}"), HasSubstr("give one of them"));
    EXPECT_THAT(with("{schedule: \"0 25 * * *\"}"), HasSubstr("backup.proof.schedule"));
    EXPECT_THAT(with("{timeout: 1}"), HasSubstr("backup.proof.timeout"));
}

}  // namespace
}  // namespace relevo::config
