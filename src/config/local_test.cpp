#include "config/local.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/testing.h"

namespace relevo::config {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::load_text;
using testing::minimal;
using ::testing::Not;
using ::testing::Pair;
using testing::problems_of;
using ::testing::StartsWith;
using testing::TemporaryDirectory;

// The tests run in the project's directory (cmake/room.cmake).
const std::string adr_example = "examples/patroni.yml";
const Environment adr_passwords{{"REPLICATOR_PASSWORD", "rep-secret"},
                                {"POSTGRES_PASSWORD", "010"}};

TEST(AdrExample, LoadsWithItsPasswordsFromTheEnvironment) {
    const auto loaded = load({adr_example, adr_passwords});
    ASSERT_TRUE(loaded) << loaded.error().message;
    const LocalConfig& config = *loaded;
    EXPECT_EQ(config.base_key(), "/service/workflow-engine");
    EXPECT_EQ(config.name, "pg-node-1");
    EXPECT_EQ(config.restapi.listen, (Address{.host = "0.0.0.0", .port = 8008}));
    EXPECT_EQ(config.restapi.api_url(), "http://pg-node-1.internal:8008/patroni");
    EXPECT_THAT(config.etcd3.hosts, ElementsAre(Address{.host = "etcd-1.internal", .port = 2379},
                                                Address{.host = "etcd-2.internal", .port = 2379},
                                                Address{.host = "etcd-3.internal", .port = 2379}));
    EXPECT_EQ(config.postgres.data_dir, "/var/lib/postgresql/15/main");
    EXPECT_EQ(config.postgres.bin_dir, "/usr/lib/postgresql/15/bin");
    EXPECT_EQ(config.postgres.replication.username, "replicator");
    EXPECT_EQ(config.postgres.replication.password, "rep-secret");
    EXPECT_EQ(config.postgres.superuser.password, "010");
    EXPECT_TRUE(config.postgres.bootstrap.present);
    EXPECT_THAT(config.postgres.bootstrap.initdb,
                ElementsAre(Pair("encoding", "UTF8"), Pair("data-checksums", "")));
    EXPECT_THAT(
        config.bootstrap_dcs_json,
        StartsWith(
            R"({"ttl":30,"loop_wait":10,"retry_timeout":10,"maximum_lag_on_failover":1048576,)"));
    EXPECT_THAT(config.bootstrap_dcs_json, HasSubstr(R"("hot_standby":"on")"));
    EXPECT_THAT(config.unknown, IsEmpty());
    EXPECT_THAT(config.not_implemented, IsEmpty());
    EXPECT_THAT(config.warnings, IsEmpty());
}

TEST(AdrExample, FailsNamingThePasswordsThatAreNotSet) {
    const auto loaded = load({adr_example, {}});
    ASSERT_FALSE(loaded);
    EXPECT_THAT(
        loaded.error().message,
        HasSubstr("postgresql.authentication.replication.password: the environment variable "
                  "REPLICATOR_PASSWORD is not set"));
    EXPECT_THAT(loaded.error().message, HasSubstr("POSTGRES_PASSWORD is not set"));
}

TEST(AdrExample, ServesTheOperatorWhoseShellHasNoPasswords) {
    const auto loaded = load({adr_example, {}}, For::ctl);
    ASSERT_TRUE(loaded) << loaded.error().message;
    EXPECT_EQ(loaded->scope, "workflow-engine");
    EXPECT_EQ(loaded->postgres.replication.password, "");
    EXPECT_THAT(loaded->warnings,
                ElementsAre(HasSubstr("REPLICATOR_PASSWORD"), HasSubstr("POSTGRES_PASSWORD")));
}

TEST(LocalConfig, HasPatronisDefaults) {
    const auto config = load_text(minimal, {{"HOME", "/srv/pg"}});
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->namespace_prefix, "/service");
    EXPECT_EQ(config->log, LogConfig{});
    EXPECT_EQ(config->watchdog, WatchdogConfig{});
    EXPECT_EQ(config->postgres.pgpass, "/srv/pg/pgpass");
    EXPECT_EQ(config->postgres.config_dir, "/srv/data");
    EXPECT_EQ(config->postgres.database, "postgres");
    EXPECT_EQ(config->postgres.bin_name.at("pg_ctl"), "pg_ctl");
    EXPECT_THAT(config->postgres.create_replica_methods, ElementsAre("basebackup"));
    EXPECT_FALSE(config->postgres.bootstrap.present);
    EXPECT_THAT(config->tags.published, IsEmpty());
}

