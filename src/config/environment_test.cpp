#include "config/environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/testing.h"

namespace relevo::config {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

std::string json_of(const Environment& environment) {
    const auto read = read_environment(environment);
    return read.problems.empty() ? to_json(read.tree) : to_text(read.problems);
}

TEST(Environment, FillsTheSections) {
    EXPECT_EQ(json_of({{"PATRONI_NAME", "pg-1"},
                       {"PATRONI_SCOPE", "007"},
                       {"PATRONI_RESTAPI_LISTEN", ":8008"},
                       {"PATRONI_RESTAPI_PASSWORD", "x"},
                       {"PATRONI_POSTGRESQL_BIN_POSTGRES", "postgres15"},
                       {"PATRONI_REPLICATION_USERNAME", "replicator"},
                       {"PATRONI_REWIND_SSLMODE", "require"}}),
              R"({"name":"pg-1","scope":"007",)"
              R"("restapi":{"listen":":8008","authentication":{"password":"x"}},)"
              R"("postgresql":{"bin_name":{"postgres":"postgres15"},"authentication":)"
              R"({"replication":{"username":"replicator"},"rewind":{"sslmode":"require"}}}})");
}

TEST(Environment, ConvertsByTheKeysType) {
    EXPECT_EQ(json_of({{"PATRONI_ETCD3_HOSTS", "'a:1','b:2'"},
                       {"PATRONI_ETCD3_USE_PROXIES", "on"},
                       {"PATRONI_LOG_MODE", "0640"},
                       {"PATRONI_LOG_LOGGERS", "a: DEBUG, b: INFO"},
                       {"PATRONI_LOG_FORMAT", "levelname, message"},
                       {"PATRONI_CTL_INSECURE", "yes"}}),
              R"({"ctl":{"insecure":true},"log":{"format":["levelname","message"],"mode":416,)"
              R"("loggers":{"a":"DEBUG","b":"INFO"}},)"
              R"("etcd3":{"hosts":["a:1","b:2"],"use_proxies":true}})");
    EXPECT_EQ(json_of({{"PATRONI_ETCD3_HOSTS", "- a:1\n- b:2"}}),
              R"({"etcd3":{"hosts":["a:1","b:2"]}})");
    EXPECT_EQ(json_of({{"PATRONI_LOG_FORMAT", "%(message)s"}}),
              R"({"log":{"format":"%(message)s"}})");
}

TEST(Environment, TakesOldLogNamesUnlessTheNewOneIsSet) {
    EXPECT_EQ(json_of({{"PATRONI_LOGLEVEL", "DEBUG"}}), R"({"log":{"level":"DEBUG"}})");
    EXPECT_EQ(json_of({{"PATRONI_LOGLEVEL", "DEBUG"}, {"PATRONI_LOG_LEVEL", "ERROR"}}),
              R"({"log":{"level":"ERROR"}})");
}

TEST(Environment, NamesWhatIsWrongWithoutTheValue) {
    const std::string text =
        json_of({{"PATRONI_ETCD3_PORT", "se3ret"}, {"PATRONI_RESTAPI_ALLOWLIST", "[a"}});
    EXPECT_THAT(text,
                HasSubstr("environment variable PATRONI_ETCD3_PORT: expected a whole number"));
    EXPECT_THAT(text, HasSubstr("environment variable PATRONI_RESTAPI_ALLOWLIST: expected a list"));
    EXPECT_THAT(text, ::testing::Not(HasSubstr("se3ret")));
}

TEST(Environment, IgnoresEmptyValuesAndOthersVariables) {
    EXPECT_EQ(json_of({{"PATRONI_NAME", ""},
                       {"PATRONI_SERVICE_PORT", "tcp://10.0.0.1:80"},
                       {"PATH", "/bin"},
                       {"PATRONI_FOO", "x"}}),
              "{}");
}

TEST(Environment, TakesEtcdAccountsOnlyWithAnotherVariableOfTheSection) {
    EXPECT_EQ(json_of({{"PATRONI_ETCD3_USERNAME", "u"}}), "{}");
    EXPECT_EQ(json_of({{"PATRONI_ETCD3_USERNAME", "u"}, {"PATRONI_ETCD3_HOST", "h:1"}}),
              R"({"etcd3":{"host":"h:1","username":"u"}})");
}

TEST(Environment, TellsWhichVariablesItUsed) {
    EXPECT_THAT(
        read_environment({{"PATRONI_NAME", "a"}, {"PATRONI_ETCD3_HOST", "h:1"}, {"HOME", "/"}})
            .consumed,
        UnorderedElementsAre("PATRONI_NAME", "PATRONI_ETCD3_HOST"));
}

TEST(Environment, WinsOverTheFile) {
    const testing::TemporaryDirectory directory;
    const auto path = directory.write(
        "p.yml", testing::minimal + "  authentication: {superuser: {username: a, password: b}}\n");
    const auto config = load({path,
                              {{"PATRONI_SCOPE", "other"},
                               {"PATRONI_SUPERUSER_PASSWORD", "from-env"},
                               {"PATRONI_CONFIGURATION", "scope: unused"}}});
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->scope, "other");
    EXPECT_EQ(config->postgres.superuser.username, "a");
    EXPECT_EQ(config->postgres.superuser.password, "from-env");
    EXPECT_THAT(config->consumed,
                UnorderedElementsAre("PATRONI_SCOPE", "PATRONI_SUPERUSER_PASSWORD"));
}

TEST(Environment, AloneIsAConfiguration) {
    const auto config = load({"/nonexistent/patroni.yml",
                              {{"PATRONI_NAME", "n"},
                               {"PATRONI_SCOPE", "s"},
                               {"PATRONI_RESTAPI_LISTEN", ":8008"},
                               {"PATRONI_ETCD3_HOSTS", "'e:2379'"},
                               {"PATRONI_POSTGRESQL_LISTEN", "0.0.0.0:5432"},
                               {"PATRONI_POSTGRESQL_DATA_DIR", "/d"}}});
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->name, "n");
    EXPECT_THAT(config->warnings,
                ElementsAre(HasSubstr("/nonexistent/patroni.yml does not exist")));
}

}  // namespace
}  // namespace relevo::config
