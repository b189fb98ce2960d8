#include "postgres/kept_damaged.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "os/disk_space.h"
#include "os/file.h"
#include "ports/postgres_config.h"
#include "postgres/clone.h"
#include "postgres/corruption.h"
#include "postgres/data_directory.h"
#include "postgres/half_made.h"

namespace relevo::postgres {
namespace {

namespace fs = std::filesystem;

constexpr const char* suffix = ".damaged-20261126T120000Z";

class KeptDamaged : public ::testing::Test {
protected:
    void SetUp() override {
        top = fs::canonical(os::make_temporary_directory("damaged.").value()).string();
        config.data_dir = data = top + "/data";
        fill(data, "old");
        fs::create_directories(data + "/pg_tblspc");
        fs::create_directories(top + "/space");
        std::ofstream(top + "/space/table") << "old";
        fs::create_directory_symlink(top + "/space", data + "/pg_tblspc/16384");
        std::ofstream(corruption_marker(data)) << "what was found";
    }
    void TearDown() override { fs::remove_all(top); }
    static void fill(const std::string& directory, const std::string& what) {
        fs::create_directories(directory);
        std::ofstream(directory + "/PG_VERSION") << what;
    }
    static std::string content(const std::string& path) {
        return os::read_file(path).value_or("nothing");
    }
    // As clone() begins.
    void begin() {
        ASSERT_TRUE(begin_keeping(data, suffix));
        ASSERT_TRUE(move_aside(data, suffix, Older::kept));
    }
    // Nothing is being kept.
    bool is_clear() { return keeping(data).value_or("?").empty(); }
    bool undone() {
        const auto done = undo_interrupted_clone(config);
        EXPECT_TRUE(done) << done.error().message;
        return done.value_or(false);
    }
    std::string top, data;
    ports::PostgresConfig config;
};

TEST_F(KeptDamaged, AnAgentThatDiesInTheMiddleOfTheCopyPutsTheOldDataBack) {
    begin();
    ASSERT_TRUE(mark_half_made(data, "clone"));
    fill(data, "half");
    EXPECT_TRUE(undone());
    EXPECT_EQ(content(data + "/PG_VERSION"), "old");
    EXPECT_EQ(content(data + "/pg_tblspc/16384/table"), "old");
    EXPECT_EQ(content(corruption_marker(data)), "what was found");
    EXPECT_FALSE(half_made_by(data));
    EXPECT_TRUE(is_clear());
    EXPECT_TRUE(kept_damaged(data).empty());
}

// Wherever it died while the old data came back, that is not taken for what a copy left.
TEST_F(KeptDamaged, AnAgentThatDiesWhilePuttingItBackGoesOnWithThat) {
    begin();
    ASSERT_TRUE(mark_half_made(data, "return"));
    fs::rename(top + "/space" + suffix, top + "/space");
    fill(data, "half");
    EXPECT_TRUE(undone()) << "the links are back, the directory is not";
    EXPECT_EQ(content(data + "/PG_VERSION"), "old");
    EXPECT_EQ(content(data + "/pg_tblspc/16384/table"), "old");
    EXPECT_FALSE(half_made_by(data));

    begin();
    ASSERT_TRUE(put_back(moved_earlier(data, suffix).value()));
    ASSERT_TRUE(mark_half_made(data, "return"));
    EXPECT_TRUE(undone()) << "all is back, and the mark stands";
    EXPECT_EQ(content(data + "/PG_VERSION"), "old");
    EXPECT_EQ(content(data + "/pg_tblspc/16384/table"), "old");
    EXPECT_FALSE(half_made_by(data));
    EXPECT_TRUE(is_clear());
}

TEST_F(KeptDamaged, WhatCannotBeReadRemovesNothing) {
    begin();
    fs::remove(data + ".rebuild");
    fs::create_directories(data + ".rebuild");
    fill(data, "new");
    EXPECT_FALSE(undo_interrupted_clone(config));
    EXPECT_EQ(content(data + suffix + "/PG_VERSION"), "old");
}

TEST_F(KeptDamaged, AndBeforeAnythingWasMovedNothingHappens) {
    ASSERT_TRUE(begin_keeping(data, suffix));
    // The links' targets go first.
    fs::rename(top + "/space", top + "/space" + suffix);
    EXPECT_FALSE(undone());
    EXPECT_EQ(content(data + "/PG_VERSION"), "old");
    EXPECT_EQ(content(data + "/pg_tblspc/16384/table"), "old");
    EXPECT_TRUE(is_clear());
}

// The copy was complete: the old data is kept all the same, with what is known of it.
TEST_F(KeptDamaged, AndAtTheEndOfTheCopyItIsKept) {
    begin();
    fill(data, "new");
    EXPECT_FALSE(undone());
    EXPECT_EQ(content(data + "/PG_VERSION"), "new");
    EXPECT_EQ(content(data + suffix + "/PG_VERSION"), "old");
    EXPECT_EQ(content(top + "/space" + suffix + "/table"), "old");
    EXPECT_EQ(content(corruption_marker(data + suffix)), "what was found");
    EXPECT_FALSE(fs::exists(corruption_marker(data)));
    EXPECT_TRUE(is_clear());
    EXPECT_EQ(kept_damaged(data), std::vector{data + suffix});
    // And nobody takes it for what a copy made room for.
    EXPECT_FALSE(undone());
    EXPECT_EQ(content(data + suffix + "/PG_VERSION"), "old");
}

TEST_F(KeptDamaged, OnlyItsOwnNamesAreTaken) {
    EXPECT_FALSE(begin_keeping(data, ""));
    EXPECT_FALSE(begin_keeping(data, "/../x"));
    std::ofstream(data + ".rebuild") << "/../x\n";
    EXPECT_TRUE(is_clear());
    fs::create_directories(data + ".damaged-by-hand");
    EXPECT_TRUE(kept_damaged(data).empty());
}

TEST_F(KeptDamaged, ThereMustBeRoomForTwoAndNothingKeptFromEarlier) {
    cluster::DiskSettings settings;
    settings.hold_free = 0;
    EXPECT_TRUE(check_room_for_two(data, settings));
    // A file that seems to be as large as all that is free.
    const auto space = os::disk_space(data);
    ASSERT_TRUE(space);
    std::ofstream(data + "/large") << "1";
    fs::resize_file(data + "/large", space->free + (1ULL << 30U));
    const auto full = check_room_for_two(data, settings);
    ASSERT_FALSE(full);
    EXPECT_NE(full.error().message.find("no room for two copies"), std::string::npos);
    fs::remove(data + "/large");
    fs::create_directories(data + suffix);
    const auto kept = check_room_for_two(data, settings);
    ASSERT_FALSE(kept);
    EXPECT_EQ(kept.error().code, ErrorCode::conflict);
    EXPECT_NE(kept.error().message.find(data + suffix), std::string::npos);
}

}  // namespace
}  // namespace relevo::postgres
