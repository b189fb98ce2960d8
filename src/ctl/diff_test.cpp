#include "ctl/diff.h"

#include <gtest/gtest.h>

namespace relevo::ctl {
namespace {

TEST(Diff, ofEqualTextsIsEmpty) { EXPECT_EQ(unified_diff("a\nb\n", "a\nb\n", false), ""); }

TEST(Diff, showsThreeLinesAroundAChange) {
    EXPECT_EQ(unified_diff("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n", false),
              "--- \n+++ \n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n");
}

TEST(Diff, writesTheRangesAsDiffDoes) {
    EXPECT_EQ(unified_diff("", "a\n", false), "--- \n+++ \n@@ -0,0 +1 @@\n+a\n");
    EXPECT_EQ(unified_diff("a\n", "", false), "--- \n+++ \n@@ -1 +0,0 @@\n-a\n");
    EXPECT_EQ(unified_diff("a\n", "a\nb\n", false), "--- \n+++ \n@@ -1 +1,2 @@\n a\n+b\n");
}

TEST(Diff, splitsChangesThatAreFarApart) {
    const auto diff =
        unified_diff("a\n1\n2\n3\n4\n5\n6\n7\nb\n", "A\n1\n2\n3\n4\n5\n6\n7\nB\n", false);
    EXPECT_EQ(
        diff,
        "--- \n+++ \n@@ -1,4 +1,4 @@\n-a\n+A\n 1\n 2\n 3\n@@ -6,4 +6,4 @@\n 5\n 6\n 7\n-b\n+B\n");
}

TEST(Diff, joinsChangesWhoseContextsTouch) {
    const auto diff = unified_diff("a\n1\n2\n3\n4\n5\n6\nb\n", "A\n1\n2\n3\n4\n5\n6\nB\n", false);
    EXPECT_EQ(diff, "--- \n+++ \n@@ -1,8 +1,8 @@\n-a\n+A\n 1\n 2\n 3\n 4\n 5\n 6\n-b\n+B\n");
}

TEST(Diff, findsTheCommonLinesBetweenChanges) {
    EXPECT_EQ(unified_diff("x\nk\ny\n", "k\nz\n", false),
              "--- \n+++ \n@@ -1,3 +1,2 @@\n-x\n k\n-y\n+z\n");
}

TEST(Diff, coloursWhatGoesAndWhatComes) {
    const auto diff = unified_diff("a\n", "b\n", true);
    EXPECT_NE(diff.find("\x1b[1;31m-a\x1b[0m"), std::string::npos);
    EXPECT_NE(diff.find("\x1b[32m+b\x1b[0m"), std::string::npos);
}

}  // namespace
}  // namespace relevo::ctl
