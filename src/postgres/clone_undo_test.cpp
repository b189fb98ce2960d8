// What a copy left gives way to the data from before it, wherever that broke off.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "os/file.h"
#include "os/test_loop.h"
#include "ports/postgres_config.h"
#include "postgres/clone.h"
#include "postgres/clone_job.h"
#include "postgres/data_directory.h"
#include "postgres/half_made.h"

namespace relevo::postgres {
namespace {

namespace fs = std::filesystem;

// No file can be written meanwhile, as on a full disk; renaming and removing go on.
class NoRoom {
public:
    NoRoom() : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
        ::getrlimit(RLIMIT_FSIZE, &before_);
        const rlimit none{0, before_.rlim_max};
        ::setrlimit(RLIMIT_FSIZE, &none);
    }
    ~NoRoom() {
        ::setrlimit(RLIMIT_FSIZE, &before_);
        std::signal(SIGXFSZ, handler_);
    }
    NoRoom(const NoRoom&) = delete;
    NoRoom& operator=(const NoRoom&) = delete;

private:
    rlimit before_{};
    void (*handler_)(int);
};

// A file system of 64 kB there, for this process alone.
bool own_disk(const std::string& path) {
    const auto user = std::to_string(::geteuid()), group = std::to_string(::getegid());
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
    std::ofstream("/proc/self/uid_map") << "0 " << user << " 1";
    std::ofstream("/proc/self/setgroups") << "deny";
    std::ofstream("/proc/self/gid_map") << "0 " << group << " 1";
    return ::mount("none", path.c_str(), "tmpfs", 0, "size=64k") == 0;
}

class CloneUndo : public ::testing::Test {
protected:
    void SetUp() override {
        top = fs::canonical(os::make_temporary_directory("undo.").value()).string();
        config.data_dir = data = top + "/data";
        aside = data + set_aside_suffix;
        fill(data, "old");
        fs::create_directories(data + "/pg_tblspc");
    }
    void TearDown() override { fs::remove_all(top); }
    static void fill(const std::string& directory, const std::string& what) {
        fs::create_directories(directory);
        std::ofstream(directory + "/PG_VERSION") << what;
    }
    static std::string content(const std::string& path) {
        return os::read_file(path + "/PG_VERSION").value_or("nothing");
    }
    // The old data has a tablespace there.
    void add_space(const std::string& directory) {
        fill(directory, "old table");
        fs::create_directory_symlink(directory, data + "/pg_tblspc/16384");
    }
    Moved begin() {
        auto moved = move_aside(data, set_aside_suffix);
        EXPECT_TRUE(moved) << moved.error().message;
        EXPECT_TRUE(mark_half_made(data, by_clone));
        fill(data, "half");
        return moved.value_or(Moved{});
    }
    bool undone() {
        const auto done = undo_interrupted_clone(config);
        EXPECT_TRUE(done) << done.error().message;
        return done.value_or(false);
    }
    void expect_old() {
        EXPECT_EQ(content(data), "old");
        EXPECT_FALSE(half_made_by(data));
        EXPECT_FALSE(fs::exists(aside));
        EXPECT_FALSE(fs::exists(half_made_marker(aside)));
    }
    std::string top, data, aside;
    ports::PostgresConfig config;
};

TEST_F(CloneUndo, ADiskThatTheCopyFilledIsNoReasonToKeepTheCopy) {
    add_space(top + "/space");
    begin();
    fill(top + "/space", "half");
    {
        const NoRoom full;
        EXPECT_TRUE(undone());
    }
    expect_old();
    EXPECT_EQ(content(top + "/space"), "old table");
}

// On a real disk that is full, where one may be had.
TEST_F(CloneUndo, WhatTheCopyLeftMakesRoomForTheMark) {
    enum { undone_well = 0, no_disk = 1, not_full = 2, not_undone = 3 };
    const pid_t child = ::fork();
    if (child == 0) {
        if (!own_disk(top)) ::_exit(no_disk);
        fill(data, "old");
        begin();
        std::ofstream(data + "/large") << std::string(1U << 20U, 'x');
        if (os::write_file(top + "/more", "x", 0600)) ::_exit(not_full);
        const bool well = undone() && content(data) == "old" && !half_made_by(data);
        ::_exit(well ? undone_well : not_undone);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status));
    if (WEXITSTATUS(status) == no_disk) GTEST_SKIP() << "no file system may be mounted here";
    EXPECT_EQ(WEXITSTATUS(status), undone_well);
}

