#include "config/generate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/testing.h"

namespace relevo::config {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

const ThisHost host{.name = "db-1", .address = "10.1.2.3"};

TEST(SampleConfig, MarksWhatMustBeFilledIn) {
    const auto text = sample_config({}, host);
    ASSERT_TRUE(text);
    EXPECT_THAT(*text, StartsWith("scope: \"#FIXME\"\nname: db-1\n"));
    EXPECT_THAT(*text, HasSubstr("listen: \"10.1.2.3:8008\""));
    EXPECT_THAT(*text, HasSubstr("dcs:\n    loop_wait: 10\n    retry_timeout: 10\n    ttl: 30\n"));
    EXPECT_THAT(*text, HasSubstr("\"host replication replicator all scram-sha-256\""));
    EXPECT_THAT(testing::problems_of(*text), HasSubstr("postgresql.data_dir: found \"#FIXME\""));
}

TEST(SampleConfig, LoadsOnceTheEnvironmentFillsIt) {
    const auto text = sample_config({{"PATRONI_SCOPE", "demo"},
                                     {"PATRONI_POSTGRESQL_DATA_DIR", "/d"},
                                     {"PATRONI_ETCD3_HOSTS", "'e:2379'"},
                                     {"PATRONI_REPLICATION_USERNAME", "rep"},
                                     {"PATRONI_REPLICATION_PASSWORD", "'007: #"}},
                                    host);
    ASSERT_TRUE(text);
    const auto config = testing::load_text(*text);
    ASSERT_TRUE(config) << config.error().message << *text;
    EXPECT_EQ(config->postgres.replication.password, "'007: #");
    EXPECT_THAT(config->postgres.pg_hba.base.back(), "host replication rep all scram-sha-256");
    EXPECT_THAT(config->unknown, ::testing::IsEmpty());
    EXPECT_THAT(config->warnings, ::testing::IsEmpty());
}

TEST(SampleConfig, IsWrittenForItsOwnerOnly) {
    const testing::TemporaryDirectory directory;
    const auto path = directory.path("etc/patroni/p.yml");
    ASSERT_TRUE(write_config(path, "a: 1\n"));
    EXPECT_EQ(std::filesystem::status(path).permissions(),
              std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    EXPECT_THAT(write_config(directory.path(), "x").error().message,
                HasSubstr("cannot be written"));
}

}  // namespace
}  // namespace relevo::config