TEST(LocalConfig, NormalisesTheNamespace) {
    for (const char* text : {"/service/", "service", "//service//"})
        EXPECT_EQ(load_text(minimal + "namespace: " + text + "\n")->base_key(), "/service/demo");
    EXPECT_EQ(load_text(minimal + "namespace: /a//b/\n")->base_key(), "/a/b/demo");
    EXPECT_EQ(load_text(minimal + "namespace: /\n")->base_key(), "/demo");
}

TEST(LocalConfig, ReadsEverySection) {
    const auto loaded = load_text(R"(scope: demo
name: pg-1
log:
  type: json
  level: debug
  format: [levelname, {message: text}]
  static_fields: {app: relevo}
  loggers: {etcd: WARNING}
  file_size: 1000
  file_num: 0
  mode: 0640
  dir: /var/log/relevo
restapi:
  listen: '[::]:8008'
  connect_address: '[fd00::1]:8009'
  authentication: {username: api, password: 0777}
  certfile: /c
  verify_client: optional
  allowlist: [10.0.0.0/8, pg-2]
  allowlist_include_members: on
  http_extra_headers: {X-Frame-Options: DENY}
  server_tokens: productonly
ctl: {insecure: true}
etcd3: {url: 'https://user:p%40ss@etcd.example:2380', cacert: /ca}
watchdog: {mode: off}
tags: {nofailover: false, failover_priority: 2, noloadbalance: true, clonefrom: false,
       zone: eu, weight: 3}
postgresql:
  listen: 10.0.0.1,10.0.0.2:5433
  data_dir: /srv/data/
  config_dir: /etc/pg
  pgpass: /tmp/pgpass
  use_unix_socket: true
  authentication:
    rewind: {username: rew, sslmode: require, unheard_of: 1}
  pg_hba: [local all all trust]
  pg_hba_replica: [local all all reject]
  callbacks: {on_role_change: /bin/cb}
  create_replica_methods: [pgbackrest, basebackup]
  pgbackrest: {command: 'pgbackrest restore', keep_data: true, no_params: true, threads: 4}
  basebackup: [checkpoint: fast, verbose, {max-rate: 10M}]
  rewind: [debug, {config-file: /x}, --progress]
)");
    ASSERT_TRUE(loaded) << loaded.error().message;
    const LocalConfig& config = *loaded;
    EXPECT_EQ(config.log.level, log::Level::debug);
    EXPECT_THAT(config.log.json_fields,
                ElementsAre(Pair("levelname", "levelname"), Pair("message", "text")));
    EXPECT_EQ(config.log.mode, 0640);
    EXPECT_EQ(config.log.loggers.at("etcd"), log::Level::warning);
    EXPECT_EQ(config.restapi.listen, (Address{.host = "::", .port = 8008}));
    EXPECT_EQ(config.restapi.api_url(), "https://[fd00::1]:8009/patroni");
    EXPECT_EQ(config.restapi.password, "0777");
    EXPECT_EQ(config.restapi.server_tokens, "ProductOnly");
    EXPECT_EQ(config.restapi.verify_client, VerifyClient::optional);
    EXPECT_THAT(config.restapi.allowlist, ElementsAre("10.0.0.0/8", "pg-2"));
    EXPECT_EQ(config.ctl.username, "api");
    EXPECT_TRUE(config.ctl.insecure);
    EXPECT_EQ(config.etcd3.username, "user");
    EXPECT_EQ(config.etcd3.password, "p@ss");
    EXPECT_TRUE(config.etcd3.https);
    EXPECT_EQ(config.watchdog.mode, "off");
    EXPECT_EQ(config.tags.published,
              (std::map<std::string, cluster::TagValue>{{"failover_priority", {"2"}},
                                                        {"nofailover", {"false"}},
                                                        {"noloadbalance", {"true"}},
                                                        {"weight", {"3"}},
                                                        {"zone", {"\"eu\""}}}));
    const ports::PostgresConfig& postgres = config.postgres;
    EXPECT_EQ(postgres.listen_addresses, "10.0.0.1,10.0.0.2");
    EXPECT_EQ(postgres.connect_host, "10.0.0.1");
    EXPECT_EQ(postgres.connect_port, 5433);
    EXPECT_EQ(postgres.data_dir, "/srv/data");
    EXPECT_EQ(postgres.config_dir, "/etc/pg");
    EXPECT_TRUE(postgres.use_unix_socket);
    EXPECT_THAT(postgres.rewind->options, ElementsAre(Pair("sslmode", "require")));
    EXPECT_THAT(postgres.pg_hba.base, ElementsAre("local all all trust"));
    EXPECT_THAT(*postgres.pg_hba.replica, ElementsAre("local all all reject"));
    EXPECT_FALSE(postgres.pg_hba.primary);
    EXPECT_THAT(postgres.callbacks, ElementsAre(Pair("on_role_change", "/bin/cb")));
    const auto& method = postgres.replica_methods.at("pgbackrest");
    EXPECT_TRUE(method.keep_data && method.no_params && !method.no_leader);
    EXPECT_THAT(method.options, ElementsAre(Pair("threads", "4")));
    EXPECT_THAT(postgres.basebackup, ElementsAre(Pair("checkpoint", "fast"), Pair("verbose", ""),
                                                 Pair("max-rate", "10M")));
    EXPECT_THAT(postgres.rewind_options, ElementsAre("--debug", "--progress"));
}

