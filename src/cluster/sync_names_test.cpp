#include "cluster/sync_names.h"

#include <gtest/gtest.h>

namespace relevo::cluster {
namespace {

using Method = SyncNames::Method;

TEST(SyncNames, TheTextsOfTheContract) {
    EXPECT_EQ(to_text({}), "");
    EXPECT_EQ(to_text({Method::first, 1, {"a-1"}, false}), "\"a-1\"");
    EXPECT_EQ(to_text({Method::first, 2, {"a", "b"}, false}), "2 (a,b)");
    EXPECT_EQ(to_text({Method::any, 1, {"a", "b"}, false}), "ANY 1 (a,b)");
    EXPECT_EQ(to_text({Method::any, 1, {"any", "1st", "say \"hi\""}, false}),
              R"(ANY 1 ("any","1st","say ""hi"""))");
    EXPECT_EQ(to_text({Method::first, 1, {}, true}), "*");
}

TEST(SyncNames, ReadsWhatPostgresTakes) {
    const struct {
        const char* text;
        SyncNames value;
    } cases[] = {
        {"", {}},
        {"   ", {}},
        {"a", {Method::first, 1, {"a"}, false}},
        {"a, B", {Method::first, 1, {"a", "B"}, false}},
        {"*", {Method::first, 1, {}, true}},
        {"2 (a,b , c)", {Method::first, 2, {"a", "b", "c"}, false}},
        {"FIRST 1 (a)", {Method::first, 1, {"a"}, false}},
        {"first 1(\"a-1\",*)", {Method::first, 1, {"a-1"}, true}},
        {"Any 3 (a,b,c)", {Method::any, 3, {"a", "b", "c"}, false}},
        {"any, first", {Method::first, 1, {"any", "first"}, false}},
        {"7", {Method::first, 1, {"7"}, false}},
        {"\"x \"\" y\"", {Method::first, 1, {"x \" y"}, false}},
    };
    for (const auto& c : cases) {
        const auto read = parse_sync_names(c.text);
        ASSERT_TRUE(read) << c.text << ": " << read.error().message;
        EXPECT_EQ(*read, c.value) << c.text;
    }
}

TEST(SyncNames, WhatItWritesItReads) {
    for (const SyncNames& value : std::vector<SyncNames>{
             {Method::any, 2, {"a", "b-c", "any", "9"}, false},
             {Method::first, 3, {"x\"y", "z", "first"}, false},
             {Method::first, 1, {strict_placeholder}, false},
         })
        EXPECT_EQ(parse_sync_names(to_text(value)).value(), value) << to_text(value);
}

TEST(SyncNames, RefusesWhatPostgresRefuses) {
    for (const char* text :
         {"a b", "a,", ",", "2 (", "2 (a", "2 ()", "ANY (a)", "ANY 1 a", "0 (a)", "99999 (a)",
          "\"a", "2 (a) b", "a-1", "(a)", "2 (a,(b))", "ANY 1", "a;b"})
        EXPECT_FALSE(parse_sync_names(text)) << text;
}

}  // namespace
}  // namespace relevo::cluster
