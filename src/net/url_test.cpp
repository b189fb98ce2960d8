#include "net/url.h"

#include <gtest/gtest.h>

namespace relevo::net {
namespace {

TEST(Url, PartsAreTakenApart) {
    EXPECT_EQ(parse_url("http://10.0.0.1:8008/patroni"),
              (Url{false, "10.0.0.1", 8008, "/patroni"}));
    EXPECT_EQ(parse_url("https://[::1]"), (Url{true, "::1", 443, "/"}));
    EXPECT_EQ(parse_url("HTTP://pg-1?lag=1#x"), (Url{false, "pg-1", 80, "/?lag=1"}));
}

TEST(Url, WhatIsNoneIsRefused) {
    for (const auto* text :
         {"", "pg-1:8008", "ftp://a/", "http://", "http://:80/", "http://a:99999/", "http://u:p@a/",
          "http://[::1/", "http://a/x y", "http://a/\r\nX: y"}) {
        EXPECT_FALSE(parse_url(text)) << text;
    }
}

TEST(Url, CredentialsInAUrlAreNotRepeatedInTheError) {
    EXPECT_EQ(parse_url("http://me:hunter2@host/").error().message.find("hunter2"),
              std::string::npos);
}

TEST(HostPort, AllSpellingsOfListenAreUnderstood) {
    EXPECT_EQ(parse_host_port("127.0.0.1:8008", {}), (HostPort{"127.0.0.1", 8008}));
    EXPECT_EQ(parse_host_port("*:8008", {}), (HostPort{"*", 8008}));
    EXPECT_EQ(parse_host_port(":8008", {}), (HostPort{"", 8008}));
    EXPECT_EQ(parse_host_port("[::]:8008", {}), (HostPort{"::", 8008}));
    EXPECT_EQ(parse_host_port("::1", 5432), (HostPort{"::1", 5432}));
    EXPECT_EQ(parse_host_port("pg-0", 5432), (HostPort{"pg-0", 5432}));
    EXPECT_FALSE(parse_host_port("pg-0", {}));
    EXPECT_FALSE(parse_host_port("pg-0:x", {}));
    EXPECT_FALSE(parse_host_port("pg-0:-1", {}));
    EXPECT_FALSE(parse_host_port("pg-0:", {}));
}

TEST(Query, ItemsAreDecodedInOrder) {
    const auto query = parse_query("lag=10MB&tag_a=x%20y+z&&flag&lag=1");
    ASSERT_EQ(query.size(), 4U);
    EXPECT_EQ(*find_query(query, "lag"), "10MB");
    EXPECT_EQ(*find_query(query, "tag_a"), "x y z");
    EXPECT_EQ(*find_query(query, "flag"), "");
    EXPECT_EQ(find_query(query, "none"), nullptr);
}

TEST(Query, BrokenEscapesStayAsTheyAre) {
    EXPECT_EQ(percent_decode("%"), "%");
    EXPECT_EQ(percent_decode("%4"), "%4");
    EXPECT_EQ(percent_decode("%zz%41"), "%zzA");
}

}  // namespace
}  // namespace relevo::net
