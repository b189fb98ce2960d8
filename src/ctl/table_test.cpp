#include "ctl/table.h"

#include <gtest/gtest.h>

namespace relevo::ctl {
namespace {

Table sample() {
    return {.title = "",
            .columns = {{"Name", Align::left}, {"Lag", Align::right}},
            .rows = {{{"a", Tone::plain}, {"10", Tone::plain}}}};
}

TEST(Table, alignsTextLeftAndNumbersRight) {
    EXPECT_EQ(draw(sample(), false),
              "+------+-----+\n"
              "| Name | Lag |\n"
              "+------+-----+\n"
              "| a    |  10 |\n"
              "+------+-----+\n");
}

TEST(Table, letsTheTitleOverlayTheTopBorder) {
    auto table = sample();
    table.title = "C: x";
    EXPECT_TRUE(draw(table, false).starts_with("+ C: x +-----+\n"));
    table.title = "C";
    EXPECT_TRUE(draw(table, false).starts_with("+ C ---+-----+\n"));
}

TEST(Table, showsATitleThatIsLongerThanTheTable) {
    auto table = sample();
    table.title = "Cluster: a-long-name (1)";
    EXPECT_TRUE(draw(table, false).starts_with("+ Cluster: a-long-name (1) -+\n"));
}

TEST(Table, withoutRowsIsAHeaderBetweenRules) {
    auto table = sample();
    table.rows.clear();
    EXPECT_EQ(draw(table, false),
              "+------+-----+\n| Name | Lag |\n+------+-----+\n+------+-----+\n");
}

TEST(Table, separatesAllRowsWhenACellHasSeveralLines) {
    auto table = sample();
    table.rows = {{{"a\nb", {}}, {"1", {}}}, {{"c", {}}, {"2", {}}}};
    EXPECT_EQ(draw(table, false),
              "+------+-----+\n"
              "| Name | Lag |\n"
              "+------+-----+\n"
              "| a    |   1 |\n"
              "| b    |     |\n"
              "+------+-----+\n"
              "| c    |   2 |\n"
              "+------+-----+\n");
}

TEST(Table, coloursTheTextAndNotThePadding) {
    auto table = sample();
    table.rows = {{{"a", Tone::bad}, {"1", Tone::plain}}};
    const auto text = draw(table, true);
    EXPECT_NE(text.find("| \x1b[1;31ma\x1b[0m    |   1 |"), std::string::npos) << text;
    EXPECT_EQ(draw(table, false).find('\x1b'), std::string::npos);
}

TEST(Table, countsCharactersAndNotBytes) {
    auto table = sample();
    table.rows = {{{"é", {}}, {"1", {}}}};
    EXPECT_NE(draw(table, false).find("| é    |   1 |"), std::string::npos);
}

}  // namespace
}  // namespace relevo::ctl
