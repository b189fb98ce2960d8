#include "etcd/srv.h"

#include <gtest/gtest.h>

#include "etcd/fake_name_server.h"

namespace relevo::etcd {
namespace {

Result<std::vector<EtcdEndpoint>> ask(const NameServer& server, const std::string& suffix = "") {
    const std::atomic<bool> stopping = false;
    return discover({.domain = "example.test", .suffix = suffix, .nameserver = server.at()},
                    stopping);
}

TEST(Srv, the_first_name_with_records_counts_in_order_of_priority) {
    const NameServer server(
        {{"_etcd-client._tcp.example.test",
          {{20, 0, 2379, "etcd-2.example.test"}, {10, 0, 2380, "etcd-1.example.test"}}},
         {"_etcd._tcp.example.test", {{10, 0, 1, "other.example.test"}}}});
    const auto found = ask(server);
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(*found, (std::vector<EtcdEndpoint>{{.host = "etcd-1.example.test", .port = 2380},
                                                 {.host = "etcd-2.example.test", .port = 2379}}));
}

TEST(Srv, ssl_in_the_name_means_https_and_comes_first) {
    const NameServer server(
        {{"_etcd-client-ssl._tcp.example.test", {{0, 0, 2379, "a.example.test"}}},
         {"_etcd-client._tcp.example.test", {{0, 0, 2379, "b.example.test"}}}});
    EXPECT_EQ(ask(server).value(),
              (std::vector<EtcdEndpoint>{{.host = "a.example.test", .port = 2379, .https = true}}));
}

TEST(Srv, the_suffix_is_part_of_the_name) {
    const NameServer server(
        {{"_etcd-client._tcp.example.test", {{0, 0, 1, "plain.example.test"}}},
         {"_etcd-client-blue._tcp.example.test", {{0, 0, 2, "blue.example.test"}}}});
    EXPECT_EQ(ask(server, "blue").value().front().host, "blue.example.test");
}

TEST(Srv, no_records_are_an_error_that_names_the_domain) {
    const NameServer server({});
    const auto found = ask(server);
    ASSERT_FALSE(found);
    EXPECT_EQ(found.error().code, ErrorCode::unavailable);
    EXPECT_NE(found.error().message.find("example.test"), std::string::npos);
}

}  // namespace
}  // namespace relevo::etcd
