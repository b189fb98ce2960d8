#include "base/result.h"

#include <gtest/gtest.h>

#include "base/assert.h"

namespace relevo {
namespace {

Result<int> half(int value) {
    if (value % 2 != 0) return fail(ErrorCode::invalid, "odd: give an even number");
    return value / 2;
}
Result<int> quarter(int value) {
    RLV_TRY(const int once, half(value));
    RLV_TRY(const int twice, half(once));
    return twice;
}
Status check_half(int value) {
    RLV_CHECK(half(value));
    return {};
}

TEST(Result, TryPassesTheFirstErrorUp) {
    EXPECT_EQ(quarter(8).value(), 2);
    EXPECT_EQ(quarter(6).error().code, ErrorCode::invalid);
    EXPECT_EQ(quarter(6).error().message, "odd: give an even number");
    EXPECT_TRUE(check_half(2));
    EXPECT_EQ(check_half(3).error().code, ErrorCode::invalid);
}

TEST(Result, WithinPutsWhatWasBeingDoneBeforeTheMessage) {
    const Status status = within("reading the config", Error{ErrorCode::not_found, "no such file"});
    EXPECT_EQ(status.error().code, ErrorCode::not_found);
    EXPECT_EQ(status.error().message, "reading the config: no such file");
}

TEST(Result, EveryCodeHasAWord) {
    EXPECT_STREQ(to_string(ErrorCode::outcome_unknown), "outcome unknown");
    EXPECT_STREQ(to_string(ErrorCode::conflict), "conflict");
}

TEST(AssertDeathTest, ABrokenInvariantAbortsAndNamesIt) {
    EXPECT_DEATH(RLV_ASSERT(1 + 1 == 3), "broken invariant: 1 \\+ 1 == 3");
    RLV_ASSERT(1 + 1 == 2);
}

}  // namespace
}  // namespace relevo
