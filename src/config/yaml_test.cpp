#include "config/yaml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace relevo::config {
namespace {

using ::testing::HasSubstr;

std::string json_of(const std::string& text, const YamlOptions& options = {}) {
    const auto tree = parse_yaml(text, "t.yml", options);
    return tree ? to_json(*tree) : to_text(tree.error());
}

TEST(Yaml, UnderstandsScalarsAsPatroniDoes) {
    EXPECT_EQ(
        json_of("{a: on, b: No, c: 'on', d: ~, e: 10, f: 0600, g: 0x1F, h: 1_000, i: 0.50, j: -7}"),
        R"({"a":true,"b":false,"c":"on","d":null,"e":10,"f":384,"g":31,"h":1000,"i":0.5,"j":-7})");
    EXPECT_EQ(
        json_of("{a: 1e5, b: 1.0e+3, c: 4GB, d: 089, e: 12:30:45, f: y, g: .5, h: 2.0, i: +3}"),
        R"({"a":"1e5","b":1000.0,"c":"4GB","d":"089",)"
        R"("e":"12:30:45","f":"y","g":0.5,"h":2.0,"i":3})");
    EXPECT_EQ(
        json_of("{a: 99999999999999999999, b: 18446744073709551615, c: !!str 5, d: '', e: -}"),
        R"({"a":"99999999999999999999","b":18446744073709551615,"c":"5","d":"","e":"-"})");
}

TEST(Yaml, KeepsNamesAndPasswordsAsTheyAreWritten) {
    EXPECT_EQ(
        json_of("{password: 0123, username: on, name: 1.50, scope: 010, namespace: ~}"),
        R"({"password":"0123","username":"on","name":"1.50","scope":"010","namespace":null})");
}

TEST(Yaml, FollowsAliasesAndMergeKeys) {
    EXPECT_EQ(json_of("base: &b {x: 1, y: 2}\nuse: {<<: *b, y: 3}\nsame: *b\n"),
              R"({"base":{"x":1,"y":2},"use":{"y":3,"x":1},"same":{"x":1,"y":2}})");
    EXPECT_EQ(json_of("a: &k v\nb: [*k, *k]\n*k : c\n"), R"({"a":"v","b":["v","v"],"v":"c"})");
}

TEST(Yaml, NamesFileLineAndPathOfAProblem) {
    EXPECT_EQ(json_of("a:\n  b: 1\n  b: 2\n"),
              "t.yml:3: a.b: the key stands here twice; keep one of them");
    EXPECT_THAT(json_of("a:\n  - x\n  - [1, 2\nb: 1\n"), HasSubstr("t.yml:3: a[1]: "));
    EXPECT_THAT(json_of("a: 1\n---\nb: 2\n"), HasSubstr("second YAML document"));
    EXPECT_THAT(json_of("{[a]: 1}"), HasSubstr("stands where a key is expected"));
    EXPECT_THAT(json_of("a: !!python/object:x {}"), HasSubstr("is not known here"));
    EXPECT_THAT(json_of("a: !secret x"), HasSubstr("is not known here"));
    EXPECT_THAT(json_of("a: 1\nb: \xff\n"), HasSubstr("t.yml:2: a byte that is not UTF-8"));
    EXPECT_THAT(json_of("a: \"\x01\"\n"), HasSubstr("not UTF-8"));
    EXPECT_THAT(json_of("a: *nobody"), HasSubstr("t.yml:1"));
    EXPECT_THAT(json_of("a: 'open"), HasSubstr("not valid YAML"));
    EXPECT_THAT(json_of("<<: 3"), HasSubstr("<< takes a mapping"));
}

TEST(Yaml, OfNothingIsNull) {
    for (const char* text : {"", "\n\n", "# only a comment\n", "---\n", "~"})
        EXPECT_EQ(json_of(text), "null");
}

TEST(Yaml, KeepsUtf8) { EXPECT_EQ(json_of("a: größe €\n"), "{\"a\":\"größe €\"}"); }

TEST(Yaml, RefusesAnAliasBomb) {
    std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
    for (int i = 1; i < 12; ++i) {
        const std::string before = std::to_string(i - 1), now = std::to_string(i);
        bomb += "a" + now + ": &a" + now + " [";
        for (int k = 0; k < 10; ++k) bomb += (k > 0 ? ", *a" : "*a") + before;
        bomb += "]\n";
    }
    EXPECT_THAT(json_of(bomb), HasSubstr("more than 50000 values"));
    EXPECT_THAT(json_of("a: &a [*a]"), HasSubstr("inside the value it names"));
    EXPECT_THAT(json_of("&a a: {b: &b {c: *b}}"), HasSubstr("inside the value it names"));
}

TEST(Yaml, RefusesDepthAndSize) {
    std::string nested(5000, '[');
    EXPECT_THAT(json_of(nested),
                HasSubstr("t.yml:1: "));  // not closed: how it is refused does not matter
    EXPECT_THAT(json_of(nested + std::string(5000, ']')), HasSubstr("nested deeper than 64"));
    EXPECT_THAT(json_of(std::string(5000, '{')), HasSubstr("t.yml"));
    std::string deep;
    for (std::size_t i = 0; i < 300; ++i) deep += std::string(i, ' ') + "k:\n";
    EXPECT_THAT(json_of(deep), HasSubstr("nested deeper than 64"));
    EXPECT_THAT(json_of("a: " + std::string(2 << 20, 'x')), HasSubstr("larger than 1 MiB"));
}

TEST(Yaml, ReplacesVariablesThatAreSet) {
    const Environment environment{{"P", "s3: #cr\"et"}, {"N", "5432"}, {"E", ""}};
    const YamlOptions options{.environment = &environment};
    EXPECT_EQ(
        json_of("{a: '${P}', b: 'x-${N}-y', c: \"${E}\", d: $N, e: '${N', f: '${N:-1}'}", options),
        R"({"a":"s3: #cr\"et","b":"x-5432-y","c":"","d":"$N","e":"${N","f":"${N:-1}"})");
    EXPECT_EQ(json_of("password: ${P}", options), R"({"password":"s3: #cr\"et"})");
    EXPECT_EQ(json_of("# ${MISSING}\na: 1", options), R"({"a":1})");
}

TEST(Yaml, NamesAVariableThatIsNotSet) {
    const Environment environment;
    const YamlOptions options{.environment = &environment};
    EXPECT_EQ(json_of("a:\n  password: ${NOPE}", options),
              "t.yml:2: a.password: the environment variable NOPE is not set; set it where the "
              "program starts, "
              "or write the value in place of ${NOPE}");
    // A command's variables are its shell's.
    EXPECT_EQ(json_of("archive_command: cp %p ${NOPE}/%f", options),
              R"({"archive_command":"cp %p ${NOPE}/%f"})");
}

TEST(Yaml, PrintsWhatReadsBackTheSame) {
    const std::string text =
        "a: {b: 'on', c: on, d: [1, [2, 3], {e: 'x: y', f: []}], g: '', h: ' x', i: \"l1\\nl2\", "
        "j: '12'}\n"
        "k: {}\nl: ~\nm: pgbackrest --stanza=main archive-push %p\nn: 10.0.0.1:5432\no: '- x'\np: "
        "null-ish\n"
        "'on': 1\nq: '#c'\nr: '*'\ns: '0x10'\nt: 1.0\nu: [[]]\nv: a:b\nw: '~'\nx: 'a: b'\n";
    const auto tree = parse_yaml(text, "t");
    ASSERT_TRUE(tree);
    const std::string printed = to_yaml(*tree);
    const auto again = parse_yaml(printed, "again");
    ASSERT_TRUE(again) << to_text(again.error()) << printed;
    EXPECT_EQ(to_json(*again), to_json(*tree)) << printed;
}

TEST(Json, IsReadWithoutTrustInIt) {
    EXPECT_FALSE(parse_json(std::string(100000, '[')));
    EXPECT_FALSE(parse_json("{"));
    EXPECT_FALSE(parse_json("{} x"));
    EXPECT_FALSE(parse_json("\"\xff\""));
    const auto twice = parse_json(R"({"a":1,"b":{"c":[true,null,1.50,"x"]},"a":2})");
    ASSERT_TRUE(twice);
    EXPECT_EQ(to_json(*twice), R"({"a":2,"b":{"c":[true,null,1.50,"x"]}})");
}

TEST(Merge, DeletesWithNullAndRecursesIntoMappings) {
    auto into = parse_yaml("{a: {b: 1, c: 2}, d: [1], e: 5}", "t");
    const auto patch = parse_yaml("{a: {c: ~, x: 3}, d: [2], e: ~, f: {g: ~}}", "t");
    ASSERT_TRUE(into && patch);
    merge(*into, *patch);
    EXPECT_EQ(to_json(*into), R"({"a":{"b":1,"x":3},"d":[2],"f":{"g":null}})");
}

}  // namespace
}  // namespace relevo::config
