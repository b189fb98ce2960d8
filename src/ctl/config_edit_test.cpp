#include "ctl/config_edit.h"

#include <gtest/gtest.h>

#include "ctl/yaml.h"

namespace relevo::ctl {
namespace {

std::string after(std::string_view json, const std::vector<std::string>& settings) {
    auto node = node_of_json(json);
    for (const auto& setting : settings)
        if (const auto done = apply_setting(node, setting); !done)
            return "error: " + done.error().message;
    return config::to_json(sorted(node));
}

TEST(ConfigEdit, setsAValueAtItsPath) {
    EXPECT_EQ(after(R"({"ttl":30})", {"ttl=20"}), R"({"ttl":20})");
    EXPECT_EQ(after("{}", {"postgresql.use_slots=true"}), R"({"postgresql":{"use_slots":true}})");
    EXPECT_EQ(after(R"({"postgresql":null})", {"postgresql.use_slots=off"}),
              R"({"postgresql":{"use_slots":false}})");
}

TEST(ConfigEdit, readsTheValueAsYaml) {
    EXPECT_EQ(after("{}", {"a=[1, x]"}), R"({"a":[1,"x"]})");
    EXPECT_EQ(after("{}", {"a={b: on}"}), R"({"a":{"b":true}})");
    EXPECT_EQ(after("{}", {"a='12'"}), R"({"a":"12"})");
    EXPECT_EQ(after("{}", {"a=x=y"}), R"({"a":"x=y"})");
}

TEST(ConfigEdit, removesWithNullAndPrunesEmptyParents) {
    EXPECT_EQ(after(R"({"a":{"b":{"c":1}},"ttl":30})", {"a.b.c=null"}), R"({"ttl":30})");
    EXPECT_EQ(after(R"({"a":{"b":{"c":1},"d":2}})", {"a.b.c=null"}), R"({"a":{"d":2}})");
    EXPECT_EQ(after(R"({"ttl":30})", {"nothing.here=null"}), R"({"ttl":30})");
}

TEST(ConfigEdit, takesAllBehindParametersAsOneName) {
    EXPECT_EQ(after("{}", {"postgresql.parameters.auto_explain.log_min_duration=1s"}),
              R"({"postgresql":{"parameters":{"auto_explain.log_min_duration":"1s"}}})");
}

TEST(ConfigEdit, prefixesParameters) {
    auto node = config::Node::map();
    ASSERT_TRUE(apply_parameter(node, "max_connections=200"));
    EXPECT_EQ(config::to_json(node), R"({"postgresql":{"parameters":{"max_connections":200}}})");
}

TEST(ConfigEdit, refusesWhatIsNoSetting) {
    EXPECT_TRUE(after("{}", {"ttl"}).starts_with("error: "));
    EXPECT_TRUE(after("{}", {"=3"}).starts_with("error: "));
    EXPECT_TRUE(after("{}", {"a..b=3"}).starts_with("error: "));
    EXPECT_TRUE(after("{}", {"a=[1"}).starts_with("error: "));
    EXPECT_TRUE(after(R"({"ttl":30})", {"ttl.x=1"}).starts_with("error: cannot set ttl.x"));
}

TEST(ConfigEdit, leavesAShellsVariablesAlone) {
    EXPECT_EQ(after("{}", {"a=${HOME}/x"}), R"({"a":"${HOME}/x"})");
}

TEST(ConfigEdit, wantsAMap) {
    EXPECT_TRUE(parse_settings("ttl: 3", "x"));
    EXPECT_TRUE(parse_settings("", "x"));
    EXPECT_FALSE(parse_settings("- 1", "x"));
    EXPECT_FALSE(parse_settings("a: [", "x"));
}

}  // namespace
}  // namespace relevo::ctl