// Its mark goes ahead of it then, and outlives an agent that dies before the old data is back.
TEST_F(CloneUndo, NorDoesItMakeHalfRewoundDataWhole) {
    const auto moved = begin();
    ASSERT_TRUE(mark_half_made(aside, "rewind"));
    {
        const NoRoom full;
        EXPECT_TRUE(undone());
    }
    EXPECT_EQ(content(data), "old");
    EXPECT_EQ(half_made_by(data), "rewind");

    ASSERT_TRUE(move_aside(data, set_aside_suffix));
    EXPECT_TRUE(undone());
    EXPECT_EQ(content(data), "old");
    EXPECT_EQ(half_made_by(data), "rewind");
}

TEST_F(CloneUndo, ATablespaceInsideTheDataDirectoryComesBackWithIt) {
    add_space(data + "/space");
    const auto moved = begin();
    ASSERT_EQ(moved.size(), 2U);
    const auto back = bring_back(data, set_aside_suffix, moved);
    ASSERT_TRUE(back) << back.error().message;
    expect_old();
    EXPECT_EQ(content(data + "/space"), "old table");

    // The agent died once the directory was back.
    begin();
    fs::remove_all(data);
    fs::rename(aside, data);
    ASSERT_TRUE(mark_half_made(data, by_return));
    EXPECT_TRUE(undone());
    expect_old();
    EXPECT_EQ(content(data + "/space"), "old table");
}

TEST_F(CloneUndo, WithoutOldDataNothingGoes) {
    add_space(top + "/space");
    const auto moved = begin();
    fill(top + "/space", "new table");
    fs::remove_all(top + "/space" + set_aside_suffix);
    ASSERT_TRUE(put_back({moved.front()}));
    EXPECT_EQ(content(top + "/space"), "new table");
    fs::remove_all(aside);
    EXPECT_FALSE(bring_back(data, set_aside_suffix, moved));
    EXPECT_EQ(content(data), "half");
    EXPECT_EQ(half_made_by(data), by_clone);
}

// Once the old data is gone nothing may fail that would bring it back.
TEST_F(CloneUndo, ACompleteCopyStaysWhateverIsLeftOfTheOldData) {
    os::TestLoop t;
    config.create_replica_methods = {"mine"};
    config.replica_methods["mine"] = {
        .name = "mine",
        .command =
            "/bin/sh -c 'mkdir $0.before_clone.half_made && echo new > $0/PG_VERSION' " + data,
        .keep_data = false,
        .no_params = true,
        .no_leader = true,
        .options = {}};
    ports::Postgres::ClonePlan plan;
    plan.replace_existing = true;
    const auto done = t.await(clone(t.pool, config, plan, 150000));
    EXPECT_TRUE(done) << done.error().message;
    EXPECT_EQ(content(data), "new\n");
    EXPECT_FALSE(half_made_by(data));
}

TEST_F(CloneUndo, AClusterThatIsHalfMadeIsNoCompleteCopy) {
    begin();
    ASSERT_TRUE(mark_half_made(data, by_bootstrap));
    EXPECT_FALSE(undo_interrupted_clone(config));
    EXPECT_EQ(content(aside), "old");
    EXPECT_EQ(content(data), "half");
    EXPECT_EQ(half_made_by(data), by_bootstrap);
}

TEST_F(CloneUndo, LinksComeBackHoweverTheyAreWritten) {
    fill(top + "/wal", "old wal");
    fs::create_directory_symlink("../wal", data + "/pg_wal");
    fill(top + "/space", "old table");
    fs::create_directory_symlink("space", top + "/by-way");
    fs::create_directory_symlink(top + "/by-way", data + "/pg_tblspc/16384");
    fill(data + "/inside", "old inside");
    fs::create_directory_symlink("../inside", data + "/pg_tblspc/16385");
    begin();
    EXPECT_EQ(content(top + "/wal"), "nothing");
    fill(top + "/wal", "half");
    fill(top + "/space", "half");
    EXPECT_TRUE(undone());
    expect_old();
    EXPECT_EQ(content(data + "/pg_wal"), "old wal");
    EXPECT_EQ(content(data + "/pg_tblspc/16384"), "old table");
    EXPECT_EQ(content(data + "/pg_tblspc/16385"), "old inside");
}

