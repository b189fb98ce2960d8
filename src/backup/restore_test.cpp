#include "backup/restore.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace relevo::backup {
namespace {

using cluster::BackupRecord;
using cluster::HistoryLine;
using cluster::Lsn;
using cluster::RecoveryTarget;
using cluster::TargetTimeline;
using cluster::Timeline;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr std::uint64_t mb16 = 16U << 20U;

std::string name(Timeline timeline, std::uint64_t number) {
    return fmt::format("{:08X}{:08X}{:08X}", timeline, number / 256, number % 256);
}

WallTime at(const char* text) { return parse_iso(text)->time; }

RestoreWish wish(Result<RecoveryTarget> target) {
    EXPECT_TRUE(target) << (target ? std::string() : target.error().message);
    return {.target = *target, .backup = {}};
}
RestoreWish at_time(const char* text) { return wish(cluster::target_at_time(text)); }
RestoreWish at_lsn(const char* text) { return wish(cluster::target_at_lsn(text)); }
RestoreWish latest() { return {}; }

// Of a cluster that was on timeline 1 until segment 20, and has been on timeline 2 since: a full
// backup in 5 (01:00), an incremental one in 12 (02:00), a full one on timeline 2 in 25 (04:00).
// A segment is stored each 5 minutes, the first at 00:30.
class Restore : public ::testing::Test {
protected:
    Restore() {
        stock.archive = {.repository = 1,
                         .id = "15-1",
                         .system_id = "77",
                         .wal_min = name(1, 3),
                         .wal_max = name(2, 39)};
        stock.repository.archives = {stock.archive};
        add_backup("A", 1, 5, "2026-05-14 01:00:10+00");
        add_backup("A_I", 1, 12, "2026-05-14 02:00:10+00").needs = {"A"};
        add_backup("B", 2, 25, "2026-05-14 04:00:10+00");
        for (std::uint64_t i = 3; i < 20; ++i) store(1, i);
        for (std::uint64_t i = 20; i < 40; ++i) store(2, i);
        HistoryLine left;
        left.timeline = 1;
        left.switch_point = Lsn{20 * mb16 + 1000};
        stock.history = {left};
        stock.line = 2;
        stock.segment_bytes = mb16;
        stock.now = at("2026-05-14 10:00:00+00");
    }

    BackupRecord& add_backup(const char* label, Timeline timeline, std::uint64_t segment,
                             const char* stopped) {
        BackupRecord backup;
        backup.label = label;
        backup.stopped = at(stopped);
        backup.started = backup.stopped - std::chrono::seconds(10);
        backup.wal_start = backup.wal_stop = name(timeline, segment);
        backup.lsn_start = Lsn{segment * mb16 + 0x28};
        backup.lsn_stop = Lsn{segment * mb16 + 0x100};
        backup.system_id = "77";
        backup.postgres_version = "15";
        stock.repository.backups.push_back(backup);
        return stock.repository.backups.back();
    }
    void store(Timeline timeline, std::uint64_t segment) {
        stock.segments.push_back(name(timeline, segment));
        stock.stored.push_back(at("2026-05-14 00:30:00+00") +
                               std::chrono::minutes(5) * (segment - 3));
    }
    void lose(Timeline timeline, std::uint64_t segment) {
        const auto found = std::ranges::find(stock.segments, name(timeline, segment));
        ASSERT_NE(found, stock.segments.end());
        stock.stored.erase(stock.stored.begin() + (found - stock.segments.begin()));
        stock.segments.erase(found);
    }
    std::string backup_for(const RestoreWish& what) {
        const auto advice = choose_restore(stock, what);
        return advice.choice ? advice.choice->backup.label : "- " + advice.choice.error().message;
    }

