#include "postgres/copy_progress.h"

#include <gtest/gtest.h>

#include <random>

namespace relevo::postgres {
namespace {

TEST(BasebackupProgress, is_read_line_by_line_as_it_comes) {
    BasebackupProgress reader;
    EXPECT_FALSE(reader.read("     0/2048"));
    EXPECT_TRUE(reader.read("0 kB (0%), 0/1 tablespace\n 10240/20480 kB (50%), 0/1 tablespace\r"));
    EXPECT_EQ(reader.progress().done_bytes, 10240U * 1024);
    EXPECT_EQ(reader.progress().total_bytes, 20480U * 1024);
    EXPECT_DOUBLE_EQ(*reader.progress().percent, 50);
    EXPECT_EQ(reader.progress().method, "basebackup");
    EXPECT_TRUE(reader.read("30000/20480 kB (100%), 1/1 tablespace (/a (1) kB /b)\n"));
    EXPECT_DOUBLE_EQ(*reader.progress().percent, 100);
}

TEST(BasebackupProgress, without_an_estimate_has_no_share) {
    BasebackupProgress reader;
    EXPECT_TRUE(reader.read(" 512 kB (100%), 0/1 tablespace\n"));
    EXPECT_EQ(reader.progress().done_bytes, 512U * 1024);
    EXPECT_EQ(reader.progress().total_bytes, 0U);
    EXPECT_FALSE(reader.progress().percent);
}

TEST(BasebackupProgress, other_words_and_any_bytes_are_no_news) {
    BasebackupProgress reader;
    EXPECT_FALSE(
        reader.read("pg_basebackup: error: could not connect\n"
                    "1/2/3 kB (1%)\n99999999999999999999 kB \nx/1 kB \n kB \n"));
    std::mt19937 random(7);
    std::string noise;
    constexpr std::string_view letters = "0123456789/ kB()%\n\r-";
    for (int i = 0; i < 100'000; ++i) noise += letters[random() % letters.size()];
    for (std::size_t at = 0; at < noise.size(); at += 17) {
        reader.read(std::string_view(noise).substr(at, 17));
        const auto share = reader.progress().percent;
        EXPECT_TRUE(!share || (*share >= 0 && *share <= 100));
    }
}

}  // namespace
}  // namespace relevo::postgres
