#include "dns/key.h"

#include <gtest/gtest.h>

namespace relevo::dns {
namespace {

TEST(ParseKey, TakesWhatTheServersToolsPrint) {
    for (const auto* text :
         {"key \"relevo\" {\n\talgorithm hmac-sha256;\n\tsecret \"c2VjcmV0\";\n};\n",
          "# hmac-sha256:relevo:c2VjcmV0\nkey:\n- id: relevo\n  algorithm: hmac-sha256\n"
          "  secret: c2VjcmV0\n",
          "key relevo. { algorithm HMAC-SHA256; secret c2VjcmV0; }; // ours\n",
          "hmac-sha256:relevo:c2VjcmV0\n"}) {
        const auto key = parse_key(text);
        ASSERT_TRUE(key) << text << key.error().message;
        EXPECT_EQ(key->name, "relevo.");
        EXPECT_EQ(key->algorithm, "hmac-sha256.");
        EXPECT_EQ(key->secret, "c2VjcmV0");
    }
}

TEST(ParseKey, SaysWhatIsWrongAndNeverTheSecret) {
    for (const auto* text :
         {"", "hidden", "hmac-md5:relevo:aGlkZGVu", "hmac-sha256:re lay:aGlkZGVu",
          "hmac-sha256:relevo:hidden!", "key \"a\" { algorithm hmac-sha256; };",
          "key \"a\" { algorithm hmac-sha256; secret \"aGlkZGVu\"; }; key \"b\" { };",
          "key \"a\" { algorithm rsa; secret \"aGlkZGVu\"; };"}) {
        const auto key = parse_key(text);
        ASSERT_FALSE(key) << text;
        EXPECT_EQ(key.error().code, ErrorCode::invalid);
        EXPECT_EQ(key.error().message.find("hidden"), std::string::npos);
        EXPECT_EQ(key.error().message.find("aGlkZGVu"), std::string::npos);
    }
}

}  // namespace
}  // namespace relevo::dns
