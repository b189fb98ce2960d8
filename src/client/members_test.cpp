#include "client/members.h"

#include <gtest/gtest.h>

#include <random>

#include "client/fuzz_members.h"

namespace relevo::client {
namespace {

// As a cluster of three says it, with what else there may be.
const std::string cluster =
    R"({"members":[{"name":"pg-0","role":"leader","state":"running",)"
    R"("api_url":"http://10.0.0.1:8008/patroni","host":"10.0.0.1","port":5432,"timeline":5},)"
    R"({"name":"pg-1","role":"sync_standby","state":"streaming","host":"pg-1.internal",)"
    R"("port":5433,"timeline":5,"receive_lag":0,"replay_lag":24,"lag":0,"lsn":"0/4000060"},)"
    R"({"name":"pg-2","role":"replica","state":"streaming","host":"fd00::3","port":5432,)"
    R"("timeline":5,"lag":999999,"tags":{"noloadbalance":false}}],)"
    R"("scope":"batman","pause":true})";

std::string one(const std::string& more) {
    return R"({"members":[{"name":"a","host":"h","port":1)" + more + "}]}";
}

TEST(MembersTest, SaysWhoLeadsAndWhoMayBeRead) {
    const auto members = parse_members(cluster);
    ASSERT_TRUE(members) << members.error();
    ASSERT_EQ(members->size(), 3u);
    ASSERT_NE(leader_of(*members, 5), nullptr);
    EXPECT_EQ(leader_of(*members, 5)->endpoint, (Endpoint{"10.0.0.1", "", "5432"}));
    EXPECT_EQ(leader_of(*members, 6), nullptr) << "one of an older timeline was replaced";
    EXPECT_FALSE(readable(*members, "pg-0", 1000));
    EXPECT_TRUE(readable(*members, "pg-1", 24));
    EXPECT_FALSE(readable(*members, "pg-1", 23)) << "what is replayed counts, not what came";
    EXPECT_FALSE(readable(*members, "pg-2", 1000));
    EXPECT_TRUE(readable(*members, "pg-2", 999999));
    EXPECT_FALSE(readable(*members, "pg-3", 1000));
}

TEST(MembersTest, WhoIsNotSurelyFitIsLeftOut) {
    const std::string fit = R"(,"state":"streaming","lag":0,"timeline":3)";
    const std::string leader = R"({"members":[{"name":"l","host":"l","port":1,"role":"leader",)"
                               R"("state":"running","timeline":3},)";
    const auto may = [&](const std::string& more) {
        const auto members =
            parse_members(leader + R"({"name":"a","host":"h","port":1)" + more + "}]}");
        return members && readable(*members, "a", 1000);
    };
    EXPECT_TRUE(may(fit));
    EXPECT_TRUE(may(fit + R"(,"tags":{"noloadbalance":false,"x":"y"})"));
    for (const auto* tag : {"true", "\"true\"", "1", "\"on\""})
        EXPECT_FALSE(may(fit + R"(,"tags":{"noloadbalance":)" + tag + "}")) << tag;
    EXPECT_FALSE(may(R"(,"state":"streaming","lag":"unknown","timeline":3)"));
    EXPECT_FALSE(may(R"(,"state":"streaming","lag":-1,"timeline":3)"));
    EXPECT_FALSE(may(R"(,"state":"streaming","timeline":3)"));
    EXPECT_FALSE(may(R"(,"state":"streaming","lag":0,"timeline":2)"));
    EXPECT_FALSE(may(R"(,"state":"in archive recovery","lag":0,"timeline":3)"));
    EXPECT_FALSE(may(R"(,"state":"running","lag":0,"timeline":3)"));
}

TEST(MembersTest, OneThatDoesNotRunOrLeadsAStandbyClusterIsNoPrimary) {
    const auto leads = [](const std::string& more) {
        const auto members = parse_members(one(more));
        return members && leader_of(*members, 0) != nullptr;
    };
    EXPECT_TRUE(leads(R"(,"role":"leader","state":"running")"));
    EXPECT_FALSE(leads(R"(,"role":"leader","state":"starting")"));
    EXPECT_FALSE(leads(R"(,"role":"standby_leader","state":"running")"));
    EXPECT_FALSE(leads(R"(,"role":7,"state":["running"])"));
}

TEST(MembersTest, WhatIsNoClusterIsSaid) {
    for (const auto* text : {"", "[]", "{}", "null", "7", "\"members\"", R"({"members":{}})",
                             R"({"members":null})", "<html>moved</html>", "{\"members\":[}"}) {
        const auto members = parse_members(text);
        ASSERT_FALSE(members) << text;
        EXPECT_NE(members.error().find("its answer"), std::string::npos) << text;
    }
    EXPECT_TRUE(parse_members(R"({"members":[]})"));
}

TEST(MembersTest, AnAddressThatIsNoneIsLeftOut) {
    for (const auto* host : {"\"\"", "\"/tmp\"", "\"@abstract\"", "\"a,b\"", "\"a b\"", "7", "null",
                             "\"a\\u0000b\"", "\"a\\nb\""}) {
        const auto members = parse_members(
            std::string(R"({"members":[{"name":"a","port":1,"host":)") + host + "}]}");
        ASSERT_TRUE(members) << host;
        EXPECT_TRUE(members->empty()) << host;
    }
    for (const auto* port : {"0", "65536", "18446744073709551616", "99999999999"}) {
        const auto members = parse_members(
            std::string(R"({"members":[{"name":"a","host":"h","port":)") + port + "}]}");
        ASSERT_TRUE(members) << port;
        if (!members->empty()) EXPECT_EQ(members->front().endpoint.port, "5432") << port;
    }
}

TEST(MembersTest, MutatedAnswersNeverBreakTheRules) {
    const std::vector<std::string> seeds = {
        cluster, one(R"(,"role":"leader","state":"running","timeline":4294967296)"),
        one(R"(,"lag":18446744073709551615,"state":"streaming")"), "https://[::1]:8008/",
        "http://pg-1.internal:65535"};
    std::mt19937 random(20260101);
    for (int round = 0; round < 5'000; ++round) {
        auto text = seeds[random() % seeds.size()];
        for (auto changes = random() % 6; changes > 0 && !text.empty(); --changes) {
            const auto at = random() % text.size();
            const auto& other = seeds[random() % seeds.size()];
            switch (random() % 4) {
                case 0: text[at] = static_cast<char>(random() % 256); break;
                case 1: text.erase(at, random() % 16); break;
                case 2: text.insert(at, text.substr(at, random() % 16)); break;
                default: text.insert(at, other.substr(random() % other.size(), 16));
            }
        }
        SCOPED_TRACE(text);
        testing::fuzz_members(text);
        testing::fuzz_rest_url(text);
    }
}

TEST(MembersTest, DeepNestingIsTakenWithoutHarm) {
    testing::fuzz_members(std::string(500'000, '['));
    testing::fuzz_members(R"({"members":)" + std::string(100'000, '[') + std::string(100'000, ']') +
                          "}");
}

}  // namespace
}  // namespace relevo::client
