#include "config/reload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/dynamic.h"
#include "config/testing.h"

namespace relevo::config {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::load_text;
using testing::minimal;
using ::testing::UnorderedElementsAre;

TEST(Reload, TakesWhatMayChange) {
    const auto running = load_text(minimal);
    auto fresh = load_text(minimal +
                           "  parameters: {work_mem: 8MB}\n  bin_dir: ~\ntags: {nofailover: "
                           "true}\nlog: {level: DEBUG}\n");
    ASSERT_TRUE(running && fresh);
    const Reloaded out = reload_over(*running, *fresh);
    EXPECT_THAT(out.notes, IsEmpty());
    EXPECT_TRUE(out.config.tags.nofailover());
    EXPECT_EQ(out.config.log.level, log::Level::debug);
    EXPECT_EQ(effective(out.config, "")->postgres.parameters.base.at("work_mem"), "8MB");
}

TEST(Reload, KeepsIdentityAndPlaces) {
    const auto running = load_text(minimal);
    const auto fresh = load_text(R"(scope: other
name: pg-2
namespace: /x
restapi: {listen: '127.0.0.1:8009'}
etcd3: {hosts: ['other:2379'], username: new, password: secret}
postgresql: {listen: '127.0.0.1:5433', data_dir: /other, bin_dir: /bin, pgpass: /p}
)");
    ASSERT_TRUE(running && fresh);
    const Reloaded out = reload_over(*running, *fresh);
    EXPECT_EQ(out.config.base_key(), running->base_key());
    EXPECT_EQ(out.config.name, "pg-1");
    EXPECT_EQ(out.config.etcd3.hosts, running->etcd3.hosts);
    EXPECT_EQ(out.config.etcd3.username, "new");
    EXPECT_EQ(out.config.restapi.listen.port, 8009);
    const auto meant = effective(out.config, "");
    EXPECT_EQ(meant->postgres.data_dir, "/srv/data");
    EXPECT_EQ(meant->postgres.bin_dir, "");
    EXPECT_EQ(meant->postgres.pgpass, running->postgres.pgpass);
    EXPECT_EQ(meant->postgres.scope, "demo");
    EXPECT_EQ(meant->postgres.port, 5433);
    EXPECT_THAT(out.notes,
                UnorderedElementsAre(HasSubstr("name changed"), HasSubstr("scope changed"),
                                     HasSubstr("namespace changed"), HasSubstr("etcd3 changed"),
                                     HasSubstr("data_dir changed"), HasSubstr("config_dir changed"),
                                     HasSubstr("bin_dir changed"), HasSubstr("pgpass changed")));
}

}  // namespace
}  // namespace relevo::config
