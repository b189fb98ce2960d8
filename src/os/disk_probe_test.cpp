#include "os/disk_probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/file.h"

namespace relevo::os {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class DiskProbeTest : public ::testing::Test {
public:
    ~DiskProbeTest() override { EXPECT_TRUE(remove_tree(root)); }

protected:
    std::string root = make_temporary_directory("probe.").value();
    std::string path = root + "/data.probe";

    static ErrorCode code_of(const std::string& at) {
        const auto probe = probe_disk(at);
        EXPECT_FALSE(probe);
        return probe ? ErrorCode::cancelled : probe.error().code;
    }
};

TEST_F(DiskProbeTest, WritesOnePageThatStaysAndIsPrivate) {
    const auto probe = probe_disk(path);
    ASSERT_TRUE(probe) << probe.error().message;
    EXPECT_TRUE(probe->written);
    EXPECT_GT(probe->took, Duration::zero());
    struct stat info{};
    ASSERT_EQ(::stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_size, 8192);
    EXPECT_EQ(info.st_mode & 07777U, 0600U);
    EXPECT_THAT(read_file(path).value(), StartsWith("Here the agent"));
}

TEST_F(DiskProbeTest, OverwritesInPlaceAndMakesWhatWasDeleted) {
    ASSERT_TRUE(probe_disk(path));
    struct stat before{}, after{};
    ASSERT_EQ(::stat(path.c_str(), &before), 0);
    ASSERT_TRUE(probe_disk(path));
    ASSERT_EQ(::stat(path.c_str(), &after), 0);
    EXPECT_EQ(before.st_ino, after.st_ino);
    EXPECT_EQ(after.st_size, 8192);
    ASSERT_TRUE(remove_file(path));
    ASSERT_TRUE(probe_disk(path));
    EXPECT_TRUE(exists(path));
}

TEST_F(DiskProbeTest, ADirectoryThatIsMissingIsNotTheDisksFault) {
    EXPECT_EQ(code_of(root + "/gone/probe"), ErrorCode::not_found);
    ASSERT_TRUE(write_file(root + "/file", "", 0600));
    EXPECT_EQ(code_of(root + "/file/probe"), ErrorCode::not_found);
}

TEST_F(DiskProbeTest, NorIsWhatMayNotBeWritten) {
    EXPECT_EQ(code_of(root), ErrorCode::denied);
    ASSERT_EQ(::symlink("/dev/null", path.c_str()), 0);
    EXPECT_EQ(code_of(path), ErrorCode::denied);
    EXPECT_THAT(probe_disk(path).error().message, HasSubstr("(running as uid "));
}

TEST_F(DiskProbeTest, WhatSomebodyElseKeepsThereIsNotWrittenOver) {
    ASSERT_TRUE(write_file(path, "my own results", 0600));
    EXPECT_EQ(code_of(path), ErrorCode::denied);
    EXPECT_EQ(read_file(path).value(), "my own results");
    ASSERT_TRUE(remove_file(path));
    ASSERT_TRUE(write_file(root + "/empty", "", 0600));
    ASSERT_EQ(::link((root + "/empty").c_str(), path.c_str()), 0);
    EXPECT_EQ(code_of(path), ErrorCode::denied);
    EXPECT_EQ(read_file(path).value(), "");
}

TEST_F(DiskProbeTest, NorIsADiskThatIsFull) {
    const auto probe = probe_disk("/dev/full");
    ASSERT_TRUE(probe) << probe.error().message;
    EXPECT_FALSE(probe->written);
}

TEST_F(DiskProbeTest, NorIsAFileSystemThatKnowsNoSync) {
    EXPECT_EQ(code_of("/dev/null"), ErrorCode::denied);
}

TEST_F(DiskProbeTest, WhatIsRefusedIsAnErrorThatSaysWhatWasDone) {
    // At its first page nothing is mapped, and the kernel says so as a disk would.
    const auto probe = probe_disk("/proc/self/mem");
    ASSERT_FALSE(probe);
    EXPECT_EQ(probe.error().code, ErrorCode::failed);
    EXPECT_EQ(probe.error().message, "cannot write /proc/self/mem: Input/output error");
}

}  // namespace
}  // namespace relevo::os
