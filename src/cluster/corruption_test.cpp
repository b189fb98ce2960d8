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

TEST(Corruption, EachLookThroughTheDataCountsAllThatThereIs) {
    Corruption mark;
    learn_amcheck(mark, "app.public.t", 3, morning);
    learn_amcheck(mark, "app.public.t", 4, noon);
    ASSERT_THAT(mark.found, SizeIs(1));
    EXPECT_EQ(mark.found[0], (CorruptionFinding{What::amcheck, "app.public.t", 4, morning, noon}));
    EXPECT_THAT(corruption_note(mark, "demo", "pg-1"),
                HasSubstr("amcheck made 4 reports on app.public.t, last at 2026-05-14T12:00"));
    EXPECT_TRUE(perhaps_replicated(mark));
    learn_backup(mark, "20260515-010000F", noon);
    EXPECT_FALSE(perhaps_replicated(mark)) << "that is of this disk";
    forget(mark);
    EXPECT_FALSE(perhaps_replicated(mark)) << "nothing is found";
}

// Whatever a client can have written there.
TEST(Corruption, TheServerLogIsToldAndIsNoDamage) {
    Corruption mark;
    for (int i = 0; i < 100; ++i) learn_log(mark, "invalid page " + std::to_string(i), morning);
    learn_log(mark, "invalid page 0", morning);
    learn_log(mark, "invalid page 0", noon);
    EXPECT_EQ(mark.logged[0], (CorruptionFinding{What::log, "invalid page 0", 2, morning, noon}));
    EXPECT_FALSE(mark.corrupted());
    EXPECT_THAT(mark.logged, SizeIs(20));
    const auto note = corruption_note(mark, "demo", "pg-1");
    EXPECT_THAT(note, HasSubstr(R"("invalid page 0" (first at 2026-05-14T00:00)"));
    EXPECT_THAT(note, HasSubstr("17 more"));
    EXPECT_THAT(note, HasSubstr("`relevoctl amcheck demo pg-1`"));
    learn_backup(mark, "20260515-010000F", noon);
    EXPECT_THAT(corruption_note(mark, "demo", "pg-1"), Not(HasSubstr("invalid page")));
    forget(mark);
    EXPECT_EQ(mark, Corruption{});
}

TEST(Corruption, ALookSaysWhatItDid) {
    AmcheckRun run;
    run.databases = 2;
    run.relations = 132;
    run.took = std::chrono::seconds(243);
    EXPECT_EQ(describe(run), "132 relations of 2 databases in 4 min 3 s, nothing found");
    run.databases = run.relations = run.damaged = run.left_out = 1;
    run.took = std::chrono::minutes(125);
    run.left_out_first = "app.public.t: canceled";
    run.given_up = "the server went away";
    EXPECT_EQ(describe(run),
              "1 relation of 1 database in 2 h 5 min, 1 is damaged; 1 could not be looked at, the "
              "first: app.public.t: canceled; given up: the server went away");
}

TEST(Corruption, TheMarkIsReadAsItWasWritten) {
    Corruption mark;
    learn_amcheck(mark, "app.public.t", 4, noon);
    learn_log(mark, "invalid page", noon);
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
          R"({"found":[{"what":"backup","where":"l"}]})", R"({"found":[],"seen":{"a":-1}})",
          R"({"found":[],"log":{}})", R"({"found":[],"log":[1]})"})
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
