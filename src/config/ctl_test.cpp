#include "config/ctl.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/testing.h"

namespace relevo::config {
namespace {

using ::testing::HasSubstr;
using testing::TemporaryDirectory;

const std::string some = "scope: s\netcd3: {host: 'e:2379'}\n";

TEST(CtlConfigPath, PrefersTheOptionThenTheVariableThenTheHome) {
    const TemporaryDirectory home;
    const auto standard_folder = home.path(".config/patroni");
    std::filesystem::create_directories(standard_folder);
    const auto standard = home.write(".config/patroni/patronictl.yaml", some);
    const auto one = home.write("one.yml", some), two = home.write("two.yml", some);
    EXPECT_EQ(*ctl_config_path(one, {{"PATRONICTL_CONFIG_FILE", two}}), one);
    EXPECT_EQ(*ctl_config_path(std::nullopt, {{"PATRONICTL_CONFIG_FILE", two}}), two);
    EXPECT_EQ(*ctl_config_path(std::nullopt, {{"HOME", home.path()}}), standard);
    EXPECT_EQ(
        *ctl_config_path(std::nullopt, {{"HOME", "/x"}, {"XDG_CONFIG_HOME", home.path(".config")}}),
        standard);
}

TEST(CtlConfigPath, MayMissOnlyTheStandardFile) {
    EXPECT_EQ(*ctl_config_path(std::nullopt, {{"HOME", "/nonexistent"}}), std::nullopt);
    EXPECT_THAT(ctl_config_path("/nonexistent/p.yml", {}).error().message,
                HasSubstr("/nonexistent/p.yml does not exist"));
}

TEST(CtlConfig, AppliesTheOptionsOverTheFile) {
    const TemporaryDirectory directory;
    const auto path = directory.write("p.yml", some);
    const auto plain = load_for_ctl({.config_file = path, .dcs_url = {}}, {});
    ASSERT_TRUE(plain) << plain.error().message;
    EXPECT_EQ(plain->etcd3.hosts.front().host, "e");
    EXPECT_FALSE(plain->ctl.insecure);
    const auto other = load_for_ctl({.config_file = path, .dcs_url = {}, .insecure = true},
                                    {{"DCS_URL", "etcd3://x:1/n"}});
    ASSERT_TRUE(other) << other.error().message;
    EXPECT_EQ(other->etcd3.hosts.front(), (Address{.host = "x", .port = 1}));
    EXPECT_EQ(other->base_key(), "/n/s");
    EXPECT_TRUE(other->ctl.insecure);
}

TEST(CtlConfig, NeedsADcs) {
    const TemporaryDirectory directory;
    const auto path = directory.write("p.yml", "scope: s\n");
    EXPECT_THAT(load_for_ctl({.config_file = path, .dcs_url = {}}, {}).error().message,
                HasSubstr("names no DCS"));
    EXPECT_THAT(load_for_ctl({}, {{"HOME", "/nonexistent"}}).error().message,
                HasSubstr("no configuration file was named"));
    EXPECT_TRUE(load_for_ctl({.config_file = {}, .dcs_url = "e:2379"}, {{"HOME", "/nonexistent"}}));
}

}  // namespace
}  // namespace relevo::config
