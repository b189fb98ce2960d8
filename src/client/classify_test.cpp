#include "client/classify.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

namespace relevo::client {
namespace {

constexpr std::array stages{Stage::connect, Stage::begin, Stage::statement, Stage::commit,
                            Stage::alone};

// Everything that can come, with one code of each family.
std::vector<Seen> everything() {
    std::vector<Seen> all;
    const std::array<std::string, 14> codes{"",      "40001", "40P01", "25006", "57P01",
                                            "57P02", "57P03", "08006", "53300", "23505",
                                            "42601", "28P01", "57014", "55P03"};
    for (const auto stage : stages)
        for (const auto& code : codes)
            for (unsigned bits = 0; bits < 64; ++bits) {
                Seen seen;
                seen.stage = stage;
                seen.sqlstate = code;
                seen.refused = !code.empty();
                seen.sent = (bits & 1) != 0;
                seen.lost = (bits & 2) != 0 || !seen.sent;
                seen.fatal = seen.refused && (bits & 4) != 0;
                seen.unconfirmed = (bits & 8) != 0;
                seen.rolled_back = (bits & 16) != 0;
                seen.idempotent = (bits & 32) != 0;
                all.push_back(seen);
            }
    return all;
}

std::string text(const Seen& s) {
    return "stage " + std::to_string(static_cast<int>(s.stage)) + " code " + s.sqlstate +
           (s.sent ? " sent" : "") + (s.lost ? " lost" : "") + (s.fatal ? " fatal" : "") +
           (s.unconfirmed ? " unconfirmed" : "") + (s.rolled_back ? " rolled back" : "") +
           (s.idempotent ? " idempotent" : "");
}

TEST(Classify, NothingThatMayHaveCommittedIsRepeatedOrCalledDone) {
    for (const auto& seen : everything()) {
        const bool may_commit = seen.stage == Stage::commit || seen.stage == Stage::alone;
        const bool no_clear_answer = seen.sent && (seen.lost || seen.fatal);
        if (!may_commit || !no_clear_answer) continue;
        const auto action = classify(seen);
        const bool allowed = seen.stage == Stage::alone && seen.idempotent;
        EXPECT_EQ(action, allowed ? Action::again : Action::in_doubt) << text(seen);
    }
}

TEST(Classify, DoneIsSaidOnlyOfAWholeAnswerWithoutRefusalOrWarning) {
    for (const auto& seen : everything()) {
        if (classify(seen) != Action::done) continue;
        EXPECT_FALSE(seen.lost) << text(seen);
        EXPECT_FALSE(seen.refused) << text(seen);
        if (seen.stage == Stage::commit || seen.stage == Stage::alone) {
            EXPECT_FALSE(seen.unconfirmed) << text(seen);
            EXPECT_FALSE(seen.rolled_back) << text(seen);
        }
    }
}

TEST(Classify, WhatWasNeverSentIsRepeated) {
    for (const auto& seen : everything())
        if (!seen.sent && !seen.refused) {
            EXPECT_EQ(classify(seen), Action::again) << text(seen);
        }
}

TEST(Classify, BeforeCommitALostConnectionMeansRolledBack) {
    for (const auto stage : {Stage::begin, Stage::statement})
        EXPECT_EQ(classify({.stage = stage, .lost = true}), Action::again);
}

Seen refused(Stage stage, std::string code, bool fatal = false) {
    return {.stage = stage,
            .lost = fatal,
            .sqlstate = std::move(code),
            .refused = true,
            .fatal = fatal};
}

TEST(Classify, AConflictOrAServerThatGoesIsRepeatedInsideATransaction) {
    for (const auto* code : {"40001", "40P01", "25006", "57P03", "08006"})
        EXPECT_EQ(classify(refused(Stage::statement, code)), Action::again) << code;
    for (const auto* code : {"57P01", "57P02", "57P05"})
        EXPECT_EQ(classify(refused(Stage::statement, code, true)), Action::again) << code;
}

TEST(Classify, TheCallersOwnMistakesAreNotRepeated) {
    for (const auto stage : {Stage::begin, Stage::statement, Stage::commit, Stage::alone})
        for (const auto* code : {"23505", "42601", "57014", "55P03", "22012", "25P02"})
            EXPECT_EQ(classify(refused(stage, code)), Action::reject) << code;
}

TEST(Classify, ASerializationFailureAtCommitIsRolledBack) {
    EXPECT_EQ(classify(refused(Stage::commit, "40001")), Action::again);
    EXPECT_EQ(classify(refused(Stage::commit, "23503")), Action::reject);  // a deferred constraint
}

TEST(Classify, AShutdownInTheMiddleOfCommitIsInDoubt) {
    for (const auto* code : {"57P01", "57P02"})
        EXPECT_EQ(classify(refused(Stage::commit, code, true)), Action::in_doubt) << code;
}

TEST(Classify, ACommitThatStoppedWaitingForItsStandbyIsUnconfirmed) {
    EXPECT_EQ(classify({.stage = Stage::commit, .unconfirmed = true}), Action::unconfirmed);
    EXPECT_EQ(classify({.stage = Stage::alone, .unconfirmed = true}), Action::unconfirmed);
}

TEST(Classify, ARollbackForAnAnswerIsNoCommit) {
    EXPECT_EQ(classify({.stage = Stage::commit, .rolled_back = true}), Action::reject);
}

TEST(Classify, AServerThatStartsOrIsFullIsAskedAgainAWrongPasswordIsNot) {
    for (const auto* code : {"57P03", "53300", "08006"})
        EXPECT_EQ(classify(refused(Stage::connect, code)), Action::again) << code;
    for (const auto* code : {"28P01", "28000", "3D000"})
        EXPECT_EQ(classify(refused(Stage::connect, code)), Action::reject) << code;
    EXPECT_EQ(classify({.stage = Stage::connect, .lost = true}), Action::again);
}

TEST(Backoff, PausesGrowToTheLongestAndAreDrawnFromZero) {
    const Backoff backoff{std::chrono::milliseconds(10), std::chrono::milliseconds(100)};
    EXPECT_EQ(pause(backoff, 1, 0.0), Duration{});
    EXPECT_EQ(pause(backoff, 1, 0.5), std::chrono::milliseconds(5));
    EXPECT_EQ(pause(backoff, 3, 0.5), std::chrono::milliseconds(20));
    EXPECT_EQ(pause(backoff, 5, 0.5), std::chrono::milliseconds(50));
    EXPECT_EQ(pause(backoff, 1000000, 0.5), std::chrono::milliseconds(50));
}

TEST(RetryBudget, IsSpentAndEarnedAgainButNeverMoreThanSaved) {
    RetryBudget budget({.saved = 2, .earned = 0.5});
    EXPECT_TRUE(budget.spend());
    EXPECT_TRUE(budget.spend());
    EXPECT_FALSE(budget.spend());
    budget.earn();
    EXPECT_FALSE(budget.spend());
    budget.earn();
    EXPECT_TRUE(budget.spend());
    for (int i = 0; i < 100; ++i) budget.earn();
    EXPECT_TRUE(budget.spend());
    EXPECT_TRUE(budget.spend());
    EXPECT_FALSE(budget.spend());
}

}  // namespace
}  // namespace relevo::client
