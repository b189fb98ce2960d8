#include "base/text.h"

#include <gtest/gtest.h>

#include <limits>

namespace relevo {
namespace {

TEST(Trim, RemovesBlanksAtBothEndsOnly) {
    EXPECT_EQ(trim(" \t a b\r\n"), "a b");
    EXPECT_EQ(trim("  "), "");
    EXPECT_EQ(trim(""), "");
}

TEST(Lower, ChangesAsciiAndLeavesTheRest) { EXPECT_EQ(lower("AbZ-É9"), "abz-É9"); }

TEST(Split, KeepsEmptyParts) {
    EXPECT_EQ(split("a,,b,", ','), (std::vector<std::string>{"a", "", "b", ""}));
    EXPECT_EQ(split("", ','), (std::vector<std::string>{""}));
}

TEST(Join, IsTheOppositeOfSplit) {
    EXPECT_EQ(join({"a", "", "b"}, ", "), "a, , b");
    EXPECT_EQ(join({}, ","), "");
    EXPECT_EQ(join({"same", "same"}, ","), "same,same");
}

TEST(Iequals, IgnoresAsciiCase) {
    EXPECT_TRUE(iequals("Pg-1", "pG-1"));
    EXPECT_FALSE(iequals("pg-1", "pg-10"));
    EXPECT_TRUE(icontains("The Quorum", "quorum"));
    EXPECT_TRUE(icontains("x", ""));
    EXPECT_FALSE(icontains("quoru", "quorum"));
}

TEST(OneLine, HasNoControlCharacters) {
    EXPECT_EQ(one_line("a\nb\x7F\tÉ"), "a b  É");
    EXPECT_EQ(one_line(std::string("\0x", 2), '?'), "?x");
}

TEST(PathBeside, LeavesOutWhatADirectoryMayEndWith) {
    EXPECT_EQ(path_beside("/pg/data", ".mark"), "/pg/data.mark");
    EXPECT_EQ(path_beside("/pg/data//", ".mark"), "/pg/data.mark");
    EXPECT_EQ(path_beside("/", ".mark"), "/.mark");
}

TEST(ParseDecimal, TakesTheWholeTextOrNothing) {
    EXPECT_EQ(parse_decimal("42"), 42);
    EXPECT_EQ(parse_decimal("-42"), -42);
    EXPECT_EQ(parse_decimal("+42"), 42);
    EXPECT_EQ(parse_decimal("9223372036854775807"), std::numeric_limits<std::int64_t>::max());
    for (const char* bad :
         {"", "+", "-", "+-1", "4 2", " 42", "42 ", "0x10", "4.0", "9223372036854775808"}) {
        EXPECT_EQ(parse_decimal(bad), std::nullopt) << bad;
    }
}

TEST(ParseBool, KnowsPatronisEightWords) {
    for (const char* yes : {"on", "True", "YES", "1", " on "})
        EXPECT_EQ(parse_bool(yes), true) << yes;
    for (const char* no : {"off", "False", "NO", "0"}) EXPECT_EQ(parse_bool(no), false) << no;
    for (const char* neither : {"", "2", "t", "tru", "y", "enabled", "quorum"}) {
        EXPECT_EQ(parse_bool(neither), std::nullopt) << neither;
    }
}

struct IntCase {
    const char* text;
    const char* base_unit;
    std::optional<std::int64_t> value;
};

TEST(ParseInt, ReadsPostgresqlsLiterals) {
    const IntCase cases[] = {
        {"1", "", 1},
        {" 42 ", "", 42},
        {"-1", "", -1},
        {"+7", "", 7},
        {"0", "", 0},
        {"0x10", "", 16},
        {"-0x10", "", -16},
        {"0XfF", "", 255},
        {"010", "", 8},
        {"00", "", 0},
        {"1.5", "", 2},
        {"2.5", "", 2},
        {"1.4999", "", 1},
        {"1e3", "", 1000},
        {".5e1", "", 5},
        {"-1.6", "", -2},
        {"9223372036854775807", "", std::numeric_limits<std::int64_t>::max()},
        {"-9223372036854775808", "", std::numeric_limits<std::int64_t>::min()},
    };
    for (const IntCase& c : cases) EXPECT_EQ(parse_int(c.text, c.base_unit), c.value) << c.text;
}

TEST(ParseInt, ConvertsToTheBaseUnit) {
    const IntCase cases[] = {
        {"1MB", "kB", 1024},   {"1 MB", "kB", 1024},     {"0x400 MB", "16384kB", 64},
        {"6GB", "16MB", 384},  {"1TB", "GB", 1024},      {"64kB", "8kB", 8},
        {"1024B", "kB", 1},    {"4097.4kB", "kB", 4097}, {"4097.5kB", "kB", 4098},
        {"1.1GB", "MB", 1126}, {"0.1GB", "kB", 104448},  {"30min", "s", 1800},
        {"1000 ms", "s", 1},   {"1h", "min", 60},        {"2d", "h", 48},
        {"1.5min", "s", 90},   {"5", "MB", 5},           {"10us", "ms", 0},
    };
    for (const IntCase& c : cases) EXPECT_EQ(parse_int(c.text, c.base_unit), c.value) << c.text;
}

TEST(ParseInt, RefusesWhatIsNoNumberOrHasAWrongUnit) {
    const IntCase cases[] = {
        {"", "", {}},           {" ", "", {}},
        {"on", "", {}},         {"ten", "", {}},
        {"1MB", "", {}},        {"10s", "", {}},
        {"1mb", "kB", {}},      {"1KB", "kB", {}},
        {"1S", "s", {}},        {"1s", "kB", {}},
        {"1MB", "s", {}},       {"1 2", "", {}},
        {"08", "", {}},         {"0x", "", {}},
        {"0xg", "", {}},        {"--1", "", {}},
        {"+-1", "", {}},        {"inf", "", {}},
        {"nan", "", {}},        {"1e999", "", {}},
        {"1MBx", "kB", {}},     {"1MB", "0kB", {}},
        {"1MB", "XB", {}},      {"-", "", {}},
        {"1e30", "", {}},       {"9223372036854775808", "", {}},
        {"9999999TB", "B", {}},
    };
    for (const IntCase& c : cases) EXPECT_EQ(parse_int(c.text, c.base_unit), c.value) << c.text;
}

TEST(ParseReal, KeepsFractions) {
    EXPECT_EQ(parse_real("1.5"), 1.5);
    EXPECT_EQ(parse_real("-0.25"), -0.25);
    EXPECT_EQ(parse_real("0x10"), 16.0);
    EXPECT_EQ(parse_real("10us", "ms"), 0.01);
    EXPECT_EQ(parse_real("1.5x"), std::nullopt);
    EXPECT_EQ(parse_real("1s"), std::nullopt);
    EXPECT_EQ(parse_real(""), std::nullopt);
}

TEST(WordInSetting, IsOneWordForTheShellAndNoPlaceholder) {
    EXPECT_EQ(word_in_setting("/srv/data-1"), "/srv/data-1");
    EXPECT_EQ(word_in_setting("/srv/my data"), "'/srv/my data'");
    EXPECT_EQ(word_in_setting("it's 5%"), "'it'\\''s 5%%'");
    EXPECT_EQ(word_in_setting(""), "''");
}

TEST(EqualInConstantTime, IsEqualityOfBytes) {
    EXPECT_TRUE(equal_in_constant_time("", ""));
    EXPECT_TRUE(equal_in_constant_time("secret", "secret"));
    EXPECT_FALSE(equal_in_constant_time("secret", "secreT"));
    EXPECT_FALSE(equal_in_constant_time("secret", "secre"));
}

TEST(JsonNesting, CountsBracketsOutsideOfStrings) {
    EXPECT_EQ(json_nesting(""), 0U);
    EXPECT_EQ(json_nesting("7"), 0U);
    EXPECT_EQ(json_nesting(R"({"a": [1, {"b": 2}], "c": []})"), 3U);
    EXPECT_EQ(json_nesting(R"(["[[[", "\"[[[", {}])"), 2U);
    EXPECT_EQ(json_nesting("]]]}[["), 2U);
    EXPECT_EQ(json_nesting(std::string(100000, '[')), 100000U);
}

}  // namespace
}  // namespace relevo