TEST(LocalConfig, ReadsACustomBootstrap) {
    const auto config = load_text(minimal + R"(bootstrap:
  method: pitr
  pitr: {command: /bin/restore, keep_existing_recovery_conf: true, no_params: false,
         when: 2026-01-01, all: true}
  post_init: /bin/after
  pg_hba: [host all all all scram-sha-256]
)");
    ASSERT_TRUE(config) << config.error().message;
    const auto& bootstrap = config->postgres.bootstrap;
    EXPECT_EQ(bootstrap.method, "pitr");
    EXPECT_EQ(bootstrap.custom->command, "/bin/restore");
    EXPECT_TRUE(bootstrap.custom->keep_existing_recovery_conf);
    EXPECT_THAT(bootstrap.custom->options,
                ElementsAre(Pair("when", "2026-01-01"), Pair("all", "True")));
    EXPECT_EQ(bootstrap.post_bootstrap, "/bin/after");
    EXPECT_THAT(problems_of(minimal + "bootstrap: {method: pitr}\n"),
                HasSubstr("bootstrap.method: there is no section bootstrap.pitr"));
}

TEST(LocalConfig, NamesEveryProblemOnALineOfItsOwn) {
    const std::string text = problems_of(R"(scope: [a]
restapi: {listen: nonsense:x, request_queue_size: 5000, verify_client: maybe}
log: {level: loud, file_size: 10MB, mode: 640}
etcd3: {hosts: [], protocol: ftp}
tags: {nofailover: perhaps, failover_priority: 1.5x}
postgresql: {listen: 'a:99999', data_dir: relative, authentication: [], pg_ctl_timeout: 1 fortnight,
             pg_hba: {}, parameters: [], use_pg_rewind: 7}
)");
    const char* level =
        "PATRONI_CONFIGURATION:3: log.level: found \"loud\", expected one of DEBUG, INFO, WARNING, "
        "ERROR, CRITICAL";
    const char* timeout =
        "postgresql.pg_ctl_timeout: found \"1 fortnight\", expected a whole number from 1 to "
        "2147483647 (in s, or with a unit)";
    for (const char* line :
         {"environment variable PATRONI_CONFIGURATION:1: scope: found a list, expected a text",
          "name: found nothing, expected the name of this member",
          "restapi.listen: found \"nonsense:x\", expected host:port",
          "restapi.request_queue_size: found 5000, expected a whole number from 0 to 4096",
          "restapi.verify_client: found \"maybe\", expected one of none, optional, required", level,
          "log.file_size: found \"10MB\", expected a whole number of at least 1",
          "log.mode: found 640, expected a whole number from 0 to 511",
          "etcd3.hosts: found a list, expected at least one host:port",
          "etcd3.protocol: found \"ftp\", expected one of http, https",
          "tags.nofailover: found \"perhaps\", expected a boolean",
          "tags.failover_priority: found \"1.5x\", expected a whole number",
          "postgresql.listen: found \"a:99999\", expected address[,address]:port",
          "postgresql.data_dir: found \"relative\", expected an absolute path",
          "postgresql.authentication: found a list, expected a mapping", timeout,
          "postgresql.pg_hba: found a mapping, expected a list of texts",
          "postgresql.parameters: found a list, expected a mapping",
          "postgresql.use_pg_rewind: found 7, expected a boolean"})
        EXPECT_THAT(text, HasSubstr(line));
}

