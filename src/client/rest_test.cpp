#include "client/rest.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>

#include "client/test_port.h"
#include "client/test_rest.h"
#include "relevo/blocking.h"

namespace relevo::client {
namespace {

using namespace std::chrono_literals;
using testing::FakeRest;
using testing::Port;

const std::string led =
    FakeRest::ok(R"({"members":[{"name":"a","host":"127.0.0.1","port":1,"role":"leader",)"
                 R"("state":"running"}]})");
const std::string leaderless =
    FakeRest::ok(R"({"members":[{"name":"a","host":"127.0.0.1","port":1,"role":"replica",)"
                 R"("state":"running"}]})");

Asked ask(const std::vector<std::string>& urls, Duration within = 10s) {
    const auto way = check_rest({.urls = urls});
    EXPECT_TRUE(way) << way.error().message;
    boost::asio::io_context io(1);
    auto asked = boost::asio::co_spawn(
        io,
        ask_members(io.get_executor(), *way,
                    Clock::now() + std::chrono::duration_cast<Clock::duration>(within)),
        boost::asio::use_future);
    io.run();
    return asked.get();
}

TEST(RestUrlTest, TakesAHostAndAPortAndNothingElse) {
    EXPECT_EQ(parse_rest_url("http://pg-1")->text(), "http://pg-1:8008");
    EXPECT_EQ(parse_rest_url("https://10.0.0.1:8009/")->text(), "https://10.0.0.1:8009");
    EXPECT_EQ(parse_rest_url("https://[fd00::1]:80")->text(), "https://[fd00::1]:80");
    for (const auto* text :
         {"", "pg-1:8008", "ftp://pg-1", "http://", "http://:8008", "http://a:0", "http://a:65536",
          "http://a:", "http://a:80b", "http://u:p@a:80", "http://a/patroni", "http://a?b",
          "http://[a]:80", "http://[::1", "http://a\r\nX: y", "http://a:80//"})
        EXPECT_FALSE(parse_rest_url(text)) << text;
}

TEST(Rest, MistakesInTheOptionsAreNamedBeforeAnythingIsTried) {
    const auto problem = [](Rest rest) {
        const auto pool = BlockingPool::make({.conninfo = "host=a", .rest = std::move(rest)});
        if (pool) return std::string();
        EXPECT_EQ(pool.error().kind, Kind::invalid);
        return pool.error().message;
    };
    EXPECT_EQ(problem({.urls = {"http://a", "http://b:8009"}}), "");
    EXPECT_NE(problem({.urls = {"http://a", "hidden@b"}}).find("number 2"), std::string::npos);
    EXPECT_EQ(problem({.urls = {"hidden@b"}}).find("hidden"), std::string::npos);
    EXPECT_NE(problem({.urls = {"http://a"}, .ca_file = "x"}).find("ca_file"), std::string::npos);
    EXPECT_NE(problem({.urls = {"https://a"}, .ca_file = "/nowhere/ca"}).find("/nowhere/ca"),
              std::string::npos);
    EXPECT_NE(problem({.urls = {"https://a"}, .key_file = "x"}).find("cert_file"),
              std::string::npos);
    EXPECT_NE(problem({.urls = {"https://a"}, .cert_file = "/nowhere/crt"}).find("/nowhere/crt"),
              std::string::npos);
    EXPECT_NE(problem({.urls = {"http://a"}, .refresh = 0s}).find("refresh"), std::string::npos);
}

TEST(Rest, AsksAndUnderstands) {
    const FakeRest member(led);
    const auto asked = ask({member.url()});
    ASSERT_TRUE(asked.members) << asked.problem;
    EXPECT_NE(leader_of(*asked.members, 0), nullptr);
    EXPECT_TRUE(member.question().starts_with("GET /cluster HTTP/1.1\r\n")) << member.question();
    EXPECT_EQ(member.question().find("Authorization"), std::string::npos);
}

// The deadline is far away: who hangs is not waited for when somebody else answers.
TEST(Rest, TheFirstThatNamesALeaderIsBelieved) {
    const FakeRest hangs(std::nullopt), knows_none(leaderless), knows(led);
    const Port refuses(false), silent(true);
    const auto began = Clock::now();
    const auto asked =
        ask({hangs.url(), knows_none.url(), silent.url(), refuses.url(), knows.url()}, 60s);
    ASSERT_TRUE(asked.members) << asked.problem;
    EXPECT_NE(leader_of(*asked.members, 0), nullptr);
    EXPECT_LT(Clock::now() - began, 30s);
}

TEST(Rest, WhereNobodyLeadsTheMembersAreTakenAllTheSame) {
    const FakeRest member(leaderless);
    const auto asked = ask({member.url()});
    ASSERT_TRUE(asked.members) << asked.problem;
    EXPECT_EQ(asked.members->size(), 1u);
}

TEST(Rest, WhoHangsIsLeftAtTheDeadline) {
    const FakeRest hangs(std::nullopt);
    const Port silent(true);
    const auto asked = ask({hangs.url(), silent.url()}, 100ms);
    EXPECT_FALSE(asked.members);
    EXPECT_NE(asked.problem.find("in time"), std::string::npos) << asked.problem;
}

TEST(Rest, WhatCantBeUsedIsSaidWithWhoSaidIt) {
    const auto huge = FakeRest::ok(std::string(2 * 1024 * 1024, ' '));
    const struct {
        std::string answer, why;
    } cases[] = {
        {"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/cluster\r\nContent-Length: 0\r\n\r\n",
         "answered 302: a redirect is not followed"},
        {"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}", "answered 503"},
        {"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", "answered 401"},
        {FakeRest::ok("[]"), "no list of members"},
        {FakeRest::ok("hello"), "not JSON"},
        {FakeRest::ok(""), "not JSON"},
        {huge, "body"},
        {"HTTP/1.1 200 OK\r\nX: " + std::string(100'000, 'x') + "\r\n\r\n", "header"},
        {"SSH-2.0-OpenSSH_9.2\r\n", "no answer"},
        {"", "end of stream"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"members\":", "partial"}};
    for (const auto& its : cases) {
        const FakeRest member(its.answer);
        const auto asked = ask({member.url()});
        EXPECT_FALSE(asked.members) << its.why;
        EXPECT_NE(asked.problem.find(its.why), std::string::npos) << its.why << asked.problem;
        EXPECT_NE(asked.problem.find(member.url()), std::string::npos) << asked.problem;
    }
    const Port refuses(false);
    EXPECT_NE(ask({refuses.url()}).problem.find("refused"), std::string::npos);
}

// The host list has a word too, and the call ends when it must.
TEST(Rest, APoolWhoseMembersAllHangKeepsItsDeadline) {
    const FakeRest hangs(std::nullopt);
    const Port nobody(false);
    auto options = nobody.options();
    options.rest.urls = {hangs.url()};
    const auto pool = BlockingPool::make(options);
    ASSERT_TRUE(pool) << pool.error().message;
    const auto rows = (*pool)->execute("SELECT 1", {}, {.deadline = 1500ms});
    ASSERT_FALSE(rows);
    EXPECT_EQ(rows.error().kind, Kind::unavailable);
    // Not again and again: the one that hangs is left alone for a while.
    EXPECT_GE(hangs.asked(), 1);
    EXPECT_LE((*pool)->counts().asked, 2u);
    EXPECT_NE((*pool)->rest_problem().find("in time"), std::string::npos);
}

}  // namespace
}  // namespace relevo::client
