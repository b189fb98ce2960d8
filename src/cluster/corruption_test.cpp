#include "cluster/corruption.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace relevo::cluster {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using What = CorruptionFinding::What;

const WallTime morning{std::chrono::sys_days{std::chrono::year{2026} / 5 / 14}};
const WallTime noon = morning + std::chrono::hours(12);

TEST(Corruption, FailuresThatWereCountedAreFoundOnce) {
    Corruption mark;
    learn_counts(mark, {{"app", 0, {}}, {"", 0, {}}}, morning);
    EXPECT_FALSE(mark.corrupted());
    learn_counts(mark, {{"app", 3, morning}}, noon);
    ASSERT_THAT(mark.found, SizeIs(1));
    EXPECT_EQ(mark.found[0], (CorruptionFinding{What::checksum, "app", 3, morning, morning}));
    const auto once = mark;
    learn_counts(mark, {{"app", 3, morning}}, noon);
    EXPECT_EQ(mark, once);
    learn_counts(mark, {{"app", 4, noon}, {"", 1, {}}}, noon);
    ASSERT_THAT(mark.found, SizeIs(2));
    EXPECT_EQ(mark.found[0], (CorruptionFinding{What::checksum, "app", 4, morning, noon}));
    EXPECT_EQ(mark.found[1], (CorruptionFinding{What::checksum, "", 1, noon, noon}));
}

// A crash of the server takes its statistics with it.
TEST(Corruption, CountersThatBeganAnewCountFromNothing) {
    Corruption mark;
    learn_counts(mark, {{"app", 3, morning}}, morning);
    learn_counts(mark, {{"app", 0, {}}}, noon);
    EXPECT_TRUE(mark.corrupted()) << "what was found stays";
    learn_counts(mark, {{"app", 3, noon}}, noon);
    EXPECT_EQ(mark.found[0].count, 6U);
    learn_counts(mark, {{"app", 2, noon}}, noon);
    EXPECT_EQ(mark.found[0].count, 8U);
}

TEST(Corruption, WhatWasFlushedComesBackOnlyWithOneMore) {
    Corruption mark;
    learn_counts(mark, {{"app", 3, morning}}, morning);
    forget(mark);
    learn_counts(mark, {{"app", 3, morning}}, noon);
    EXPECT_FALSE(mark.corrupted());
    learn_counts(mark, {{"app", 4, noon}}, noon);
    ASSERT_TRUE(mark.corrupted());
    EXPECT_EQ(mark.found[0].count, 1U);
}

TEST(Corruption, ABackupWithPageErrorsIsOneFinding) {
    Corruption mark;
    learn_backup(mark, "20260515-010000F", morning);
    learn_backup(mark, "20260515-010000F", noon);
    ASSERT_THAT(mark.found, SizeIs(1));
    EXPECT_EQ(mark.found[0],
              (CorruptionFinding{What::backup, "20260515-010000F", 0, morning, noon}));
}

TEST(Corruption, TheMarkIsReadAsItWasWritten) {
    Corruption mark;
    learn_counts(mark, {{"a \"b\"", 3, morning}, {"", 1, {}}}, noon);
    learn_backup(mark, "20260515-010000F", noon);
    const auto read = parse_corruption(to_json(mark));
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(*read, mark);
    EXPECT_EQ(*parse_corruption(to_json(Corruption{})), Corruption{});
}

TEST(Corruption, WhatIsNoMarkIsRefused) {
    for (const char* text :
         {"", "{}", "[]", R"({"found":{}})", R"({"found":[1]})",
          R"({"found":[{"what":"x","first":"2026-05-14","last":"2026-05-14"}]})",
          R"({"found":[{"what":"backup","where":"l"}]})", R"({"found":[],"seen":{"a":-1}})"})
        EXPECT_FALSE(parse_corruption(text)) << text;
}

TEST(Corruption, TheNoteSaysWhatAndWhatToDo) {
    Corruption mark;
    EXPECT_THAT(corruption_note(mark, "demo", "pg-1"), IsEmpty());
    learn_counts(mark, {{"app", 1, morning}}, morning);
    auto note = corruption_note(mark, "demo", "pg-1");
    EXPECT_THAT(note,
                HasSubstr("1 page checksum in database app did not match, last at 2026-05-14"));
    EXPECT_THAT(note, HasSubstr("`relevoctl reinit demo pg-1`"));
    EXPECT_THAT(note, HasSubstr("`relevoctl flush demo pg-1 corruption`"));
    EXPECT_THAT(note, Not(HasSubstr("more")));
    auto odd = mark;
    odd.found[0].where = "a\x1b[2J\nb";
    EXPECT_THAT(corruption_note(odd, "demo", "pg-1"), HasSubstr("database a?[2J?b did"));
    learn_counts(mark, {{"a", 1, {}}, {"b", 1, {}}, {"c", 1, {}}, {"", 2, {}}}, noon);
    EXPECT_THAT(corruption_note(mark, "demo", "pg-1"), HasSubstr("2 more"));
}

}  // namespace
}  // namespace relevo::cluster