TEST_F(CloneUndo, ADataDirectoryThatIsALinkIsMadeAnewAndComesBackWhereItLeads) {
    fs::rename(data, top + "/real");
    fs::create_directory_symlink("real", data);
    fill(top + "/wal", "old wal");
    fs::create_directory_symlink("../wal", data + "/pg_wal");
    ASSERT_TRUE(move_aside(data, set_aside_suffix));
    ASSERT_TRUE(mark_half_made(data, by_clone));
    const auto made = ensure_directory(data);
    ASSERT_TRUE(made) << made.error().message;
    fill(data, "half");
    EXPECT_TRUE(undone());
    expect_old();
    EXPECT_EQ(content(data + "/pg_wal"), "old wal");
    EXPECT_TRUE(fs::is_symlink(data));

    // Also before there was a new one.
    ASSERT_TRUE(move_aside(data, set_aside_suffix));
    EXPECT_TRUE(undone());
    expect_old();
    EXPECT_EQ(content(data + "/pg_wal"), "old wal");
}

// The links' targets go first.
TEST_F(CloneUndo, AnAgentThatDiesWhileItMovesLeavesNoLinkDangling) {
    add_space(top + "/space");
    fs::rename(top + "/space", top + "/space" + set_aside_suffix);
    EXPECT_FALSE(undone());
    EXPECT_EQ(content(data + "/pg_tblspc/16384"), "old table");
    expect_old();
    // What is left from another time is no reason to stop.
    fill(top + "/space" + set_aside_suffix, "older");
    EXPECT_FALSE(undone());
    EXPECT_EQ(content(top + "/space"), "old table");
    EXPECT_EQ(content(top + "/space" + set_aside_suffix), "older");
}

TEST_F(CloneUndo, WhatCannotBeReadRemovesNothing) {
    add_space(top + "/space");
    begin();
    // The mark,
    fs::remove(half_made_marker(data));
    fs::create_directories(half_made_marker(data));
    EXPECT_FALSE(undo_interrupted_clone(config));
    EXPECT_EQ(content(aside), "old");
    fs::remove(half_made_marker(data));
    // what stands in the old data's place,
    fs::rename(data, top + "/half");
    std::ofstream(data) << "no directory";
    EXPECT_FALSE(undo_interrupted_clone(config));
    EXPECT_EQ(content(aside), "old");
    fs::remove(data);
    fs::rename(top + "/half", data);
    ASSERT_TRUE(mark_half_made(data, by_clone));
    // the old data's links,
    fs::rename(aside + "/pg_tblspc", aside + "/links");
    fs::create_directory_symlink("pg_tblspc", aside + "/pg_tblspc");
    EXPECT_FALSE(undo_interrupted_clone(config));
    EXPECT_EQ(content(data), "half");
    fs::remove(aside + "/pg_tblspc");
    fs::rename(aside + "/links", aside + "/pg_tblspc");
    // the old data's mark.
    fs::create_directories(half_made_marker(aside));
    EXPECT_FALSE(undo_interrupted_clone(config));
    EXPECT_EQ(half_made_by(data), by_return) << "not whole";
    fs::remove(half_made_marker(aside));
    EXPECT_TRUE(undone());
    expect_old();
    EXPECT_EQ(content(data + "/pg_tblspc/16384"), "old table");
}

TEST_F(CloneUndo, LinksThatCannotBeReadStopTheMove) {
    fs::remove(data + "/pg_tblspc");
    fs::create_directory_symlink("pg_tblspc", data + "/pg_tblspc");
    EXPECT_FALSE(move_aside(data, set_aside_suffix));
    EXPECT_FALSE(wipe(data));
    EXPECT_EQ(content(data), "old");
}

}  // namespace
}  // namespace relevo::postgres
