#include "os/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace relevo::os {
namespace {

class Files : public testing::Test {
protected:
    void SetUp() override {
        auto made = make_temporary_directory("relevo-file-");
        ASSERT_TRUE(made);
        dir = *made;
    }
    void TearDown() override { ASSERT_TRUE(remove_tree(dir)); }
    std::string dir;
};

TEST_F(Files, a_written_file_has_the_content_and_the_mode) {
    ASSERT_TRUE(write_file(dir + "/a", "one", 0600));
    ASSERT_TRUE(write_file(dir + "/a", "two", 0640));
    EXPECT_EQ(read_file(dir + "/a").value(), "two");
    struct stat info{};
    ASSERT_EQ(::stat((dir + "/a").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777U, 0640U);
    EXPECT_EQ(list_directory(dir).value(), std::vector<std::string>{"a"})
        << "no temporary file is left";
}

TEST_F(Files, a_missing_file_is_not_found_and_a_long_one_invalid) {
    EXPECT_EQ(read_file(dir + "/nothing").error().code, ErrorCode::not_found);
    ASSERT_TRUE(write_file(dir + "/long", std::string(100, 'x'), 0600));
    EXPECT_EQ(read_file(dir + "/long", 10).error().code, ErrorCode::invalid);
    EXPECT_EQ(write_file(dir + "/no/dir", "x", 0600).error().code, ErrorCode::not_found);
}

TEST_F(Files, removing_is_idempotent) {
    ASSERT_TRUE(write_file(dir + "/a", "x", 0600));
    EXPECT_TRUE(remove_file(dir + "/a"));
    EXPECT_TRUE(remove_file(dir + "/a"));
    EXPECT_TRUE(remove_tree(dir + "/never"));
}

TEST_F(Files, a_tree_goes_without_following_its_links) {
    ASSERT_TRUE(make_directory(dir + "/tree/a/b", 0700));
    ASSERT_TRUE(make_directory(dir + "/outside", 0700));
    ASSERT_TRUE(write_file(dir + "/outside/kept", "x", 0600));
    ASSERT_TRUE(write_file(dir + "/tree/a/b/c", "x", 0600));
    ASSERT_TRUE(replace_link(dir + "/tree/link", dir + "/outside"));
    EXPECT_EQ(link_target(dir + "/tree/link"), dir + "/outside");
    EXPECT_TRUE(remove_tree(dir + "/tree"));
    EXPECT_FALSE(exists(dir + "/tree"));
    EXPECT_TRUE(exists(dir + "/outside/kept"));
}

TEST_F(Files, a_directory_is_absent_empty_filled_or_none) {
    EXPECT_EQ(directory_state(dir + "/x").value(), DirectoryState::absent);
    ASSERT_TRUE(make_directory(dir + "/x", 0700));
    EXPECT_EQ(directory_state(dir + "/x").value(), DirectoryState::empty);
    ASSERT_TRUE(write_file(dir + "/x/y", "", 0600));
    EXPECT_EQ(directory_state(dir + "/x").value(), DirectoryState::filled);
    EXPECT_EQ(directory_state(dir + "/x/y").value(), DirectoryState::not_a_directory);
}

}  // namespace
}  // namespace relevo::os
