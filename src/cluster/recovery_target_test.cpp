#include "cluster/recovery_target.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace relevo::cluster {
namespace {

using ::testing::HasSubstr;

TEST(RecoveryTarget, ATimeNamesItsZone) {
    const auto utc = target_at_time("2026-05-14 10:00+00");
    ASSERT_TRUE(utc) << utc.error().message;
    EXPECT_EQ(value_text(*utc), "2026-05-14 10:00:00+00");
    EXPECT_EQ(value_text(*target_at_time("2026-05-14T12:00:00.25+02:00")),
              "2026-05-14 10:00:00.250000+00");
    EXPECT_EQ(value_text(*target_at_time(" 2026-05-14 10:00:00Z ")), "2026-05-14 10:00:00+00");
    EXPECT_THAT(target_at_time("2026-05-14 10:00").error().message, HasSubstr("zone"));
    EXPECT_THAT(target_at_time("2026-05-14").error().message, HasSubstr("zone"));
    for (const char* wrong : {"", "yesterday", "2026-02-30 10:00+00", "10:00+00",
                              "2026-05-14 10:00+00 x", "2026-05-14 10:00 Europe/Berlin"})
        EXPECT_THAT(target_at_time(wrong).error().message, HasSubstr("2026-05-14 10:00+00"))
            << wrong;
}

TEST(RecoveryTarget, ALsnAndATransactionAreTakenWhole) {
    EXPECT_EQ(target_at_lsn("0/4000060")->lsn, (Lsn{0x4000060}));
    EXPECT_EQ(value_text(*target_at_lsn("1A/0")), "1A/0");
    for (const char* wrong : {"", "0/0", "4000060", "0/4000060x", "-1/5"})
        EXPECT_THAT(target_at_lsn(wrong).error().message, HasSubstr("pg_current_wal_lsn")) << wrong;
    EXPECT_EQ(target_at_xid("735")->xid, 735U);
    EXPECT_EQ(target_at_xid("4294968031")->xid, 4294968031U);  // with its epoch
    for (const char* wrong : {"", "0", "2", "-5", "4294967296", "99999999999999999999", "0x10"})
        EXPECT_THAT(target_at_xid(wrong).error().message, HasSubstr("pg_current_xact_id")) << wrong;
}

TEST(RecoveryTarget, TimelinesAndActionsHaveTheirWords) {
    EXPECT_EQ(to_string(*parse_target_timeline("latest")), "latest");
    EXPECT_EQ(to_string(*parse_target_timeline("current")), "current");
    EXPECT_EQ(parse_target_timeline("3")->number, 3U);
    for (const char* wrong : {"", "0", "-1", "newest", "99999999999"})
        EXPECT_FALSE(parse_target_timeline(wrong)) << wrong;
    EXPECT_EQ(parse_target_action("pause"), TargetAction::pause);
    EXPECT_FALSE(parse_target_action("stop"));
}

TEST(RecoveryTarget, IsOneAndNoMore) {
    TargetWords words;
    EXPECT_THAT(target_of(words).error().message, HasSubstr("no target"));
    words.latest = true;
    EXPECT_EQ(target_of(words)->kind, TargetKind::latest);
    words.action = "pause";
    EXPECT_THAT(target_of(words).error().message, HasSubstr("promotes"));
    words.action = "promote";
    words.exclusive = true;
    EXPECT_THAT(target_of(words).error().message, HasSubstr("exclusive"));
    words.xid = "735";
    EXPECT_THAT(target_of(words).error().message, HasSubstr("more than one"));
    words.latest = false;
    words.timeline = "3";
    const auto target = target_of(words);
    ASSERT_TRUE(target) << target.error().message;
    EXPECT_FALSE(target->inclusive);
    EXPECT_EQ(target->timeline.number, 3U);
    words.timeline = "x";
    EXPECT_THAT(target_of(words).error().message, HasSubstr("no timeline"));
    TargetWords end;
    end.immediate = true;
    EXPECT_EQ(target_of(end)->kind, TargetKind::immediate);
}

TEST(RecoveryTarget, IsDescribedToPeople) {
    EXPECT_EQ(describe(RecoveryTarget{}), "the end of the archive");
    auto xid = *target_at_xid("735");
    xid.inclusive = false;
    EXPECT_EQ(describe(xid), "just before transaction 735");
    EXPECT_EQ(describe(*target_at_lsn("0/5")), "LSN 0/5");
}

// What was given is shown, and not its control characters.
TEST(RecoveryTarget, AnErrorIsOneLine) {
    const auto error = target_at_time(std::string("a\nb\x1b[2J") + std::string(500, 'x')).error();
    EXPECT_EQ(error.message.find_first_of("\n\x1b"), std::string::npos);
    EXPECT_LT(error.message.size(), 200U);
}

}  // namespace
}  // namespace relevo::cluster
