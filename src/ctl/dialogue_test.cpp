#include "ctl/dialogue.h"

#include <gtest/gtest.h>

#include "ctl/fake_context.h"

namespace relevo::ctl {
namespace {

TEST(Dialogue, takesTheDefaultForAnEmptyLine) {
    FakeTerminal terminal;
    terminal.typed = {"", "db-b"};
    EXPECT_EQ(prompt(terminal, "Primary", "db-a").value(), "db-a");
    EXPECT_EQ(prompt(terminal, "Primary", "db-a").value(), "db-b");
    EXPECT_EQ(terminal.questions.front(), "Primary [db-a]: ");
}

TEST(Dialogue, asksAgainWhereNothingIsNoAnswer) {
    FakeTerminal terminal;
    terminal.typed = {"", " orders "};
    EXPECT_EQ(prompt(terminal, "Name").value(), "orders");
    EXPECT_EQ(terminal.questions.size(), 2U);
}

TEST(Dialogue, endsWithTheInput) {
    FakeTerminal terminal;
    EXPECT_EQ(prompt(terminal, "Name").error().code, ErrorCode::cancelled);
    EXPECT_EQ(confirm(terminal, "Sure?").error().code, ErrorCode::cancelled);
}

TEST(Dialogue, isNotConfirmedByDefault) {
    FakeTerminal terminal;
    terminal.typed = {"", "maybe", "Y"};
    EXPECT_FALSE(confirm(terminal, "Sure?").value());
    EXPECT_TRUE(confirm(terminal, "Sure?").value());
    EXPECT_EQ(terminal.questions.back(), "Sure? [y/N]: ");
}

TEST(Schedule, isNowOrATime) {
    FakeClock clock;  // two hours east of UTC
    EXPECT_FALSE(parse_schedule("now", clock).value());
    EXPECT_FALSE(parse_schedule("", clock).value());
    EXPECT_EQ(to_iso(parse_schedule("2031-02-03T04:05:06+00:00", clock)->value()),
              "2031-02-03T04:05:06+00:00");
    EXPECT_EQ(to_iso(parse_schedule("2031-02-03T04:05", clock)->value()),
              "2031-02-03T02:05:00+00:00");
    EXPECT_EQ(parse_schedule("tomorrow", clock).error().code, ErrorCode::invalid);
}

TEST(LocalText, isInTheOperatorsZone) {
    FakeClock clock;
    EXPECT_EQ(local_text(WallTime(std::chrono::seconds(0)), clock), "1970-01-01 02:00:00");
    EXPECT_EQ(local_text(WallTime(std::chrono::milliseconds(120)), clock, true),
              "1970-01-01 02:00:00.12");
}

}  // namespace
}  // namespace relevo::ctl
