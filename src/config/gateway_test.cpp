#include "config/gateway.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace relevo::config {
namespace {

using ::testing::HasSubstr;

std::string problems_of(const char* yaml) {
    const auto read = read_gateway(yaml, "gateway.yml", {}, "app-1");
    return read ? "" : to_text(read.error());
}

TEST(Gateway, AShortFileIsEnough) {
    const auto read = read_gateway(
        "members: [pg-node-1:8008, 'https://10.0.0.2:8009/patroni']\n"
        "databases:\n  workflow: {}\n  workflow_ro: {to: replicas, dbname: workflow}\n",
        "gateway.yml", {}, "app-1");
    ASSERT_TRUE(read) << to_text(read.error());
    EXPECT_EQ(read->name, "app-1");
    EXPECT_EQ(read->members,
              (std::vector<std::string>{"http://pg-node-1:8008", "https://10.0.0.2:8009"}));
    ASSERT_EQ(read->databases.size(), 2U);
    EXPECT_EQ(read->databases[1].to, GatewayConfig::To::replicas);
    EXPECT_EQ(read->databases[1].dbname, "workflow");
    EXPECT_EQ(read->pgbouncer.listen, (Address{"127.0.0.1", 6432}));
    EXPECT_EQ(read->switchover.after_drain, GatewayConfig::AfterDrain::call_off);
}

TEST(Gateway, EverySettingIsRead) {
    const auto read = read_gateway(
        "name: gw\nscope: demo\nmembers: a:1\nlisten: 0.0.0.0:9\nuser: app\n"
        "restapi: {username: u, password: 0123, cafile: /ca}\n"
        "pgbouncer: {listen: '*:6433', processes: 2, directory: /run/x, include: /u.ini,\n"
        "  keep_own: [server_lifetime], settings: {auth_file: /a, max_client_conn: 10},\n"
        "  stop_with_gateway: off}\n"
        "databases: {w: {options: pool_size=3}}\n"
        "switchover: {drain: 1s, after_drain: let_through, hold_max: 5s}\n"
        "reads: {policy: any, lag_bytes: 1MB, lag: 500}\nlog: {level: DEBUG}\n",
        "gateway.yml", {}, "app-1");
    ASSERT_TRUE(read) << to_text(read.error());
    EXPECT_EQ(read->restapi.password, "0123");
    EXPECT_EQ(read->pgbouncer.processes, 2);
    EXPECT_EQ(read->pgbouncer.settings.at("max_client_conn"), "10");
    EXPECT_FALSE(read->pgbouncer.stop_with_gateway);
    EXPECT_EQ(read->switchover.drain.count(), 1000);
    EXPECT_EQ(read->switchover.hold_max.count(), 5000);
    EXPECT_EQ(read->reads.lag_bytes, 1 << 20);
    EXPECT_EQ(read->reads.lag.count(), 500);
    EXPECT_EQ(read->reads.policy, GatewayConfig::Reads::any);
}

TEST(Gateway, SystemdMayRunPgBouncer) {
    const auto read = read_gateway(
        "members: [a:1]\ndatabases: {w: {}}\n"
        "pgbouncer: {unit: pgbouncer-relevo@.service, processes: 2}\n",
        "gateway.yml", {}, "app-1");
    ASSERT_TRUE(read) << to_text(read.error());
    EXPECT_EQ(read->pgbouncer.unit, "pgbouncer-relevo@");
    const auto wrong = [](const std::string& pgbouncer) {
        return problems_of(
            ("members: [a:1]\ndatabases: {w: {}}\npgbouncer: {" + pgbouncer + "}\n").c_str());
    };
    EXPECT_THAT(wrong("unit: 'a; rm b'"), HasSubstr("pgbouncer.unit: is not the name of a unit"));
    EXPECT_THAT(wrong("unit: pgbouncer, processes: 2"), HasSubstr("name a template"));
    EXPECT_THAT(wrong("unit: pgbouncer, stop_with_gateway: on"),
                HasSubstr("pgbouncer.stop_with_gateway: is for a PgBouncer that the gateway"));
}

TEST(Gateway, TheExampleIsOneAndHasTheDefaults) {
    const auto read = load_gateway("examples/gateway.yml", {}, "app-1");
    ASSERT_TRUE(read) << to_text(read.error());
    const auto least = read_gateway("members: [a:1]\ndatabases: {w: {}}\n", "", {}, "app-1");
    ASSERT_TRUE(least);
    auto shown = read->pgbouncer;
    shown.settings.clear();
    EXPECT_EQ(shown, least->pgbouncer);
    EXPECT_EQ(read->switchover, least->switchover);
    EXPECT_EQ(read->reads, least->reads);
    EXPECT_EQ(read->listen, least->listen);
}

TEST(Gateway, WhatIsWrongIsNamedWithItsPlace) {
    EXPECT_THAT(problems_of("databases: {w: {}}\n"), HasSubstr("members: is empty"));
    EXPECT_THAT(problems_of("members: [a:1]\n"), HasSubstr("databases: is empty"));
    EXPECT_THAT(problems_of("members: [a:x]\ndatabases: {w: {}}\n"), HasSubstr("a:x is not"));
    EXPECT_THAT(problems_of("members: [a:1]\ndatabases: {w: {}}\npgbounce: {}\n"),
                HasSubstr("pgbounce: there is no such setting"));
    EXPECT_THAT(problems_of("members: [a:1]\ndatabases: {w: {to: nowhere}}\n"),
                HasSubstr("databases.w.to"));
    EXPECT_THAT(problems_of("members: [a:1]\ndatabases: {'*': {}}\n"),
                HasSubstr("give each database by its name"));
    EXPECT_THAT(problems_of("members: [a:1]\ndatabases: {w: {options: 'host=x'}}\n"),
                HasSubstr("says where it leads"));
    EXPECT_THAT(problems_of("members: [a:1]\ndatabases: {w: {}}\nswitchover: {drain: fast}\n"),
                HasSubstr("switchover.drain"));
    EXPECT_THAT(problems_of(""), HasSubstr("expected a mapping"));
    EXPECT_THAT(problems_of("members: [a:1"), HasSubstr("gateway.yml"));
}

TEST(Gateway, AFileThatIsNotThereIsSaid) {
    const auto read = load_gateway("/nowhere/gateway.yml", {}, "app-1");
    ASSERT_FALSE(read);
    EXPECT_THAT(to_text(read.error()), HasSubstr("/nowhere/gateway.yml: cannot be read"));
}

}  // namespace
}  // namespace relevo::config
