#include "config/address.h"

#include <gtest/gtest.h>

namespace relevo::config {
namespace {

TEST(Address, IsAHostAndAPort) {
    EXPECT_EQ(parse_address("pg-1:6432", 5432), (Address{.host = "pg-1", .port = 6432}));
    EXPECT_EQ(parse_address(" pg-1 ", 5432), (Address{.host = "pg-1", .port = 5432}));
    EXPECT_EQ(parse_address(":8008", 0), (Address{.host = "", .port = 8008}));
    EXPECT_EQ(parse_address("*:8008", 0), (Address{.host = "*", .port = 8008}));
}

TEST(Address, TakesIpv6InBracketsAndWithout) {
    EXPECT_EQ(parse_address("[::1]:5433", 5432), (Address{.host = "::1", .port = 5433}));
    EXPECT_EQ(parse_address("[::1]", 5432), (Address{.host = "::1", .port = 5432}));
    EXPECT_EQ(parse_address("fe80::1:5433", 5432), (Address{.host = "fe80::1", .port = 5433}));
    EXPECT_EQ(to_text(Address{.host = "::1", .port = 1}), "[::1]:1");
}

TEST(Address, RefusesWhatIsNone) {
    for (const char* text : {"pg-1:", "pg-1:x", "pg-1:0", "pg-1:65536", "pg-1:-1", "pg-1:+1", "::1",
                             "[::1:1", "a b:1", "a,b:1", "http://a:1", "u@h:1"})
        EXPECT_FALSE(parse_address(text, 5432)) << text;
    EXPECT_FALSE(parse_address("pg-1", 0));
}

TEST(Listen, TakesSeveralAddressesAndOnePort) {
    EXPECT_EQ(parse_listen("127.0.0.1,pg-1:5433", 5432),
              (Address{.host = "127.0.0.1,pg-1", .port = 5433}));
    EXPECT_EQ(parse_listen("127.0.0.1, [::1]:5433", 5432),
              (Address{.host = "127.0.0.1,::1", .port = 5433}));
    EXPECT_FALSE(parse_listen("127.0.0.1,:5433", 5432));
}

TEST(Listen, IsReachedLocallyThroughLocalhostWhereItMay) {
    EXPECT_EQ(local_host("0.0.0.0"), "localhost");
    EXPECT_EQ(local_host("10.0.0.1,127.0.0.1"), "localhost");
    EXPECT_EQ(local_host("10.0.0.1,10.0.0.2"), "10.0.0.1");
    EXPECT_EQ(local_host(""), "localhost");
    EXPECT_EQ(local_host("::"), "::1");
}

}  // namespace
}  // namespace relevo::config
