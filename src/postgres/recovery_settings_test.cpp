#include "postgres/recovery_settings.h"

#include <gtest/gtest.h>

namespace relevo::postgres {
namespace {

ports::PostgresConfig member() {
    ports::PostgresConfig config;
    config.name = "pg-2";
    config.replication = {.username = "replicator", .password = "secret", .options = {}};
    config.recovery_conf = {{"restore_command", "fetch %f %p"},
                            {"recovery_target_time", "2020-01-01"},
                            {"Archive_Cleanup_Command", "tidy %r"}};
    return config;
}

cluster::Upstream upstream() {
    return {.member = "pg-1", .host = "10.0.0.1", .port = 5433, .slot_name = "pg_2"};
}

TEST(PrimaryConninfo, names_the_member_and_never_holds_the_password) {
    const std::string text = primary_conninfo(member(), upstream(), 150000, "/etc/pg/pgpass");
    EXPECT_EQ(text,
              "user=replicator passfile=/etc/pg/pgpass host=10.0.0.1 port=5433 sslmode=prefer "
              "gssencmode=prefer "
              "channel_binding=prefer application_name=pg-2 keepalives_idle=2 "
              "keepalives_interval=1 keepalives_count=3 tcp_user_timeout=5000 "
              "options='-ctcp_user_timeout=5000 -ctcp_keepalives_idle=2 "
              "-ctcp_keepalives_interval=1 -ctcp_keepalives_count=3'");
    EXPECT_FALSE(text.contains("secret"));
}

TEST(PrimaryConninfo, knows_what_each_version_understands) {
    EXPECT_TRUE(
        primary_conninfo(member(), upstream(), 170000, "/p").contains("sslnegotiation=postgres"));
    EXPECT_TRUE(
        primary_conninfo(member(), upstream(), 170000, "/p").starts_with("dbname=postgres "));
    EXPECT_FALSE(primary_conninfo(member(), upstream(), 120000, "/p").contains("channel_binding"));
    EXPECT_FALSE(primary_conninfo(member(), upstream(), 110000, "/p").contains("gssencmode"));
    EXPECT_FALSE(primary_conninfo(member(), upstream(), 120000, "/p").contains("tcp_user"));
    auto config = member();
    config.replication.options = {{"sslmode", "verify-full"}, {"sslrootcert", "/etc/my ca.crt"}};
    EXPECT_TRUE(primary_conninfo(config, upstream(), 150000, "/p")
                    .contains("sslmode=verify-full sslrootcert='/etc/my ca.crt'"));
}

TEST(Conninfo, survives_being_written_and_read) {
    const std::string text =
        make_conninfo({{"host", "a,b"}, {"password", "it's a \\ day"}, {"empty", ""}});
    EXPECT_EQ(text, R"(host=a,b password='it\'s a \\ day')");
    const auto pairs = parse_conninfo(text);
    ASSERT_TRUE(pairs);
    EXPECT_EQ(pairs->at("password"), "it's a \\ day");
    EXPECT_FALSE(parse_conninfo("host"));
    EXPECT_FALSE(parse_conninfo("host='a"));
    EXPECT_EQ(parse_conninfo("host = a  port=1")->at("host"), "a");
}

TEST(RecoverySettings, follow_the_latest_timeline_and_no_target) {
    const auto settings = recovery_settings(member(), upstream(), 150000, "/p");
    EXPECT_EQ(settings.values.at("recovery_target_timeline"), "latest");
    EXPECT_EQ(settings.values.at("recovery_target_time"), "");
    EXPECT_EQ(settings.values.at("restore_command"), "fetch %f %p");
    EXPECT_EQ(settings.values.at("archive_cleanup_command"), "tidy %r");
    EXPECT_EQ(settings.values.at("primary_slot_name"), "pg_2");
    const auto alone = recovery_settings(member(), std::nullopt, 150000, "");
    EXPECT_EQ(alone.values.at("primary_conninfo"), "");
    EXPECT_EQ(alone.values.at("primary_slot_name"), "");
}

TEST(CompareRecovery, tells_reload_from_restart_by_version) {
    const auto wanted = recovery_settings(member(), upstream(), 150000, "/p").values;
    auto actual = wanted;
    EXPECT_EQ(compare_recovery(wanted, actual, 150000), RecoveryChange::nothing);
    actual["primary_conninfo"] = "host=10.0.0.9";
    EXPECT_EQ(compare_recovery(wanted, actual, 150000), RecoveryChange::reload);
    EXPECT_EQ(compare_recovery(wanted, actual, 120000), RecoveryChange::restart);
    actual = wanted;
    actual["restore_command"] = "other";
    EXPECT_EQ(compare_recovery(wanted, actual, 150000), RecoveryChange::reload);
    EXPECT_EQ(compare_recovery(wanted, actual, 130000), RecoveryChange::restart);
    actual = wanted;
    actual["recovery_target_timeline"] = "current";
    EXPECT_EQ(compare_recovery(wanted, actual, 150000), RecoveryChange::restart);
}

TEST(CompareRecovery, does_not_mind_spelling_and_the_database_before_17) {
    const std::map<std::string, std::string> wanted{{"primary_conninfo", "user=a host=b"}};
    EXPECT_EQ(compare_recovery(wanted, {{"primary_conninfo", "host = 'b' user=a"}}, 150000),
              RecoveryChange::nothing);
    EXPECT_EQ(compare_recovery(wanted, {{"primary_conninfo", "user=a host=b dbname=x"}}, 150000),
              RecoveryChange::nothing);
    EXPECT_EQ(compare_recovery(wanted, {{"primary_conninfo", "user=a host=b dbname=x"}}, 170000),
              RecoveryChange::reload);
}

TEST(CompareRecovery, tolerates_what_an_included_file_sets_and_nobody_configured) {
    EXPECT_EQ(compare_recovery({}, {{"restore_command", "fetch"}}, 130000),
              RecoveryChange::nothing);
}

}  // namespace
}  // namespace relevo::postgres
