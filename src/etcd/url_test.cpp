#include "etcd/url.h"

#include <gtest/gtest.h>

namespace relevo::etcd {
namespace {

TEST(EtcdUrl, scheme_host_and_port_are_read) {
    EXPECT_EQ(parse_url("http://10.0.0.1:2379"), (EtcdEndpoint{.host = "10.0.0.1", .port = 2379}));
    EXPECT_EQ(parse_url("https://etcd-1.example:4001/"),
              (EtcdEndpoint{.host = "etcd-1.example", .port = 4001, .https = true}));
    EXPECT_EQ(parse_url("https://[::1]:12379"),
              (EtcdEndpoint{.host = "::1", .port = 12379, .https = true}));
}

TEST(EtcdUrl, a_missing_port_is_etcds_own) {
    EXPECT_EQ(parse_url("http://etcd-1"), (EtcdEndpoint{.host = "etcd-1", .port = 2379}));
    EXPECT_EQ(parse_url("http://[fe80::1]"), (EtcdEndpoint{.host = "fe80::1", .port = 2379}));
}

TEST(EtcdUrl, user_and_password_are_left_out) {
    EXPECT_EQ(parse_url("http://user:p@ss@etcd-1:1"), (EtcdEndpoint{.host = "etcd-1", .port = 1}));
}

TEST(EtcdUrl, what_is_no_tcp_address_is_refused) {
    for (const auto* text :
         {"", "etcd-1:2379", "unix://etcd.sock", "http://", "http://:2379", "http://a:0",
          "http://a:65536", "http://a:23x", "http://[::1", "http://[::1]2379"})
        EXPECT_EQ(parse_url(text), std::nullopt) << text;
}

TEST(EtcdUrl, an_endpoint_writes_itself_as_it_is_read) {
    for (const auto* text : {"http://10.0.0.1:2379", "https://[::1]:12379"})
        EXPECT_EQ(to_string(*parse_url(text)), text);
}

}  // namespace
}  // namespace relevo::etcd
