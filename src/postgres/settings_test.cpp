#include "postgres/settings.h"

#include <gtest/gtest.h>

namespace relevo::postgres {
namespace {

Setting setting(const char* value, const char* unit, const char* type) {
    Setting made;
    made.value = value;
    made.unit = unit;
    made.type = type;
    return made;
}

TEST(SameValue, minds_units_and_not_spelling) {
    EXPECT_TRUE(same_value(setting("131072", "8kB", "integer"), "1GB"));
    EXPECT_TRUE(same_value(setting("131072", "8kB", "integer"), "1024MB"));
    EXPECT_TRUE(same_value(setting("131072", "8kB", "integer"), "131072"));
    EXPECT_FALSE(same_value(setting("131072", "8kB", "integer"), "2GB"));
    EXPECT_TRUE(same_value(setting("300", "s", "integer"), "5min"));
    EXPECT_TRUE(same_value(setting("on", "", "bool"), "true"));
    EXPECT_TRUE(same_value(setting("off", "", "bool"), "0"));
    EXPECT_FALSE(same_value(setting("off", "", "bool"), "on"));
    EXPECT_TRUE(same_value(setting("on", "", "enum"), "ON"));
    EXPECT_TRUE(same_value(setting("on", "", "enum"), "true"));
    EXPECT_FALSE(same_value(setting("ddl", "", "enum"), "all"));
    EXPECT_TRUE(same_value(setting("0.10", "", "real"), "0.1"));
    EXPECT_FALSE(same_value(setting("a", "", "string"), "A"));
}

TEST(Humanise, speaks_as_show_does) {
    EXPECT_EQ(humanise("131072", "8kB", "integer"), "1GB");
    EXPECT_EQ(humanise("1GB", "8kB", "integer"), "1GB");
    EXPECT_EQ(humanise("16384", "8kB", "integer"), "128MB");
    EXPECT_EQ(humanise("300", "s", "integer"), "5min");
    EXPECT_EQ(humanise("-1", "8kB", "integer"), "-1");
    EXPECT_EQ(humanise("0", "ms", "integer"), "0");
    EXPECT_EQ(humanise("100", "", "integer"), "100");
    EXPECT_EQ(humanise("true", "", "bool"), "on");
    EXPECT_EQ(humanise("replica", "", "enum"), "replica");
}

TEST(ChangedParameters, skips_what_is_not_ours_and_resolves_automatic_wal_buffers) {
    Settings settings;
    settings["shared_buffers"] = setting("16384", "8kB", "integer");
    settings["wal_buffers"] = setting("512", "8kB", "integer");
    settings["hot_standby"] = setting("on", "", "bool");
    settings["primary_conninfo"] = setting("", "", "string");
    settings["work_mem"] = setting("4096", "kB", "integer");
    EXPECT_TRUE(changed_parameters(settings, {{"shared_buffers", "128MB"},
                                              {"wal_buffers", "-1"},
                                              {"hot_standby", "off"},
                                              {"primary_conninfo", "host=a"},
                                              {"unknown", "1"}})
                    .empty());
    EXPECT_EQ(changed_parameters(settings, {{"work_mem", "8MB"}, {"shared_buffers", "256MB"}}),
              (std::vector<std::string>{"shared_buffers", "work_mem"}));
    settings["wal_buffers"].value = "400";
    EXPECT_EQ(changed_parameters(settings, {{"wal_buffers", "-1"}}),
              (std::vector<std::string>{"wal_buffers"}));
}

}  // namespace
}  // namespace relevo::postgres
