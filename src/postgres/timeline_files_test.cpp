#include "postgres/timeline_files.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace relevo::postgres {
namespace {

class TimelineFiles : public ::testing::Test {
protected:
    void SetUp() override {
        std::string pattern = ::testing::TempDir() + "/relevo-timelines-XXXXXX";
        ASSERT_NE(mkdtemp(pattern.data()), nullptr);
        directory = pattern;
        std::filesystem::create_directory(directory + "/pg_wal");
    }
    void TearDown() override { std::filesystem::remove_all(directory); }
    std::string path(const char* name) const { return directory + "/pg_wal/" + name; }
    bool there(const char* name) const { return std::filesystem::exists(path(name)); }

    std::string directory;
};

TEST_F(TimelineFiles, NothingIsNeededForTheNextOne) {
    ASSERT_TRUE(keep_timelines_free(directory, 1, 2));
    EXPECT_TRUE(std::filesystem::is_empty(directory + "/pg_wal"));
}

TEST_F(TimelineFiles, TheOnesBetweenGetPlaceholdersAndRealOnesStay) {
    std::ofstream(path("0000000A.history")) << "9\t0/5000000\treal\n";
    ASSERT_TRUE(keep_timelines_free(directory, 9, 12));
    std::ifstream real(path("0000000A.history"));
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(real), {}), "9\t0/5000000\treal\n");
    std::ifstream placeholder(path("0000000B.history"));
    std::string line;
    std::getline(placeholder, line);
    EXPECT_EQ(line.substr(0, 1), "#");
    EXPECT_FALSE(there("0000000C.history"));
}

TEST_F(TimelineFiles, OneThatWasBegunHereIsRefusedUntouched) {
    std::ofstream(path("0000000C.history")) << "9\t0/5000000\treal\n";
    const auto kept = keep_timelines_free(directory, 9, 12);
    ASSERT_FALSE(kept);
    EXPECT_EQ(kept.error().code, ErrorCode::conflict);
    EXPECT_FALSE(there("0000000A.history"));
    EXPECT_EQ(keep_timelines_free(directory, 9, 9).error().code, ErrorCode::conflict);
}

TEST_F(TimelineFiles, AnAbsurdNumberIsRefused) {
    const auto kept = keep_timelines_free(directory, 9, 4'000'000'000U);
    ASSERT_FALSE(kept);
    EXPECT_EQ(kept.error().code, ErrorCode::invalid);
    EXPECT_TRUE(std::filesystem::is_empty(directory + "/pg_wal"));
}

TEST_F(TimelineFiles, IdlePlaceholdersGoAndOthersStay) {
    std::ofstream(path("00000003.history")) << "1\t0/5000000\treal\n";
    ASSERT_TRUE(keep_timelines_free(directory, 1, 6));  // 2, 4 and 5
    std::ofstream(path("00000007.history")) << "";      // what a crash left of one
    std::ofstream(path("0000000Z.history")) << "# not one of these\n";
    ASSERT_TRUE(remove_idle_placeholders(directory));
    EXPECT_TRUE(there("00000002.history"));  // whoever follows timeline 3 asks for it
    EXPECT_TRUE(there("00000003.history"));
    EXPECT_FALSE(there("00000004.history"));
    EXPECT_FALSE(there("00000005.history"));
    EXPECT_FALSE(there("00000007.history"));
    EXPECT_TRUE(there("0000000Z.history"));
}

TEST_F(TimelineFiles, ADirectoryThatIsNotThereIsAnError) {
    EXPECT_FALSE(keep_timelines_free(directory + "/none", 1, 3));
    EXPECT_FALSE(remove_idle_placeholders(directory + "/none"));
}

}  // namespace
}  // namespace relevo::postgres