TEST(LocalConfig, NeverShowsASecret) {
    const std::string text = problems_of(R"(scope: demo
name: n
restapi: {listen: ':8008', authentication: {password: [se3ret]}, connect_address: '${SECRET}'}
ctl: {keyfile_password: {se3ret: 1}}
etcd3: {url: 'ftp://u:se3ret@h:1'}
postgresql: {listen: ':5432', data_dir: /d, authentication: {superuser: {password: [se3ret]}}}
)",
                                         {{"SECRET", "se3ret::"}});
    EXPECT_THAT(text, HasSubstr("restapi.authentication.password: found a list"));
    EXPECT_THAT(text, HasSubstr("etcd3.url: found a value that is not shown, expected http(s)://"));
    EXPECT_THAT(text, HasSubstr("connect_address: found a value that is not shown"));
    EXPECT_THAT(text, Not(HasSubstr("se3ret")));
}

TEST(LocalConfig, RefusesTheReservedName) {
    EXPECT_THAT(problems_of("name: __patroni_strict_sync_replica_placeholder__\n"),
                HasSubstr("is reserved"));
    EXPECT_THAT(problems_of("name: a/b\n"),
                HasSubstr("name: found \"a/b\", expected no '/' in it"));
}

TEST(LocalConfig, RefusesOtherDcsByName) {
    const auto with = [](const std::string& section) {
        return problems_of(
            "scope: s\nname: n\nrestapi: {listen: ':1'}\npostgresql: {listen: ':1', data_dir: "
            "/d}\n" +
            section);
    };
    EXPECT_THAT(with("etcd: {host: 'e:2379'}"),
                HasSubstr("etcd: the etcd v2 protocol is not supported, expected etcd3"));
    for (const char* name : {"consul", "zookeeper", "exhibitor", "kubernetes", "raft"})
        EXPECT_THAT(with(std::string(name) + ": {host: x}"),
                    HasSubstr(std::string(name) + " as the DCS is not supported"));
    EXPECT_THAT(with("etcd3: {hosts: 'a:1'}\ncitus: {group: 0, database: x}"), HasSubstr("citus"));
    EXPECT_THAT(with(""), HasSubstr("etcd3: found nothing, expected the section of the DCS"));
    EXPECT_THAT(with("etcd3: {}"),
                HasSubstr("etcd3: expected one of hosts, host, url, proxy, srv"));
}

