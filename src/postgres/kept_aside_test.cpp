#include "postgres/kept_aside.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "os/file.h"
#include "postgres/corruption.h"
#include "postgres/half_made.h"
#include "postgres/voteless.h"

namespace relevo::postgres {
namespace {

namespace fs = std::filesystem;

class KeptAside : public ::testing::Test {
protected:
    void SetUp() override {
        std::string pattern = ::testing::TempDir() + "/relevo-aside-XXXXXX";
        ASSERT_NE(mkdtemp(pattern.data()), nullptr);
        top = pattern;
        data = top + "/data";
        fill(data, "old");
        fs::create_directories(data + "/pg_tblspc");
        fs::create_directories(top + "/space");
        std::ofstream(top + "/space/table") << "old";
        fs::create_directory_symlink(top + "/space", data + "/pg_tblspc/16384");
    }
    void TearDown() override { fs::remove_all(top); }
    static void fill(const std::string& directory, const std::string& what) {
        fs::create_directories(directory);
        std::ofstream(directory + "/PG_VERSION") << what;
    }
    static std::string content(const std::string& path) {
        return os::read_file(path).value_or("nothing");
    }
    std::string aside(const std::string& id) const { return data + ".before_restore_" + id; }
    // As pgBackRest leaves it in the middle.
    void restore_half() {
        ASSERT_TRUE(mark_half_made(data, by_bootstrap));
        fill(data, "half");
        fs::create_directories(top + "/space");
        std::ofstream(top + "/space/table") << "half";
        fs::create_directories(data + "/pg_tblspc");
        fs::create_directory_symlink(top + "/space", data + "/pg_tblspc/16384");
    }
    void expect_old() {
        EXPECT_EQ(content(data + "/PG_VERSION"), "old");
        EXPECT_EQ(content(data + "/pg_tblspc/16384/table"), "old");
        EXPECT_FALSE(read_aside_mark(data));
        EXPECT_FALSE(half_made_by(data));
        EXPECT_FALSE(fs::exists(aside("a")));
    }
    std::string top, data;
};

TEST_F(KeptAside, TheOldDataIsBesideAndItsPlaceIsEmpty) {
    ASSERT_TRUE(keep_aside(data, "a"));
    EXPECT_TRUE(fs::is_empty(data));
    EXPECT_EQ(content(aside("a") + "/PG_VERSION"), "old");
    EXPECT_EQ(content(top + "/space.before_restore_a/table"), "old");
    const auto mark = read_aside_mark(data);
    ASSERT_TRUE(mark);
    EXPECT_EQ(mark->id, "a");
    EXPECT_TRUE(mark->done());
    // Again, with something new in its place: nothing happens to that.
    fill(data, "new");
    ASSERT_TRUE(keep_aside(data, "a"));
    EXPECT_EQ(content(data + "/PG_VERSION"), "new");
}

TEST_F(KeptAside, EachRestoreKeepsItsOwn) {
    ASSERT_TRUE(keep_aside(data, "a"));
    fill(data, "new");
    ASSERT_TRUE(keep_aside(data, "b"));
    EXPECT_EQ(content(aside("a") + "/PG_VERSION"), "old");
    EXPECT_EQ(content(aside("b") + "/PG_VERSION"), "new");
    EXPECT_TRUE(fs::is_empty(data));
}

TEST_F(KeptAside, NothingIsEverPutOverAnother) {
    fill(top + "/space.before_restore_a", "another's");
    const auto done = keep_aside(data, "a");
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, ErrorCode::conflict);
    EXPECT_EQ(content(data + "/PG_VERSION"), "old");
    EXPECT_EQ(content(top + "/space.before_restore_a/PG_VERSION"), "another's");
    EXPECT_EQ(content(data + "/pg_tblspc/16384/table"), "old");
}

TEST_F(KeptAside, InterruptedAtAnyPointItGoesOn) {
    // The mark alone; the mark and a tablespace; all renames, and not the mark of their end.
    for (int renames = 0; renames < 3; ++renames) {
        std::ofstream(data + ".in_place") << "a\nbegun\nvotes\n" << data << "\n";
        if (renames > 0) fs::rename(top + "/space", top + "/space.before_restore_a");
        if (renames > 1) fs::rename(data, aside("a"));
        ASSERT_FALSE(read_aside_mark(data)->done());
        ASSERT_TRUE(keep_aside(data, "a"));
        EXPECT_TRUE(fs::is_empty(data));
        EXPECT_EQ(content(aside("a") + "/PG_VERSION"), "old") << renames;
        EXPECT_EQ(content(top + "/space.before_restore_a/table"), "old") << renames;
        ASSERT_TRUE(put_back_kept(data, "a"));
        expect_old();
    }
}

TEST_F(KeptAside, OrIsPutBackFromThere) {
    for (int renames = 0; renames < 3; ++renames) {
        std::ofstream(data + ".in_place") << "a\nbegun\nvotes\n" << data << "\n";
        if (renames > 0) fs::rename(top + "/space", top + "/space.before_restore_a");
        if (renames > 1) fs::rename(data, aside("a"));
        ASSERT_TRUE(put_back_kept(data, "a")) << renames;
        expect_old();
    }
}

TEST_F(KeptAside, WhatIsHalfMadeGivesWay) {
    ASSERT_TRUE(keep_aside(data, "a"));
    restore_half();
    ASSERT_TRUE(put_back_kept(data, "a"));
    expect_old();
    ASSERT_TRUE(put_back_kept(data, "a")) << "done already";
    expect_old();
}

// The directory is back and its tablespaces are not: nothing may be removed then.
TEST_F(KeptAside, PuttingBackGoesOnTooWhereItWasInterrupted) {
    ASSERT_TRUE(keep_aside(data, "a"));
    fs::remove_all(data);
    std::ofstream(data + ".in_place") << "a\nreturning\nvotes\n" << data << "\n";
    fs::rename(aside("a"), data);
    fs::create_directories(top + "/space");  // what a half-made restore left of it, emptied
    ASSERT_TRUE(put_back_kept(data, "a"));
    expect_old();
}

TEST_F(KeptAside, WhatIsWholeIsKeptAsWell) {
    ASSERT_TRUE(keep_aside(data, "a"));
    fill(data, "restored");
    ASSERT_TRUE(put_back_kept(data, "a"));
    expect_old();
    EXPECT_EQ(content(aside("a") + "_restored/PG_VERSION"), "restored");
}

// A member that had nothing, and restored: what was cancelled is not its data.
TEST_F(KeptAside, WhereThereWasNothingThereIsNothingAgain) {
    fs::remove_all(data);
    ASSERT_TRUE(keep_aside(data, "a"));
    fill(data, "restored");
    ASSERT_TRUE(put_back_kept(data, "a"));
    EXPECT_FALSE(fs::exists(data));
    EXPECT_EQ(content(aside("a") + "_restored/PG_VERSION"), "restored");
    EXPECT_FALSE(read_aside_mark(data));
}

TEST_F(KeptAside, WhatWasHalfMadeIsSoAfterwards) {
    ASSERT_TRUE(mark_half_made(data, "clone"));
    ASSERT_TRUE(keep_aside(data, "a"));
    EXPECT_FALSE(half_made_by(data));
    restore_half();
    ASSERT_TRUE(put_back_kept(data, "a"));
    EXPECT_EQ(half_made_by(data), "clone");
    EXPECT_EQ(content(data + "/PG_VERSION"), "old");
    EXPECT_FALSE(half_made_by(aside("a")));
}

TEST_F(KeptAside, AMarkThatCannotBeReadIsNoMarkThatIsDone) {
    ASSERT_TRUE(keep_aside(data, "a"));
    fs::rename(data + ".in_place", top + "/mark");
    fs::create_directories(data + ".in_place");
    EXPECT_FALSE(put_back_kept(data, "a"));
    EXPECT_EQ(content(aside("a") + "/PG_VERSION"), "old");
    fs::remove(data + ".in_place");
    fs::rename(top + "/mark", data + ".in_place");
    ASSERT_TRUE(put_back_kept(data, "a"));
    expect_old();
}

TEST_F(KeptAside, AnotherRestoresMarkIsLeftAlone) {
    ASSERT_TRUE(keep_aside(data, "a"));
    fill(data, "new");
    ASSERT_TRUE(put_back_kept(data, "b"));
    EXPECT_EQ(content(data + "/PG_VERSION"), "new");
    EXPECT_EQ(content(aside("a") + "/PG_VERSION"), "old");
}

TEST_F(KeptAside, ItsVoteComesBackAsItWas) {
    for (const bool voteless : {false, true}) {
        ASSERT_TRUE(voteless ? mark_voteless(data) : clear_voteless(data));
        ASSERT_TRUE(keep_aside(data, "a"));
        ASSERT_TRUE(voteless ? clear_voteless(data) : mark_voteless(data));
        ASSERT_TRUE(put_back_kept(data, "a"));
        EXPECT_EQ(is_voteless(data), voteless);
        expect_old();
    }
}

TEST_F(KeptAside, SoDoesWhatIsKnownOfItsDamage) {
    ASSERT_TRUE(os::write_file(corruption_marker(data), "found", 0600));
    ASSERT_TRUE(keep_aside(data, "a"));
    ASSERT_TRUE(clear_corruption(data));
    ASSERT_TRUE(put_back_kept(data, "a"));
    EXPECT_EQ(content(corruption_marker(data)), "found");
    EXPECT_FALSE(fs::exists(corruption_marker(aside("a"))));
}

TEST_F(KeptAside, AMemberWithoutDataIsMarkedAlone) {
    fs::remove_all(data);
    ASSERT_TRUE(keep_aside(data, "a"));
    EXPECT_TRUE(read_aside_mark(data)->done());
    EXPECT_FALSE(fs::exists(aside("a")));
    fill(data, "cloned");
    ASSERT_TRUE(keep_aside(data, "a"));
    EXPECT_EQ(content(data + "/PG_VERSION"), "cloned");
}

TEST_F(KeptAside, ALinkAsDataDirectoryIsFollowed) {
    const auto link = top + "/link";
    fs::create_directory_symlink(data, link);
    ASSERT_TRUE(keep_aside(link, "a"));
    EXPECT_EQ(content(aside("a") + "/PG_VERSION"), "old");
    EXPECT_TRUE(fs::is_empty(link));
    ASSERT_TRUE(put_back_kept(link, "a"));
    EXPECT_EQ(content(link + "/PG_VERSION"), "old");
}

}  // namespace
}  // namespace relevo::postgres
