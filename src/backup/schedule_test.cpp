#include "backup/schedule.h"

#include <gtest/gtest.h>

namespace relevo::backup {
namespace {

using cluster::BackupRecord;
using cluster::BackupType;
using cluster::Cron;
using cluster::JobWhat;

WallTime at(std::string_view text) { return parse_iso(text)->time; }

BackupRecord backup(BackupType type, std::string_view started, std::string label = {},
                    std::vector<std::string> needs = {}) {
    BackupRecord out;
    out.type = type;
    out.started = out.stopped = at(started);
    out.label = label.empty() ? std::string(started) : std::move(label);
    out.needs = std::move(needs);
    return out;
}

Schedule nightly() {
    Schedule schedule;
    schedule.full = *Cron::parse("0 1 * * sun");
    schedule.differential = *Cron::parse("0 1 * * mon-sat");
    schedule.incremental = *Cron::parse("0 * * * *");
    return schedule;
}

// 2026-05-17 is a Sunday.
const auto sunday_full = backup(BackupType::full, "2026-05-17T01:00:02Z");

std::optional<JobWhat> due_at(const std::vector<BackupRecord>& backups, std::string_view now,
                              const std::optional<MadeFor>& made = {}) {
    const auto wanted = due(nightly(), kept(backups), made, at(now));
    return wanted ? std::optional(wanted->what) : std::nullopt;
}

TEST(Due, AnEmptyRepositoryGetsAFullOneAtOnce) {
    const auto wanted = due(nightly(), {}, {}, at("2026-05-20T12:34:56Z"));
    ASSERT_TRUE(wanted);
    EXPECT_EQ(wanted->what, JobWhat::full);
    EXPECT_FALSE(wanted->since);
}

TEST(Due, WithoutAScheduleNothingEverIs) {
    EXPECT_FALSE(due({}, {}, {}, at("2026-05-20T12:34:56Z")));
    EXPECT_FALSE(next_instant({}, at("2026-05-20T12:34:56Z")));
}

TEST(Due, NothingBeforeTheNextInstant) {
    EXPECT_EQ(due_at({sunday_full}, "2026-05-17T01:59:59Z"), std::nullopt);
    EXPECT_EQ(due_at({sunday_full}, "2026-05-17T02:00:00Z"), JobWhat::incremental);
}

TEST(Due, AWiderBackupServesForANarrowerOne) {
    // The full one at one o'clock is the hour's incremental too.
    EXPECT_EQ(due_at({sunday_full}, "2026-05-17T01:30:00Z"), std::nullopt);
    // On Monday the differential comes first, and serves the hour's incremental.
    EXPECT_EQ(due_at({sunday_full}, "2026-05-18T01:00:00Z"), JobWhat::differential);
    const auto monday = backup(BackupType::differential, "2026-05-18T01:00:01Z");
    EXPECT_EQ(due_at({sunday_full, monday}, "2026-05-18T01:10:00Z"), std::nullopt);
}

TEST(Due, ANarrowerBackupDoesNotServeForAWiderOne) {
    const auto incremental = backup(BackupType::incremental, "2026-05-24T01:00:05Z");
    EXPECT_EQ(due_at({sunday_full, incremental}, "2026-05-24T01:01:00Z"), JobWhat::full);
}

TEST(Due, MissedRunsAreMadeUpForOnce) {
    // Nobody was there for four days: one differential, not four, then the last hour's is there.
    EXPECT_EQ(due_at({sunday_full}, "2026-05-21T09:15:00Z"), JobWhat::differential);
    const auto late = backup(BackupType::differential, "2026-05-21T09:15:01Z");
    EXPECT_EQ(due_at({sunday_full, late}, "2026-05-21T09:20:00Z"), std::nullopt);
}

TEST(Due, ABackupThatWasDeletedUnderUsIsMadeAgain) {
    const auto monday = backup(BackupType::differential, "2026-05-18T01:00:01Z", "D", {"F"});
    // The full one that it is made on is gone: it is of no use.
    EXPECT_EQ(due_at({monday}, "2026-05-18T01:10:00Z"), JobWhat::full);
}

TEST(Due, TheRunnersClockMayBeBehindTheLeaders) {
    const auto early = backup(BackupType::full, "2026-05-24T00:59:57Z", "F");
    EXPECT_EQ(due_at({early}, "2026-05-24T01:05:00Z"), JobWhat::full);
    EXPECT_EQ(due_at({early}, "2026-05-24T01:05:00Z", MadeFor{"F", at("2026-05-24T01:00:00Z")}),
              std::nullopt);
    // What the job remembers counts only while the repository has it.
    EXPECT_EQ(
        due_at({sunday_full}, "2026-05-24T01:05:00Z", MadeFor{"F", at("2026-05-24T01:00:00Z")}),
        JobWhat::full);
}

TEST(Due, ABackupFromTheFutureDoesNotKeepOthersFromBeingMade) {
    const auto ahead = backup(BackupType::full, "2027-01-01T00:00:00Z");
    EXPECT_EQ(due_at({sunday_full, ahead}, "2026-05-24T01:05:00Z"), JobWhat::full);
}

TEST(Due, TheNextInstantIsTheEarliestOfAll) {
    EXPECT_EQ(next_instant(nightly(), at("2026-05-17T00:30:00Z")), at("2026-05-17T01:00:00Z"));
    EXPECT_EQ(next_instant(nightly(), at("2026-05-17T01:00:00Z")), at("2026-05-17T02:00:00Z"));
}

}  // namespace
}  // namespace relevo::backup
