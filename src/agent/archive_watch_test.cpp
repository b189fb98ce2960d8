// What the watch makes of an archiver and of a repository that the test plays, and when it looks.
#include "agent/archive_watch.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/fake_backup.h"
#include "os/test_loop.h"

namespace relevo::agent {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

std::string segment(std::uint64_t number) { return fmt::format("0000000100000000{:08X}", number); }

struct PlayedClock final : ports::Clock {
    Instant at{1h};
    Instant now() const override { return at; }
    WallTime wall() const override {
        return WallTime(std::chrono::floor<WallTime::duration>(at.time_since_epoch()));
    }
};

struct PlayedArchive final : FakeRestores {
    Archived in_archive;
    ports::BackupConfig settings;
    int listed = 0;
    cluster::ArchiveRange last_listed;
    bool away = false;

    ports::BackupConfig config() const override { return settings; }
    Task<Result<cluster::Repository>> info(Duration) override {
        if (away) co_return fail(ErrorCode::unavailable, "it does not answer");
        co_return repository;
    }
    Task<Result<Archived>> archived(cluster::ArchiveRange archive, Duration) override {
        ++listed;
        last_listed = archive;
        co_return in_archive;
    }
};

// A primary with segments of 16 MB, whose repository has a backup from segment 1 on.
class ArchiveWatchTest : public ::testing::Test {
protected:
    os::TestLoop t;
    PlayedClock clock;
    PlayedArchive backup;
    cluster::ArchiverState archiver;
    std::optional<backup::HoleBehind> hole;
    std::string note;
    int answered = 0;
    ArchiveWatch watch{
        t.loop,
        {.clock = clock,
         .backup = backup,
         .archiver = [this]() -> Task<Result<cluster::ArchiverState>> { co_return archiver; },
         .hole = [this](auto found) { hole = std::move(found); },
         .changed = [this](core::ArchiveSeen seen) { note = seen.note; },
         .answers = [this] { ++answered; }}};

