#include "postgres/log_follower.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "os/clock.h"
#include "os/file.h"

namespace relevo::postgres {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class LogFollowerTest : public ::testing::Test {
protected:
    std::string dir = os::make_temporary_directory("log-follower.").value();
    LogFollower follower;
    std::uint64_t have = 0;
    unsigned directory = 0;
    WallTime since = os::wall_now() + std::chrono::seconds(1);

    void SetUp() override { fs::create_directories(dir + "/log"); }
    void TearDown() override { fs::remove_all(dir); }

    void goes_to(const std::string& name) {
        std::ofstream(dir + "/current_logfiles") << "stderr log/" << name << "\n";
    }
    void append(const std::string& name, const std::string& text) {
        std::ofstream(dir + "/log/" + name, std::ios::app) << text;
    }
    static std::string line(int block) {
        return "[1] ERROR:  invalid page in block " + std::to_string(block) + "\n";
    }
    static std::string message(int block) {
        return "invalid page in block " + std::to_string(block);
    }
    LogFollower::Data data() const { return {dir, directory, since}; }
    std::vector<std::string> look() {
        auto news = follower.look(data(), have, os::wall_now());
        have = news.last;
        return news.messages;
    }
};

TEST_F(LogFollowerTest, WithoutACollectorThereIsNothing) { EXPECT_THAT(look(), IsEmpty()); }

TEST_F(LogFollowerTest, WhatIsWrittenFromTheFirstLookOnIsToldOnce) {
    goes_to("a.log");
    append("a.log", line(1));
    EXPECT_THAT(look(), IsEmpty());
    append("a.log", line(2) + "[1] ERROR:  invalid page");
    EXPECT_THAT(look(), ElementsAre(message(2)));
    append("a.log", " in block 3\n");
    EXPECT_THAT(look(), ElementsAre(message(3)));
    EXPECT_THAT(look(), IsEmpty());
}

TEST_F(LogFollowerTest, ALogThatIsMadeMeanwhileIsReadFromItsBeginning) {
    since = os::wall_now();
    goes_to("a.log");
    append("a.log", "");
    look();
    append("a.log", line(1));
    goes_to("b.log");
    append("b.log", line(2));
    EXPECT_THAT(look(), ElementsAre(message(1), message(2)));
    append("b.log", line(3));
    EXPECT_THAT(look(), ElementsAre(message(3)));
}

// log_filename = 'postgresql-%a.log': last week's is written on.
TEST_F(LogFollowerTest, AnOldOneThatIsTakenUpAgainIsNotReadAgain) {
    goes_to("mon.log");
    append("mon.log", "");
    append("tue.log", line(1));
    LogFollower late;
    late.look(data(), 0, os::wall_now() + std::chrono::hours(1));
    goes_to("tue.log");
    EXPECT_THAT(late.look(data(), 0, os::wall_now()).messages, IsEmpty());
    append("tue.log", line(2));
    EXPECT_THAT(late.look(data(), 0, os::wall_now()).messages, ElementsAre(message(2)));
}

TEST_F(LogFollowerTest, OneThatIsEmptiedOrMadeAnewIsReadFromItsBeginning) {
    goes_to("a.log");
    append("a.log", "as long as what comes then, and longer by some words\n");
    look();
    std::ofstream(dir + "/log/a.log") << line(1);
    EXPECT_THAT(look(), ElementsAre(message(1)));
    fs::rename(dir + "/log/a.log", dir + "/log/a.log.1");
    append("a.log", line(2) + line(3));
    EXPECT_THAT(look(), ElementsAre(message(2), message(3)));
}

// What a server tells between its start and the first look.
TEST_F(LogFollowerTest, ALogOfThisMembersOwnServerIsReadFromItsBeginning) {
    goes_to("a.log");
    append("a.log", line(1));
    since = os::wall_now() - std::chrono::seconds(1);
    EXPECT_THAT(look(), ElementsAre(message(1)));
    ++directory;
    since = os::wall_now() + std::chrono::seconds(1);
    EXPECT_THAT(look(), IsEmpty());
}

// A copy of another member's directory has that one's log in it.
TEST_F(LogFollowerTest, ADirectoryThatWasReplacedBeginsAtTheEndOfItsLog) {
    goes_to("a.log");
    append("a.log", "");
    look();
    append("a.log", line(2));
    follower.look(data(), have, os::wall_now());  // of the old one, and too late
    fs::remove(dir + "/log/a.log");
    append("a.log", line(1));
    ++directory;
    EXPECT_THAT(look(), IsEmpty());
}

TEST_F(LogFollowerTest, WhatDidNotArriveIsToldAgain) {
    goes_to("a.log");
    append("a.log", "");
    look();
    append("a.log", line(1) + line(2));
    follower.look(data(), have, os::wall_now());  // comes back too late
    append("a.log", line(3));
    EXPECT_THAT(look(), ElementsAre(message(1), message(2), message(3)));
    EXPECT_THAT(look(), IsEmpty());
}

TEST_F(LogFollowerTest, TheFormatThatSaysMostIsRead) {
    std::ofstream(dir + "/current_logfiles") << "stderr log/a.log\njsonlog log/a.json\n";
    append("a.log", "");
    append("a.json", "");
    look();
    append("a.log", line(1));
    append("a.json", R"({"error_severity":"ERROR","state_code":"XX002","message":"index broken"})"
                     "\n");
    EXPECT_THAT(look(), ElementsAre("index broken"));
}

TEST_F(LogFollowerTest, AFloodIsBoundedAndWhatComesAfterItIsRead) {
    goes_to("a.log");
    append("a.log", "");
    look();
    append("a.log", std::string(70UL << 20U, 'x'));
    EXPECT_THAT(look(), IsEmpty());
    look();
    append("a.log", "\n" + line(1));
    EXPECT_THAT(look(), ElementsAre(message(1)));
    for (int i = 0; i < 1000; ++i) append("a.log", line(i));
    EXPECT_THAT(look(), SizeIs(testing::Le(100U)));
}

}  // namespace
}  // namespace relevo::postgres
