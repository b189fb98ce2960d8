#include "net/proof.h"

#include <gtest/gtest.h>

namespace relevo::net {
namespace {

TEST(Proof, SaysTheSameForTheSameAndSomethingElseForAnythingElse) {
    const auto key = proof_key("secret", "wal", "71");
    EXPECT_EQ(proof_of(key, "a"), proof_of(proof_key("secret", "wal", "71"), "a"));
    EXPECT_EQ(proof_of(key, "a").size(), 64U);
    EXPECT_NE(proof_of(key, "a"), proof_of(key, "b"));
    EXPECT_NE(key, proof_key("secret ", "wal", "71"));
    EXPECT_NE(key, proof_key("secret", "wal", "72"));
    EXPECT_NE(key, proof_key("secret", "other", "71"));
    EXPECT_EQ(key.find("secret"), std::string::npos);
}

// RFC 4231, test case 2.
TEST(Proof, IsHmacSha256) {
    EXPECT_EQ(proof_of("Jefe", "what do ya want for nothing?"),
              "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

}  // namespace
}  // namespace relevo::net