    Stock stock;
};

TEST_F(Restore, TheNewestBackupThatEndedBeforeTheTargetIsTaken) {
    EXPECT_EQ(backup_for(at_time("2026-05-14 01:30+00")), "A");
    EXPECT_EQ(backup_for(at_time("2026-05-14 02:00:10+00")), "A") << "it may have ended after it";
    EXPECT_EQ(backup_for(at_time("2026-05-14 02:00:11+00")), "A_I");
    EXPECT_EQ(backup_for(at_time("2026-05-14 03:00+00")), "A_I") << "across the failover";
    EXPECT_EQ(backup_for(at_time("2026-05-14 03:31+00")),
              "- 2026-05-14 03:31:00+00 is behind the "
              "last WAL in the archive: what can be "
              "reached is from 2026-05-14 "
              "01:00:10+00 (the end of backup A) to "
              "2026-05-14 03:30:00+00 (when " +
                  name(2, 39) + " was stored, on timeline 2)");
    EXPECT_EQ(backup_for(at_lsn("0/5000100")), "A");
    EXPECT_EQ(backup_for(at_lsn("0/C0000FF")), "A");
    EXPECT_EQ(backup_for(at_lsn("0/C000100")), "A_I");
    EXPECT_EQ(backup_for(at_lsn("0/27FFFFFF")), "B");
    EXPECT_EQ(backup_for(latest()), "B");
}

TEST_F(Restore, WhatIsChosenNamesItsTimelineAndHowFarItGets) {
    const auto advice = choose_restore(stock, at_lsn("0/15000000"));
    ASSERT_TRUE(advice.choice);
    EXPECT_EQ(advice.choice->target.timeline.way, TargetTimeline::Way::numbered);
    EXPECT_EQ(advice.choice->target.timeline.number, 2U);
    EXPECT_EQ(advice.choice->reach.first, name(1, 12));
    EXPECT_EQ(advice.choice->reach.last, name(2, 39));
    EXPECT_EQ(advice.choice->reach.segments, 28U);
    EXPECT_THAT(advice.choice->notes, IsEmpty());
    ASSERT_THAT(advice.windows, SizeIs(1));
    EXPECT_EQ(advice.windows[0].backup, "A");
}

TEST_F(Restore, WhatCannotBeReachedIsRefusedWithWhatCan) {
    EXPECT_THAT(backup_for(at_time("2026-05-14 00:59+00")),
                AllOf(HasSubstr("before the end of the first backup"),
                      HasSubstr("what can be reached is from 2026-05-14 01:00:10+00")));
    EXPECT_THAT(backup_for(at_time("2026-05-14 10:01+00")),
                AllOf(HasSubstr("in the future"), HasSubstr("now"), HasSubstr("what can be")));
    EXPECT_THAT(backup_for(at_lsn("0/5000000")), HasSubstr("before the end of the first backup"));
    EXPECT_THAT(backup_for(at_lsn("0/28000000")), HasSubstr("behind the last WAL"));
    stock.repository.backups.clear();
    EXPECT_THAT(backup_for(latest()), HasSubstr("there is no backup"));
    EXPECT_EQ(archive_for(stock.repository, latest()).error().code, ErrorCode::not_found);
}

TEST_F(Restore, AHoleIsNotJumpedOver) {
    lose(1, 15);
    EXPECT_THAT(backup_for(at_time("2026-05-14 03:00+00")),
                AllOf(HasSubstr("missing in the archive (from " + name(1, 15)),
                      HasSubstr(", and from 2026-05-14 04:00:10+00 (the end of backup B)")));
    EXPECT_EQ(backup_for(at_time("2026-05-14 01:20+00")), "A");
    EXPECT_EQ(backup_for(latest()), "B");
    lose(2, 30);
    EXPECT_THAT(backup_for(latest()), AllOf(HasSubstr("from " + name(2, 30) + " on"),
                                            HasSubstr("Give a target before 0/1E000000")));
    // While it was made: of no use at all.
    lose(2, 25);
    EXPECT_THAT(backup_for({.target = {}, .backup = "B"}),
                HasSubstr("WAL that was written while it was made"));
}

TEST_F(Restore, ABackupThatIsNamedIsJudgedToo) {
    auto wanted = at_time("2026-05-14 03:00+00");
    wanted.backup = "A";
    EXPECT_EQ(backup_for(wanted), "A");
    wanted.backup = "B";
    EXPECT_THAT(backup_for(wanted), HasSubstr("before the end of backup B"));
    wanted.backup = "C";
    EXPECT_THAT(backup_for(wanted), HasSubstr("no backup C"));
    stock.repository.backups.erase(stock.repository.backups.begin());
    wanted.backup = "A_I";
    EXPECT_THAT(backup_for(wanted), HasSubstr("backup A, which it is made on, is gone"));
    EXPECT_EQ(backup_for(latest()), "B") << "and it is never chosen";
}

TEST_F(Restore, AnAbandonedTimelineLeadsNowhere) {
    // Somebody restored to segment 10 of timeline 1 and went on as 3.
    HistoryLine left;
    left.timeline = 1;
    left.switch_point = Lsn{10 * mb16 + 5};
    stock.history = {left};
    stock.line = 3;
    for (std::uint64_t i = 10; i < 14; ++i) store(3, i);
    EXPECT_EQ(backup_for(latest()), "A");
    EXPECT_THAT(backup_for({.target = {}, .backup = "A_I"}),
                HasSubstr("ended on timeline 1 at 0/C000100, and the way to timeline 3 leaves"));
    EXPECT_THAT(backup_for({.target = {}, .backup = "B"}),
                HasSubstr("timeline 2, which does not lead to timeline 3"));
}

TEST_F(Restore, ATransactionsNumberDoesNotTellItsTime) {
    const auto advice = choose_restore(stock, wish(cluster::target_at_xid("800")));
    ASSERT_TRUE(advice.choice);
    EXPECT_EQ(advice.choice->backup.label, "A");
    EXPECT_THAT(advice.choice->notes, ElementsAre(HasSubstr("--backup")));
}

TEST_F(Restore, TheLineIsTheClustersUnlessAnotherIsNamed) {
    const auto line = [&](TargetTimeline timeline, std::vector<Timeline> histories,
                          Timeline current) -> std::string {
        RestoreWish what;
        what.target.timeline = timeline;
        const auto found = line_for(what, stock.repository, histories, current);
        return found ? std::to_string(*found) : found.error().message;
    };
    EXPECT_EQ(line({}, {2, 3}, 2), "2") << "3 is somebody else's";
    EXPECT_EQ(line({}, {2, 3}, 0), "3");
    EXPECT_EQ(line({}, {2}, 3), "2") << "of 3 nothing is archived yet";
    EXPECT_EQ(line({}, {}, 1), "1");
    EXPECT_EQ(line({TargetTimeline::Way::current, 0}, {2, 3}, 3), "2") << "of the newest backup";
    EXPECT_EQ(line({TargetTimeline::Way::numbered, 3}, {2, 3}, 2), "3");
    EXPECT_THAT(line({TargetTimeline::Way::numbered, 4}, {2, 3}, 2), HasSubstr("it has 1, 2, 3"));
}

TEST_F(Restore, ASegmentsSizeFollowsFromTheBackups) {
    EXPECT_EQ(segment_bytes_of(stock.repository.backups), mb16);
    EXPECT_EQ(segment_bytes_of({}), 0U);
    BackupRecord backup;
    backup.wal_start = "000000010000000000000002";
    backup.lsn_start = Lsn{2 * (64U << 20U) + 40};
    EXPECT_EQ(segment_bytes_of({backup}), 64U << 20U);
    stock.segment_bytes = 0;
    EXPECT_EQ(backup_for(latest()), "B");
}

TEST_F(Restore, AnotherDatabasesBackupsDoNotCount) {
    auto& other = add_backup("D", 2, 30, "2026-05-14 05:00+00");
    other.system_id = "78";
    EXPECT_EQ(backup_for(latest()), "B");
    EXPECT_THAT(backup_for({.target = {}, .backup = "D"}), HasSubstr("another database"));
}

TEST_F(Restore, TheAdviceIsShownAsJson) {
    const auto fits = advice_json(choose_restore(stock, latest()), latest());
    EXPECT_THAT(fits, AllOf(HasSubstr(R"("backup":{"label":"B")"), HasSubstr(R"("timeline":"2")"),
                            HasSubstr(R"("target":"the end of the archive")"),
                            HasSubstr(R"("until":"2026-05-14T03:30:00+00:00")")));
    const auto early = at_time("2026-05-13 00:00+00");
    EXPECT_THAT(advice_json(choose_restore(stock, early), early),
                AllOf(HasSubstr(R"("problem":)"), Not(HasSubstr(R"("label")"))));
}

}  // namespace
}  // namespace relevo::backup