TEST(LocalConfig, TakesEtcd3HostsInEveryForm) {
    const auto etcd3 = [](const std::string& section) {
        std::string text = minimal;
        const std::string line = "etcd3: {hosts: ['etcd-1:2379']}";
        text.replace(text.find(line), line.size(), "etcd3: {" + section + "}");
        const auto config = load_text(text);
        EXPECT_TRUE(config) << config.error().message;
        return config ? config->etcd3 : Etcd3Config{};
    };
    const Address a{.host = "a", .port = 2379}, b{.host = "b", .port = 1};
    EXPECT_THAT(etcd3("hosts: 'a, b:1'").hosts, ElementsAre(a, b));
    EXPECT_THAT(etcd3("host: a").hosts, ElementsAre(a));
    EXPECT_THAT(etcd3("host: a, port: 5").hosts, ElementsAre(Address{.host = "a", .port = 5}));
    EXPECT_THAT(etcd3("host: a, hosts: ['b:1']").hosts, ElementsAre(b));
    EXPECT_TRUE(etcd3("hosts: ['https://a:2379']").https);
    EXPECT_TRUE(etcd3("hosts: [a], protocol: HTTPS").https);
    EXPECT_EQ(etcd3("srv: example.org").srv, "example.org");
    EXPECT_EQ(etcd3("discovery_srv: example.org").srv, "example.org");
    EXPECT_TRUE(etcd3("proxy: 'http://a:2379'").use_proxies);
}

TEST(LocalConfig, WarnsOfContradictoryTags) {
    EXPECT_THAT(load_text(minimal + "tags: {nofailover: true, failover_priority: 1}\n")->warnings,
                ElementsAre(HasSubstr("nofailover is true and failover_priority is 1")));
    EXPECT_THAT(load_text(minimal + "tags: {nosync: false, sync_priority: 0}\n")->warnings,
                ElementsAre(HasSubstr("contradict")));
    EXPECT_THAT(load_text(minimal + "tags: {nofailover: true, failover_priority: 0}\n")->warnings,
                IsEmpty());
}

TEST(LocalConfig, NamesKeysWithoutEffectAndUnknownOnes) {
    const auto config = load_text(
        minimal +
        "  pg_hab: []\n  wal_e: {command: x}\nthread_pool_size: 5\nwatchdog: {mode: automatic}\n"
        "loop_wiat: 3\n");
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_THAT(config->unknown, ElementsAre("loop_wiat", "postgresql.pg_hab"));
    EXPECT_THAT(config->not_implemented, ElementsAre(StartsWith("thread_pool_size: ")));
}

TEST(LocalConfig, TakesAWatchdogAndRefusesAnUnknownModeOrDriver) {
    const auto config = load_text(
        minimal +
        "watchdog: {mode: required, device: /run/fifo, driver: testing, safety_margin: -1}\n");
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->watchdog.mode, "required");
    EXPECT_EQ(config->watchdog.driver, "testing");
    EXPECT_EQ(config->watchdog.safety_margin, -1);
    EXPECT_THAT(problems_of(minimal + "watchdog: {mode: always}\n"), HasSubstr("watchdog.mode: "));
    EXPECT_THAT(problems_of(minimal + "watchdog: {driver: ipmi}\n"),
                HasSubstr("watchdog.driver: "));
}

TEST(Files, OfADirectoryAreMergedByName) {
    const TemporaryDirectory directory;
    directory.write("10-base.yml", minimal + "log: {level: INFO, dir: /x}\n");
    directory.write("20-more.yaml",
                    "log: {level: DEBUG, dir: ~}\npostgresql: {listen: '0.0.0.0:5433'}\n");
    directory.write("30-ignored.txt", "scope: no\n");
    std::filesystem::create_directory(directory.path("sub.yml"));
    const auto config = load({directory.path(), {}});
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->log.level, log::Level::debug);
    EXPECT_EQ(config->log.dir, "");
    EXPECT_EQ(config->postgres.port, 5433);
    EXPECT_EQ(config->postgres.data_dir, "/srv/data");
    EXPECT_EQ(config->scope, "demo");
}

