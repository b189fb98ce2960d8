// The members' REST with real servers, and over TLS: what it says is followed where it is right,
// and does no harm where it is wrong.
#include "client/rest.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <thread>

#include "client/test_port.h"
#include "client/test_rest.h"
#include "net/test_support.h"
#include "servers.h"

namespace relevo::client {
namespace {

using namespace std::chrono_literals;
using net::testing::Authority;
using testing::ClientCluster;
using testing::ClientServers;
using testing::FakeRest;
using testing::Port;

std::string entry(const char* name, const char* role, const char* state, int port, long lag = 0) {
    return std::string(R"({"name":")") + name + R"(","role":")" + role + R"(","state":")" + state +
           R"(","host":"127.0.0.1","port":)" + std::to_string(port) + R"(,"timeline":1,"lag":)" +
           std::to_string(lag) + "}";
}

std::string answer(const std::string& members) {
    return FakeRest::ok(R"({"members":[)" + members + "]}");
}

TEST_P(ClientServers, ThePrimaryIsFoundByTheMembersRestWhereTheHostsDoNotKnowIt) {
    const FakeRest rest(answer(entry("one", "leader", "running", primary.port)));
    const Port nobody(false);
    auto o = options({nobody.number()});
    o.rest.urls = {rest.url(), nobody.url()};
    const auto p = pool(o);
    const auto done = p->transaction(increment);
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(done->attempts, 1);
    ASSERT_TRUE(p->transaction(increment));
    EXPECT_EQ(count(), "2");
    EXPECT_EQ(rest.asked(), 1) << "once found it is asked no more";
}

TEST_P(ClientServers, WhatTheMembersRestSaysWronglyCostsTimeOnly) {
    const Port nobody(false), silent(true);
    for (const auto& wrong :
         {answer(entry("one", "leader", "running", nobody.number())),
          answer(entry("one", "leader", "running", silent.number())), answer(""),
          FakeRest::ok("no JSON"), std::string("HTTP/1.1 503 Down\r\nContent-Length: 0\r\n\r\n")}) {
        const FakeRest rest(wrong);
        auto o = options({primary.port});
        o.rest.urls = {rest.url()};
        const auto p = pool(o);
        const auto rows = p->execute("SELECT 1", {}, {.idempotent = true});
        ASSERT_TRUE(rows) << rows.error().message << " after " << wrong;
        EXPECT_EQ(rest.asked(), 1);
    }
}

TEST_P(ClientCluster, ReplicasAreReadFromAsLongAsTheMembersRestCallsThemFit) {
    const auto said = [&](const char* state, long lag) {
        return answer(entry("one", "leader", "running", primary.port) + "," +
                      entry("two", "replica", state, standby.port, lag));
    };
    FakeRest rest(said("streaming", 0));
    const Port nobody(false);
    auto o = options({nobody.number()});
    o.rest.urls = {rest.url()};
    o.rest.replica_lag_max = 1000;
    o.rest.refresh = 50ms;
    const auto p = pool(o);
    const auto on_replica = [&] {
        const auto rows = p->execute("SELECT pg_is_in_recovery()", {},
                                     {.idempotent = true, .target = Target::replica});
        EXPECT_TRUE(rows) << rows.error().message;
        return rows && rows->value() == "t";
    };
    // Answers come when they come: until then what was said before holds.
    const auto becomes = [&](bool replica) {
        for (int i = 0; i < 1000 && on_replica() != replica; ++i) std::this_thread::sleep_for(20ms);
        return on_replica() == replica;
    };
    EXPECT_TRUE(on_replica());
    rest.say(said("streaming", 1001));
    EXPECT_TRUE(becomes(false)) << "it is too far behind";
    rest.say(said("streaming", 1000));
    EXPECT_TRUE(becomes(true));
    rest.say(said("in archive recovery", 0));
    EXPECT_TRUE(becomes(false)) << "it does not stream";
    rest.say(FakeRest::ok("nonsense"));
    EXPECT_FALSE(on_replica()) << "no host of the string is a replica";
    rest.say(said("streaming", 0));
    EXPECT_TRUE(becomes(true));
}

// ------------------------------------------------------------------------------------------- TLS

namespace ssl = boost::asio::ssl;

std::shared_ptr<ssl::context> server_tls(const Authority& authority, const std::string& name,
                                         bool asks_for_a_certificate = false) {
    auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
    context->use_certificate_chain_file(authority.cert(name));
    context->use_private_key_file(authority.key(name), ssl::context::pem);
    if (asks_for_a_certificate) {
        context->load_verify_file(authority.ca());
        context->set_verify_mode(ssl::verify_peer | ssl::verify_fail_if_no_peer_cert);
    }
    return context;
}

Asked ask(const Rest& rest, Clock::duration within = 20s) {
    const auto way = check_rest(rest);
    EXPECT_TRUE(way) << way.error().message;
    boost::asio::io_context io(1);
    auto asked = boost::asio::co_spawn(
        io, ask_members(io.get_executor(), *way, Clock::now() + within), boost::asio::use_future);
    io.run();
    return asked.get();
}

TEST(RestOverTls, OnlyAMemberThatTheAuthorityVouchesForIsBelieved) {
    Authority authority, other;
    authority.issue("member");
    authority.issue("elsewhere", "DNS:elsewhere.example");
    authority.issue("client");
    other.issue("client");
    const auto text = answer(entry("one", "leader", "running", 5432));
    const FakeRest right(text, server_tls(authority, "member"));
    const FakeRest wrong_name(text, server_tls(authority, "elsewhere"));
    const FakeRest strict(text, server_tls(authority, "member", true));

    const auto said = [&](const std::string& url, const std::string& ca,
                          const std::string& cert = "", const std::string& key = "") {
        const auto asked = ask({.urls = {url}, .ca_file = ca, .cert_file = cert, .key_file = key});
        EXPECT_EQ(asked.members.has_value(), asked.problem.find("https://") == std::string::npos)
            << asked.problem;
        return asked.members.has_value();
    };
    EXPECT_TRUE(said(right.url(), authority.ca()));
    EXPECT_TRUE(said(right.url("localhost"), authority.ca()));
    EXPECT_FALSE(said(right.url(), other.ca()));
    EXPECT_FALSE(said(right.url(), "")) << "the system's authorities do not know ours";
    EXPECT_FALSE(said(wrong_name.url(), authority.ca()));
    EXPECT_FALSE(said(strict.url(), authority.ca()));
    EXPECT_TRUE(
        said(strict.url(), authority.ca(), authority.cert("client"), authority.key("client")));
    EXPECT_FALSE(said(strict.url(), authority.ca(), other.cert("client"), other.key("client")));
    // https to one that speaks plainly, where both wait for the other, and the other way round
    const FakeRest plain(text);
    EXPECT_FALSE(
        ask({.urls = {"https" + plain.url().substr(4)}, .ca_file = authority.ca()}, 300ms).members);
    EXPECT_FALSE(ask({.urls = {"http" + right.url().substr(5)}}).members);
}

}  // namespace
}  // namespace relevo::client
