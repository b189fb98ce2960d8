#include <gtest/gtest.h>

#include "config/testing.h"

namespace relevo::config {
namespace {

using ::testing::HasSubstr;
using testing::load_text;
using testing::minimal;
using testing::problems_of;

const std::string whole = minimal + R"(
dns:
  primary: pg-primary.internal.
  replica: pg-replica.internal
  ttl: 1
  addresses: [10.0.0.1, 'fd00::1']
  maximum_lag: 1MB
  update: {servers: ['10.0.0.53', '[fd00::53]:5353'], key_file: /etc/relevo/dns.key}
  responder: {listen: '127.0.0.1:5353'}
)";

TEST(Dns, IsReadAndTheZoneFollowsFromTheName) {
    const auto config = load_text(whole);
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->dns.primary, "pg-primary.internal");
    EXPECT_EQ(config->dns.zone, "internal");
    EXPECT_EQ(config->dns.ttl_s, 1);
    EXPECT_EQ(config->dns.addresses.size(), 2u);
    EXPECT_EQ(config->dns.replica_lag_bytes_max, 1 << 20);
    ASSERT_EQ(config->dns.servers.size(), 2u);
    EXPECT_EQ(config->dns.servers[0].port, 53);
    EXPECT_EQ(config->dns.servers[1].host, "fd00::53");
    EXPECT_EQ(config->dns.servers[1].port, 5353);
    EXPECT_EQ(config->dns.responder->port, 5353);
    EXPECT_TRUE(config->unknown.empty());
    EXPECT_EQ(load_text(minimal)->dns, DnsConfig{});
}

TEST(Dns, SaysWhatIsMissing) {
    const auto with = [](const std::string& text) { return problems_of(minimal + "dns: " + text); };
    EXPECT_THAT(with("{ttl: 1, responder: {listen: ':53'}}"), HasSubstr("dns.primary"));
    EXPECT_THAT(with("{primary: p.internal}"), HasSubstr("nobody would learn the name"));
    EXPECT_THAT(with("{primary: p.internal, update: {servers: [10.0.0.1]}}"),
                HasSubstr("dns.update.key_file"));
    EXPECT_THAT(with("{primary: p.internal, update: {key_file: /k}}"),
                HasSubstr("dns.update.servers"));
    EXPECT_THAT(with("{primary: p.internal, zone: other, responder: {listen: ':53'}}"),
                HasSubstr("a name inside the zone"));
    EXPECT_THAT(with("{primary: p.internal, replica: P.internal, responder: {listen: ':53'}}"),
                HasSubstr("another name than primary"));
    EXPECT_THAT(with("{primary: 'a b.internal', responder: {listen: ':53'}}"),
                HasSubstr("a host name"));
    EXPECT_THAT(with("{primary: p.internal, ttl: 0, responder: {listen: ':53'}}"),
                HasSubstr("dns.ttl"));
}

}  // namespace
}  // namespace relevo::config