TEST(Files, ThatCannotBeUsedSayWhy) {
    const TemporaryDirectory directory;
    const auto message = [](const std::string& path) {
        const auto config = load({path, {}});
        return config ? std::string() : config.error().message;
    };
    EXPECT_THAT(
        message(directory.path("none.yml")),
        HasSubstr("none.yml does not exist and no PATRONI_* environment variables are set"));
    EXPECT_THAT(message(directory.write("empty.yml", "")),
                HasSubstr("empty.yml: is empty, expected a mapping"));
    EXPECT_THAT(message(directory.write("list.yml", "- a\n")),
                HasSubstr("list.yml:1: expected a mapping"));
    EXPECT_THAT(message(directory.write("text.yml", "hello\n")),
                HasSubstr("text.yml:1: expected a mapping"));
    EXPECT_THAT(message(directory.path()), HasSubstr("empty.yml: is empty"));
    const TemporaryDirectory nothing;
    EXPECT_THAT(message(nothing.path()), HasSubstr("holds no file *.yml or *.yaml"));
    if (geteuid() != 0) {
        const auto path = directory.write("locked.yml", minimal);
        std::filesystem::permissions(path, std::filesystem::perms::none);
        EXPECT_THAT(message(path), HasSubstr("locked.yml: cannot be read: Permission denied"));
    }
    const auto partial = load({directory.path("none.yml"), {{"PATRONI_LOG_LEVEL", "INFO"}}});
    ASSERT_FALSE(partial);
    EXPECT_THAT(partial.error().message, HasSubstr("none.yml does not exist"));
    EXPECT_THAT(load({std::nullopt, {}}).error().message,
                HasSubstr("no configuration file was named"));
}

TEST(DcsUrl, TakesThePlaceOfEveryDcsSection) {
    const Environment environment{
        {"PATRONI_CONFIGURATION", "scope: s\nconsul: {host: x}\nnamespace: /old\n"}};
    const auto with = [&](const std::string& url) {
        return load({.path = std::nullopt, .environment = environment, .dcs_url = url}, For::ctl);
    };
    const auto config = with("etcd3://etcd-1:2379/db/");
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_THAT(config->etcd3.hosts, ElementsAre(Address{.host = "etcd-1", .port = 2379}));
    EXPECT_EQ(config->namespace_prefix, "/db");
    EXPECT_EQ(with("etcd-1:2379")->namespace_prefix, "/old");
    EXPECT_THAT(with("etcd://etcd-1:2379").error().message, HasSubstr("use etcd3://"));
    EXPECT_THAT(with("localhost:8500").error().message, HasSubstr("consul is not supported"));
    EXPECT_THAT(with("zookeeper://z:2181").error().message,
                HasSubstr("zookeeper is not supported"));
    EXPECT_THAT(with("etcd3://").error().message,
                HasSubstr("--dcs-url: expected etcd3://host:port"));
}

TEST(Print, ShowsTheMergedConfigurationAsYamlThatLoadsTheSame) {
    const auto config = load({adr_example, adr_passwords});
    ASSERT_TRUE(config);
    const std::string printed = to_yaml(*config);
    EXPECT_THAT(printed, HasSubstr("hosts:\n  - etcd-1.internal:2379\n"));
    auto again = load_text(printed);
    ASSERT_TRUE(again) << again.error().message << printed;
    EXPECT_EQ(again->merged_json, config->merged_json);
    EXPECT_EQ(again->postgres, config->postgres);
}

}  // namespace
}  // namespace relevo::config
