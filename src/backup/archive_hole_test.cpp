#include "backup/archive_hole.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

namespace relevo::backup {
namespace {

using namespace std::chrono_literals;

std::string segment(unsigned number, unsigned timeline = 1) {
    char name[32];
    std::snprintf(name, sizeof name, "%08X00000000%08X", timeline, number);
    return name;
}

cluster::BackupRecord backup(const char* label, const std::string& from) {
    cluster::BackupRecord out;
    out.label = label;
    out.wal_start = out.wal_stop = from;
    return out;
}

// Segments 3 to 12 are there, of which the backup needs those from 4 on.
class ArchiveHole : public ::testing::Test {
protected:
    ArchiveSight sight = [] {
        ArchiveSight out;
        out.repository.backups = {backup("A", segment(4))};
        out.segment_bytes = 16U << 20U;
        out.timeline = 1;
        out.believed = segment(12);
        for (unsigned i = 3; i <= 12; ++i) {
            out.segments.push_back(segment(i));
            out.stored.emplace_back(std::chrono::hours(1000) + std::chrono::seconds(i));
        }
        return out;
    }();

    std::string since;

    void drop(unsigned from, unsigned to) {
        for (unsigned i = from; i <= to; ++i) {
            const auto at = std::ranges::find(sight.segments, segment(i));
            ASSERT_NE(at, sight.segments.end());
            sight.stored.erase(sight.stored.begin() + (at - sight.segments.begin()));
            sight.segments.erase(at);
        }
    }
    std::optional<cluster::ArchiveHole> found() {
        const auto look = find_hole(sight);
        EXPECT_TRUE(look) << look.error().message;
        since = look ? look->since : std::string();
        return look ? look->hole : std::nullopt;
    }
};

TEST_F(ArchiveHole, IsNoneWhereAllIsThereAndWhereNothingWasBackedUp) {
    EXPECT_FALSE(found());
    EXPECT_EQ(since, "A");
    sight.believed.clear();
    EXPECT_FALSE(found());
    drop(5, 6);
    sight.repository.backups.clear();
    EXPECT_FALSE(found());
}

TEST_F(ArchiveHole, IsWhatIsMissingBehindTheNewestBackupUntilAnotherIsMade) {
    drop(6, 8);
    const auto hole = found();
    ASSERT_TRUE(hole);
    EXPECT_EQ(hole->after, "A");
    EXPECT_EQ(describe(*hole), "3 segments from " + segment(6) + " to " + segment(8));
    EXPECT_EQ(hole->since, WallTime(std::chrono::hours(1000) + 5s)) << "segment 5 was stored then";
    sight.repository.backups.push_back(backup("B", segment(9)));
    EXPECT_FALSE(found());
    drop(11, 11);
    EXPECT_EQ(found()->after, "B");
    EXPECT_EQ(describe(*found()), "segment " + segment(11));
}

// PostgreSQL was told that they are archived, and nothing came after them.
TEST_F(ArchiveHole, AtTheEndIsSeenByWhatPostgresqlBelieves) {
    sight.believed = segment(14);
    ASSERT_TRUE(found());
    EXPECT_EQ(describe(*found()), "2 segments from " + segment(13) + " to " + segment(14));
    // What it believed before a promotion, or of another file, says nothing.
    for (const auto& other : {segment(14, 2), std::string("00000002.history"), std::string("x")}) {
        sight.believed = other;
        EXPECT_FALSE(found()) << other;
    }
}

// Several are archived at a time, and the first of them may arrive last.
TEST_F(ArchiveHole, IsNoneBehindWhatTheArchiverIsDoneWith) {
    sight.believed = segment(9);
    drop(11, 11);
    EXPECT_FALSE(found());
    drop(8, 10);
    ASSERT_TRUE(found());
    EXPECT_EQ(describe(*found()), "2 segments from " + segment(8) + " to " + segment(9));
}

TEST_F(ArchiveHole, ABackupWhoseBaseIsGoneClosesNothing) {
    drop(6, 8);
    auto incremental = backup("B", segment(9));
    incremental.needs = {"gone"};
    sight.repository.backups.push_back(incremental);
    ASSERT_TRUE(found());
    EXPECT_EQ(found()->after, "A");
}

TEST_F(ArchiveHole, BehindABackupThatDoesNotLeadHereIsNoNews) {
    drop(6, 8);
    sight.repository.backups.push_back(backup("B", segment(9, 7)));
    EXPECT_FALSE(found()) << "a timeline that was left";
    EXPECT_EQ(since, "");
    sight.repository.backups.back() = backup("B", segment(2));
    sight.repository.backups.back().system_id = "1";
    sight.archive.system_id = "2";
    EXPECT_FALSE(found()) << "from before pg_upgrade";
}

TEST_F(ArchiveHole, IsNotGuessedFromSegmentsOfAnUnknownSize) {
    sight.segment_bytes = 0;
    EXPECT_FALSE(find_hole(sight));
}

}  // namespace
}  // namespace relevo::backup
