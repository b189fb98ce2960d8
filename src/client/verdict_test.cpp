#include "client/verdict.h"

#include <gtest/gtest.h>

#include <array>

namespace relevo::client {
namespace {

constexpr std::array statuses{XactStatus::committed, XactStatus::aborted, XactStatus::in_progress,
                              XactStatus::future, XactStatus::too_old};

Mark mark() {
    Mark m;
    m.life = {"77", 3, "1000.5", 50};
    m.server = "10.0.0.1:5432";
    m.xid = "4711";
    m.end = 1000;
    return m;
}

Evidence same_life(XactStatus status) {
    return {mark().life, mark().server, status, 0, std::nullopt};
}

// After a crash in place, or on another server after a promotion.
Evidence recovered(Lsn at, XactStatus status, std::uint32_t timeline = 3) {
    auto evidence = same_life(status);
    evidence.life.recovered = at;
    evidence.life.timeline = timeline;
    if (timeline != 3) {
        evidence.life.started = "900.5";
        evidence.server = "10.0.0.2:5432";
    }
    return evidence;
}

TEST(Judge, InTheSameLifeTheStatusIsTheTruth) {
    EXPECT_EQ(judge(mark(), same_life(XactStatus::committed)), Verdict::committed);
    EXPECT_EQ(judge(mark(), same_life(XactStatus::aborted)), Verdict::aborted);
    EXPECT_EQ(judge(mark(), same_life(XactStatus::in_progress)), Verdict::wait);
    EXPECT_EQ(judge(mark(), same_life(XactStatus::future)), Verdict::unknown);
    EXPECT_EQ(judge(mark(), same_life(XactStatus::too_old)), Verdict::unknown);
}

TEST(Judge, ARecoveryThatEndedBeforeTheMarkHasLostItWhateverTheStatusSays) {
    for (const auto status : statuses)
        for (const std::uint32_t timeline : {3u, 4u}) {
            auto evidence = recovered(999, status, timeline);
            EXPECT_EQ(judge(mark(), evidence), Verdict::aborted);
        }
}

TEST(Judge, AfterARecoveryEveryStatusButCommittedMeansNotCommitted) {
    for (const auto status : {XactStatus::aborted, XactStatus::in_progress, XactStatus::future})
        for (const Lsn at : {Lsn{0}, Lsn{1000}, Lsn{5000}})
            for (const std::uint32_t timeline : {3u, 4u})
                EXPECT_EQ(judge(mark(), recovered(at, status, timeline)), Verdict::aborted);
}

// The id was given out, not flushed, and given out again after the crash.
TEST(Judge, CommittedAfterACrashMayBeAStrangers) {
    EXPECT_EQ(judge(mark(), recovered(5000, XactStatus::committed)), Verdict::unknown);
    EXPECT_EQ(judge(mark(), recovered(5000, XactStatus::committed, 4)), Verdict::unknown);
    EXPECT_EQ(judge(mark(), recovered(0, XactStatus::committed)), Verdict::unknown);
}

TEST(Judge, AFlushedMarkMakesTheIdOursAfterACrashInPlace) {
    auto flushed = mark();
    flushed.flushed = true;
    EXPECT_EQ(judge(flushed, recovered(5000, XactStatus::committed)), Verdict::committed);
    // A twin: another server that was promoted to the same number.
    auto twin = recovered(5000, XactStatus::committed);
    twin.server = "10.0.0.3:5432";
    EXPECT_EQ(judge(flushed, twin), Verdict::unknown);
}

TEST(Judge, AfterAPromotionTheHistoryMustHaveLeftOurTimelineBehindTheMark) {
    auto flushed = mark();
    flushed.flushed = true;
    auto evidence = recovered(5000, XactStatus::committed, 4);
    EXPECT_EQ(judge(flushed, evidence), Verdict::unknown);
    evidence.left_at = 1000;
    EXPECT_EQ(judge(flushed, evidence), Verdict::committed);
    EXPECT_EQ(judge(mark(), evidence), Verdict::unknown);  // a crash in place may have come before
    // Two promotions: the first one left before the mark, and a stranger took the id.
    evidence.left_at = 999;
    EXPECT_EQ(judge(flushed, evidence), Verdict::aborted);
}

TEST(Judge, TheNoteTellsAcrossAnyNumberOfRecoveries) {
    auto noting = mark();
    noting.session = "abc-1";
    noting.number = 7;
    for (const auto status : {XactStatus::committed, XactStatus::too_old})
        for (const std::uint32_t timeline : {3u, 4u, 9u}) {
            auto evidence = recovered(5000, status, timeline);
            evidence.noted = 7;
            EXPECT_EQ(judge(noting, evidence), Verdict::committed);
            evidence.noted = 6;
            EXPECT_EQ(judge(noting, evidence), Verdict::aborted);
            evidence.noted = 0;
            EXPECT_EQ(judge(noting, evidence), Verdict::aborted);
            evidence.noted.reset();
            EXPECT_EQ(judge(noting, evidence), Verdict::unknown);
        }
}

TEST(Judge, AnotherClusterOrAnOlderTimelineIsNotAsked) {
    for (const auto status : statuses) {
        auto other = same_life(status);
        other.life.system_id = "78";
        EXPECT_EQ(judge(mark(), other), Verdict::stale);
        EXPECT_EQ(judge(mark(), recovered(5000, status, 2)), Verdict::stale);
    }
}

TEST(Judge, ARestartIsNotTheSameLife) {
    auto evidence = recovered(50, XactStatus::committed);
    evidence.life.recovered = 0;
    evidence.life.started = "1001.5";
    EXPECT_EQ(judge(mark(), evidence), Verdict::unknown);
}

TEST(LsnText, GoesThereAndBack) {
    EXPECT_EQ(parse_lsn("1/A0000028"), Lsn{0x1A0000028});
    EXPECT_EQ(lsn_text(0x1A0000028), "1/A0000028");
    EXPECT_EQ(lsn_text(0), "0/0");
    for (const auto* text : {"", "/", "1", "1/", "/1", "1/G", "1/123456789", " 1/2"})
        EXPECT_FALSE(parse_lsn(text)) << text;
}

TEST(TimelineOf, ReadsAWalFilesName) {
    EXPECT_EQ(timeline_of("0000002A0000000100000003"), 0x2Au);
    EXPECT_FALSE(timeline_of("0000002A00000001000000"));
    EXPECT_FALSE(timeline_of("x000002A0000000100000003"));
}

TEST(LeftAt, FindsWhereATimelineWasLeft) {
    const std::string history =
        "1\t0/3000110\tno recovery target specified\n\n# reserved\n2\t1/0\tbefore\n12\t2/0\n";
    EXPECT_EQ(left_at(history, 1), Lsn{0x3000110});
    EXPECT_EQ(left_at(history, 2), Lsn{1} << 32);
    EXPECT_EQ(left_at(history, 12), Lsn{2} << 32);
    EXPECT_EQ(left_at(history, 3), Lsn{0});
    EXPECT_EQ(left_at("", 3), Lsn{0});
}

}  // namespace
}  // namespace relevo::client
