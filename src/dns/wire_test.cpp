#include "dns/wire.h"

#include <gtest/gtest.h>

#include "dns/update.h"

namespace relevo::dns {
namespace {

const Key key{"relevo.", "hmac-sha256.", "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"};

Update update() {
    return {.zone = "test",
            .guard = "primary.test",
            .guard_then = {"\"relevo term=1 member=a\"", "\"v=spf1 -all\""},
            .term_before = "\"relevo term=1 member=a\"",
            .term_after = "relevo term=2 member=b",
            .names = {{"primary.test", {"10.0.0.1", "fd00::1"}}, {"replica.test", {"10.0.0.2"}}}};
}

TEST(UpdateMessage, IsWrittenAndSigned) {
    const auto message = update_message(update(), key);
    ASSERT_TRUE(message) << message.error().message;
    EXPECT_GT(message->bytes.size(), 200u);
    EXPECT_FALSE(message->mac.empty());
    EXPECT_EQ(message->bytes.find(key.secret), std::string::npos);
}

TEST(UpdateMessage, WhatCannotBeWrittenIsRefused) {
    auto wrong = update();
    wrong.names[0].all = {"10.0.0.1 junk"};
    EXPECT_FALSE(update_message(wrong, key));
    wrong = update();
    wrong.names[0].all = {"10.0.0.1000"};
    EXPECT_FALSE(update_message(wrong, key));
    wrong = update();
    wrong.zone = std::string(300, 'a');
    EXPECT_FALSE(update_message(wrong, key));
}

TEST(UpdateAnswer, OneThatIsNotSignedIsNotBelieved) {
    const auto message = update_message(update(), key);
    ASSERT_TRUE(message);
    auto forged = message->bytes.substr(0, 12);
    forged[2] = static_cast<char>(0xa8);  // an answer to an update
    forged[3] = 0;
    for (std::size_t i = 4; i < 12; ++i) forged[i] = 0;
    const auto status = read_update_answer(forged, *message, key);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, ErrorCode::outcome_unknown);
}

TEST(TermOf, ReadsOurTextOnly) {
    EXPECT_EQ(term_of("\"relevo term=12 member=a\""), 12u);
    EXPECT_EQ(term_of("relevo term=18446744073709551615 member=a"), 18446744073709551615u);
    for (const auto* text : {"", "\"v=spf1\"", "relevo term=", "relevo term=1x", "relevo term=-1",
                             "relevo term=99999999999999999999 member=a", "xrelevo term=1 "})
        EXPECT_FALSE(term_of(text)) << text;
}

}  // namespace
}  // namespace relevo::dns