    ArchiveWatchTest() {
        backup.settings.archive_queue = ports::BackupConfig::Queue::drop;
        backup.settings.archive_queue_max_bytes = 64U << 20U;
        add_backup("A", 1);
        backup.repository->archives.emplace_back().id = "15-1";
        backup.in_archive.segment_bytes = archiver.segment_bytes = 16U << 20U;
        archive(1, 3);
        archiver.last_archived = segment(3);
        archiver.archived_at = clock.wall();
    }
    void add_backup(const char* label, std::uint64_t from) {
        auto& made = backup.repository->backups.emplace_back();
        made.label = label;
        made.wal_start = segment(from);
    }
    void archive(std::uint64_t from, std::uint64_t to) {
        for (auto i = from; i <= to; ++i) backup.in_archive.segments.push_back(segment(i));
    }
    ports::View primary(cluster::Revision term = 7) const {
        ports::View view;
        view.leading = true;
        view.term = term;
        view.lead_until = clock.at + 10s;
        view.postgres.server = cluster::Server::running;
        view.postgres.in_recovery = false;
        view.postgres.timeline = 1;
        return view;
    }
    void see(const ports::View& view) {
        watch.see(view);
        t.loop.restart();
        while (t.loop.poll() > 0) {
        }
    }
    void later(Duration by = 5s) {
        clock.at += by;
        see(primary());
    }
    void begin() {
        see(primary());
        watch.repository_ready();
        later();
    }
    // pgBackRest says that it archived up to there, and so many wait.
    void goes_on(std::uint64_t last, int waiting, bool fails) {
        archiver.last_archived = segment(last);
        archiver.archived_at = clock.wall();
        archiver.waiting = waiting;
        archiver.failed_at.reset();
        if (fails) archiver.failed_at = clock.wall() + 1ms;
        archiver.written = cluster::Lsn{(last + 1 + static_cast<unsigned>(waiting)) << 24U};
        ++archiver.ended;
        later();
    }
};

TEST_F(ArchiveWatchTest, LooksOnceWhenWhatTheLastPrimaryLeftIsThere) {
    see(primary());
    EXPECT_EQ(backup.listed, 0) << "it may be about to be archived";
    watch.repository_ready();
    later();
    EXPECT_EQ(backup.listed, 1);
    for (int i = 0; i < 100; ++i) later();
    EXPECT_EQ(backup.listed, 1);
    EXPECT_FALSE(hole);
    EXPECT_EQ(note, "");
}

TEST_F(ArchiveWatchTest, AFullQueueIsToldAndWhatWasDroppedIsFoundAndClosed) {
    begin();
    backup.away = true;
    goes_on(3, 2, true);
    EXPECT_FALSE(watch.status()->queue_full);
    EXPECT_EQ(note, "");
    const auto wrote = clock.wall();
    goes_on(3, 4, true);
    EXPECT_TRUE(watch.status()->queue_full);
    EXPECT_THAT(note, HasSubstr("as much WAL waits for the repository as may (64.0 MB)"));
    goes_on(6, 4, true);
    goes_on(9, 4, false);
    EXPECT_TRUE(watch.status()->queue_full);
    ASSERT_TRUE(watch.status()->missing_since);
    EXPECT_LE(*watch.status()->missing_since, wrote) << "what was dropped is missing";
    EXPECT_FALSE(hole) << "the repository cannot be asked";
    // It answers again, and the queue goes there at once.
    backup.away = false;
    archive(10, 13);
    goes_on(13, 0, false);
    ASSERT_TRUE(hole);
    EXPECT_EQ(hole->backup, "A");
    EXPECT_EQ(hole->found, clock.at);
    EXPECT_THAT(note, HasSubstr("6 segments from " + segment(4) + " to " + segment(9)));
    EXPECT_THAT(note, HasSubstr("it is made now"));
    EXPECT_EQ(watch.status()->hole->segments, 6);
    EXPECT_FALSE(watch.status()->queue_full);
    add_backup("B", 14);
    watch.look_soon();
    later(0s);
    EXPECT_FALSE(hole);
    EXPECT_EQ(note, "");
    EXPECT_FALSE(watch.status()->hole);
}

// The repository was asked while the queue was full and nothing had been dropped yet.
TEST_F(ArchiveWatchTest, WhatIsDroppedAfterTheLastLookAtAFullQueueIsFound) {
    begin();
    goes_on(3, 4, false);
    later(60s);
    EXPECT_EQ(backup.listed, 2);
    EXPECT_TRUE(watch.status()->queue_full);
    EXPECT_FALSE(hole);
    archive(5, 8);
    goes_on(8, 0, false);
    later(60s);
    ASSERT_TRUE(hole);
    EXPECT_EQ(watch.status()->hole->segments, 1);
}

TEST_F(ArchiveWatchTest, AHoleThatSomebodyFilledIsGoneWithoutAnotherBackup) {
    archive(10, 13);
    archiver.last_archived = segment(13);
    begin();
    ASSERT_TRUE(hole);
    // The longer it stays, the more rarely all of the archive is listed.
    for (int i = 0; i < 40; ++i) later(60s);
    EXPECT_THAT(backup.listed, ::testing::AllOf(::testing::Gt(5), ::testing::Lt(15)));
    archive(4, 9);
    for (int i = 0; i < 6; ++i) later(60s);
    EXPECT_FALSE(hole);
    EXPECT_EQ(note, "");
    EXPECT_FALSE(watch.status()->hole);
    const int listed = backup.listed;
    for (int i = 0; i < 20; ++i) later(60s);
    EXPECT_EQ(backup.listed, listed);
}

// Another agent, or this one after a restart, knows what the repository shows.
TEST_F(ArchiveWatchTest, WhoComesLaterFindsTheSame) {
    archive(10, 13);
    archiver.last_archived = segment(13) + ".00000028.backup";
    begin();
    ASSERT_TRUE(hole);
    EXPECT_EQ(watch.status()->hole->first, segment(4));
    see(primary(8));
    EXPECT_FALSE(hole) << "under another term it is looked for anew";
    watch.repository_ready();
    see(primary(8));
    EXPECT_TRUE(hole);
}

TEST_F(ArchiveWatchTest, IsNotToldByAnArchiverThatHasNotDoneAnythingYet) {
    archive(10, 13);
    archiver.last_archived.clear();
    begin();
    EXPECT_EQ(backup.listed, 0);
    archiver.last_archived = "00000002.history";
    later();
    EXPECT_EQ(backup.listed, 0);
    archiver.last_archived = segment(3);
    later();
    EXPECT_EQ(backup.listed, 1);
    EXPECT_FALSE(hole) << "what it is not done with may come yet";
}

TEST_F(ArchiveWatchTest, WhereNothingIsDroppedAFailureIsLookedIntoAndTheOperatorIsAsked) {
    backup.settings = {};
    begin();
    goes_on(3, 9, true);
    EXPECT_FALSE(watch.status()->queue_full);
    EXPECT_EQ(backup.listed, 1);
    archive(6, 12);
    goes_on(12, 0, false);
    EXPECT_EQ(answered, 1);
    EXPECT_EQ(backup.listed, 1) << "not more often than once a minute";
    later(60s);
    EXPECT_EQ(backup.listed, 2);
    ASSERT_TRUE(hole);
    EXPECT_THAT(note, HasSubstr("make it now (relevoctl backup run)"));
}

TEST_F(ArchiveWatchTest, ARepositoryThatDoesNotAnswerIsAskedAgainAtPauses) {
    archive(10, 13);
    archiver.last_archived = segment(13);
    backup.away = true;
    begin();
    EXPECT_FALSE(hole);
    backup.away = false;
    later(3s);
    EXPECT_FALSE(hole);
    later(5s);
    EXPECT_TRUE(hole);
}

TEST_F(ArchiveWatchTest, TheArchiveIsThatOfTheNewestBackup) {
    backup.repository->archives = {{1, "15-1", "7002", {}, {}}, {2, "15-1", "7002", {}, {}}};
    backup.repository->backups.back().system_id = "7002";
    begin();
    EXPECT_EQ(backup.listed, 1);
    EXPECT_EQ(backup.last_listed.repository, 1);
}

TEST_F(ArchiveWatchTest, BehindABackupFromBeforeAnUpgradeNothingIsMissing) {
    backup.repository->archives = {{1, "14-1", "7001", {}, {}}, {1, "15-2", "7002", {}, {}}};
    backup.repository->backups.back().system_id = "7001";
    cluster::Snapshot snapshot;
    snapshot.initialize = "7002";
    auto view = primary();
    view.snapshot = std::make_shared<const cluster::Snapshot>(snapshot);
    archive(10, 13);
    archiver.last_archived = segment(13);
    see(view);
    watch.repository_ready();
    see(view);
    EXPECT_EQ(backup.listed, 0);
    EXPECT_FALSE(hole);
}

TEST_F(ArchiveWatchTest, OfAStandbyThereIsNothing) {
    see(primary());
    EXPECT_TRUE(watch.status());
    auto view = primary();
    view.leading = false;
    see(view);
    EXPECT_FALSE(watch.status());
}

}  // namespace
}  // namespace relevo::agent
