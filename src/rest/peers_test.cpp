// What members, and gateways, ask of each other: status, pulses, WAL of a crashed primary, the
// stream of news. The asking side is here too.
#include <algorithm>

#include "rest/orders.h"
#include "rest/peer_client.h"
#include "rest/server.h"
#include "rest/test_api.h"

namespace relevo::rest {
namespace {

using testing::view_of_primary;
using testing::view_of_replica;
using namespace std::chrono_literals;

struct PeersTest : testing::ApiTest {
    PeersTest() { *control.shown = view_of_primary(control.at); }
};

TEST_F(PeersTest, PeersUnderstandOneAnother) {
    *control.shown = view_of_replica(control.at);
    control.shown->tags.published["failover_priority"].json = "7";
    control.reply = {200, "Accepted"};
    with_api([&]() -> Task<void> {
        const auto peers = make_peers(loop.io, loop.pool, {});
        cluster::MemberRecord member;
        member.name = "pg-1";
        member.api_url = fmt::format("http://127.0.0.1:{}/patroni", api->port());
        const auto status = co_await peers->status(member, 5s);
        EXPECT_TRUE(status) << status.error().message;
        if (!status) co_return;
        EXPECT_FALSE(status->primary);
        EXPECT_TRUE(status->running);
        EXPECT_EQ(status->position.value, 67108960U);
        EXPECT_EQ(status->timeline, 5U);
        EXPECT_EQ(status->failover_priority, 7);
        EXPECT_EQ(status->system_id, "7711188255317205645");
        const auto agreed = co_await peers->failsafe(member, R"({"name":"pg-0"})", 5s);
        EXPECT_TRUE(agreed) << agreed.error().message;
        if (agreed) EXPECT_EQ(agreed->value, 67108960U);
        control.reply = {502, "failsafe mode is off"};
        const auto refused = co_await peers->failsafe(member, R"({"name":"pg-0"})", 5s);
        EXPECT_FALSE(refused);
        EXPECT_TRUE(co_await peers->alive(member.api_url, 5s));
        co_await api->stop();
        EXPECT_FALSE(co_await peers->alive(member.api_url, 5s));
        const auto gone = co_await peers->status(member, 5s);
        EXPECT_FALSE(gone);
        if (!gone) EXPECT_EQ(gone.error().code, ErrorCode::unavailable);
    });
}

TEST_F(PeersTest, APulseIsAnsweredAndItsConnectionKept) {
    options.authentication = net::Credentials{"admin", "s3cret"};
    control.reply = {200, R"({"name":"pg-0","term":7,"system_id":"7711188255317205645"})"};
    with_api([&]() -> Task<void> {
        cluster::MemberRecord member;
        member.name = "pg-0";
        member.api_url = fmt::format("http://127.0.0.1:{}/patroni", api->port());
        const auto stranger = make_peers(loop.io, loop.pool, {});
        const auto refused = co_await stranger->pulse(member, {"pg-1", "1", 7}, 5s);
        EXPECT_FALSE(refused);
        if (!refused) EXPECT_EQ(refused.error().code, ErrorCode::denied);
        EXPECT_TRUE(control.pulse_from.from.empty()) << "nobody without credentials is heard";

        const auto peers =
            make_peers(loop.io, loop.pool, {.tls = {}, .credentials = options.authentication});
        const auto heard = co_await peers->pulse(member, {"pg-1", "77", 7}, 5s);
        EXPECT_TRUE(heard) << heard.error().message;
        if (heard) EXPECT_EQ(heard->name, "pg-0");
        EXPECT_EQ(control.pulse_from.from, "pg-1");
        EXPECT_EQ(control.pulse_from.system_id, "77");
        EXPECT_EQ(control.pulse_from.follows, 7);
        EXPECT_TRUE(control.orders.empty());
    });
}

TEST_F(PeersTest, WalOfACrashedPrimaryIsGivenByteByByte) {
    options.authentication = net::Credentials{"admin", "s3cret"};
    std::string all(cluster::tail_piece_bytes, '\0');
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<char>(i * 7);
    control.pages = all;
    with_api([&]() -> Task<void> {
        cluster::MemberRecord member;
        member.name = "pg-0";
        member.api_url = fmt::format("http://127.0.0.1:{}/patroni", api->port());
        const cluster::TailAsk ask{"pg-1", "77", 3, cluster::Lsn{0x3000148}, "proof", false};
        const auto stranger = make_peers(loop.io, loop.pool, {});
        const auto refused = co_await stranger->wal_tail(member, ask, 5s);
        EXPECT_FALSE(refused);
        if (!refused) EXPECT_EQ(refused.error().code, ErrorCode::denied);
        EXPECT_TRUE(control.tail_ask.from.empty()) << "nobody without credentials is heard";

        const auto peers =
            make_peers(loop.io, loop.pool, {.tls = {}, .credentials = options.authentication});
        const auto given = co_await peers->wal_tail(member, ask, 5s);
        EXPECT_TRUE(given) << given.error().message;
        if (given) EXPECT_TRUE(*given == all);
        EXPECT_EQ(control.tail_ask.from, "pg-1");
        EXPECT_EQ(control.tail_ask.timeline, 3U);
        EXPECT_EQ(control.tail_ask.at.value, 0x3000148U);
        EXPECT_EQ(control.tail_ask.proof, "proof");
        EXPECT_TRUE(control.tail_ask.guarded);

        control.pages = fail(ErrorCode::not_found, "none here");
        const auto none = co_await peers->wal_tail(member, ask, 5s);
        EXPECT_FALSE(none);
        if (!none) EXPECT_NE(none.error().message.find("404 none here"), std::string::npos);
    });
}

TEST(TailAsk, OddOnesAreRefused) {
    const std::string good =
        R"({"from":"a","system_id":"71","timeline":3,"lsn":"0/3000148","proof":"ab"})";
    ASSERT_TRUE(parse_tail_ask(good));
    EXPECT_FALSE(parse_tail_ask(good)->guarded);
    for (const auto& [part, instead] :
         std::vector<std::pair<std::string, std::string>>{{R"("a")", R"("")"},
                                                          {R"("a")", "1"},
                                                          {R"("71")", R"("")"},
                                                          {R"("71")", "71"},
                                                          {"3,", "0,"},
                                                          {"3,", "-1,"},
                                                          {"3,", "4294967296,"},
                                                          {"3,", "1.5,"},
                                                          {"0/3000148", "0/0"},
                                                          {"0/3000148", "0/3000148x"},
                                                          {R"("0/3000148")", "50331"},
                                                          {R"("ab")", "7"}}) {
        auto bad = good;
        bad.replace(bad.find(part), part.size(), instead);
        EXPECT_FALSE(parse_tail_ask(bad)) << bad;
    }
    for (const char* text : {"", "[]", "{}"}) EXPECT_FALSE(parse_tail_ask(text)) << text;
}

TEST(PeerStatus, OfACrashedPrimaryOffersItsWal) {
    const auto status = parse_peer_status(R"({"wal_tail": {"timeline": 3, "end": 50331648}})");
    ASSERT_TRUE(status && status->tail);
    EXPECT_EQ(*status->tail, (cluster::WalTail{3, cluster::Lsn{50331648}}));
    for (const auto* text :
         {R"({"wal_tail": 7})", R"({"wal_tail": {"timeline": 0, "end": 1}})",
          R"({"wal_tail": {"timeline": 4294967296, "end": 1}})", R"({"wal_tail": {"timeline": 3}})",
          R"({"wal_tail": {"timeline": "3", "end": 1}})"})
        EXPECT_FALSE(parse_peer_status(text)->tail) << text;
}

TEST(Pulse, OddOnesAreRefused) {
    for (const char* text :
         {"", "[]", "{}", R"({"from":""})", R"({"from":1})", R"({"from":"a","follows":-1})",
          R"({"from":"a","follows":1.5})", R"({"from":"a","follows":18446744073709551615})",
          R"({"from":"a","system_id":7})"})
        EXPECT_FALSE(parse_pulse(text)) << text;
    const auto pulse = parse_pulse(R"({"from":"a"})");
    ASSERT_TRUE(pulse);
    EXPECT_EQ(pulse->follows, 0);
    for (const char* text : {"", "[]", "{}", R"({"name":7})", "null"})
        EXPECT_FALSE(parse_pulse_answer(text)) << text;
}

struct StreamTest : testing::ApiTest {
    Task<cluster::MemberStream> look(std::string query) {
        const auto answer = co_await ask("GET", "/stream" + query);
        EXPECT_EQ(answer.status, 200) << answer.body;
        auto read = cluster::parse_stream(answer.body);
        EXPECT_TRUE(read) << read.error().message;
        co_return read ? *std::move(read) : cluster::MemberStream{};
    }
};

TEST_F(StreamTest, SaysWhoServesAndWaitsForNews) {
    control.change() = view_of_primary(control.at);
    control.change().term = 42;
    with_api([&]() -> Task<void> {
        const auto first = co_await look("");
        EXPECT_TRUE(first.serves());
        EXPECT_EQ(first.term, 42);
        EXPECT_EQ(first.serves_for, 10s);
        EXPECT_TRUE(control.waits.empty());
        control.on_wait = [&] { control.change().hold = cluster::PoolerHold{5, 2000ms}; };
        const auto second = co_await look(fmt::format("?since={}&wait=1000", first.sequence));
        EXPECT_EQ(second.sequence, first.sequence + 1);
        EXPECT_TRUE(second.hold);
        EXPECT_EQ(control.waits.size(), 1U);
        // An agent that ends tells of no more.
        const auto third = co_await look(fmt::format("?since={}&wait=1000", second.sequence));
        EXPECT_EQ(third.sequence, second.sequence);
    });
}

TEST_F(StreamTest, ARightThatIsOverIsToldAtOnce) {
    control.change() = view_of_primary(control.at);
    control.change().term = 42;
    with_api([&]() -> Task<void> {
        const auto first = co_await look("");
        control.on_wait = [&] { control.at += 11s; };
        const auto second = co_await look(fmt::format("?since={}&wait=60000", first.sequence));
        EXPECT_FALSE(second.serves());
        EXPECT_TRUE(second.primary);
        EXPECT_LE(control.waits.at(0), 2s) << "whoever is gone must not hold a connection";
    });
}

TEST_F(StreamTest, AGatewayIsHeardOnlyWithCredentials) {
    options.authentication = net::Credentials{"app", "secret"};
    cluster::GatewayReport report;
    report.name = "gw-1";
    report.hold = 5;
    report.outcome = cluster::GatewayReport::Outcome::held;
    control.change() = view_of_replica(control.at);
    with_api([&]() -> Task<void> {
        const auto stranger = co_await code("POST", "/gateway", cluster::to_json(report));
        EXPECT_EQ(stranger, 401);
        EXPECT_TRUE(control.reports.empty());
        const auto odd = co_await code("GET", "/stream?since=x");
        EXPECT_EQ(odd, 400);
        const auto anybody = co_await look("");
        EXPECT_EQ(anybody.name, "pg-1");
    });
}

TEST_F(StreamTest, AGatewaysReportReachesTheAgent) {
    cluster::GatewayReport report;
    report.name = "gw-1";
    report.hold = 5;
    report.outcome = cluster::GatewayReport::Outcome::held;
    control.change() = view_of_replica(control.at);
    with_api([&]() -> Task<void> {
        const auto heard = co_await ask("POST", "/gateway", cluster::to_json(report));
        EXPECT_EQ(heard.status, 200);
        EXPECT_EQ(control.reports, std::vector{report});
        const auto read = cluster::parse_stream(heard.body);
        EXPECT_TRUE(read);
        if (read) EXPECT_TRUE(read->standby && read->streaming && !read->serves());
        const auto odd = co_await code("POST", "/gateway", "{}");
        EXPECT_EQ(odd, 400);
    });
}

TEST(PeerStatus, PatronisOwnTextIsRead) {
    const auto status = parse_peer_status(
        R"({"state": "running", "role": "master", "xlog": {"location": 24470760}, "timeline": 1,)"
        R"( "tags": {"nofailover": true, "dc": "east"}, "watchdog_failed": true,)"
        R"( "database_system_identifier": "771"})");
    ASSERT_TRUE(status);
    EXPECT_TRUE(status->primary);
    EXPECT_EQ(status->position.value, 24470760U);
    EXPECT_TRUE(status->nofailover);
    EXPECT_EQ(status->failover_priority, 0);
    EXPECT_TRUE(status->watchdog_failed);
    EXPECT_EQ(status->sealed, 0);
    EXPECT_FALSE(status->voteless);
}

TEST(PeerStatus, OfOursAlsoSaysWhatItsVoteIsWorth) {
    EXPECT_FALSE(parse_peer_status("{}")->corrupted.has_value());
    EXPECT_EQ(parse_peer_status(R"({"corrupted": true})")->corrupted, true);
    EXPECT_EQ(parse_peer_status(R"({"corrupted": false})")->corrupted, false);
    EXPECT_FALSE(parse_peer_status(R"({"corrupted": "no"})")->corrupted.has_value());
    const auto status = parse_peer_status(R"({"sealed": 4711, "voteless": true})");
    ASSERT_TRUE(status);
    EXPECT_EQ(status->sealed, 4711);
    EXPECT_TRUE(status->voteless);
    for (const auto* text :
         {R"({"sealed": "1", "voteless": 1})", R"({"sealed": -1})", R"({"sealed": 1.5})",
          R"({"sealed": 18446744073709551615})", R"({"sealed": true, "voteless": "true"})"}) {
        const auto odd = parse_peer_status(text);
        ASSERT_TRUE(odd) << text;
        EXPECT_EQ(odd->sealed, 0) << text;
        EXPECT_FALSE(odd->voteless) << text;
    }
}

TEST(PeerStatus, OddAnswersAreNoStatusOrAnEmptyOne) {
    for (const auto* text : {"", "[]", "null", "<html>", "{"})
        EXPECT_FALSE(parse_peer_status(text)) << text;
    const auto odd = parse_peer_status(
        R"({"role":5,"xlog":[],"timeline":-1,"tags":"x","watchdog_failed":"yes"})");
    ASSERT_TRUE(odd);
    EXPECT_FALSE(odd->primary);
    EXPECT_EQ(odd->timeline, 0U);
}

}  // namespace
}  // namespace relevo::rest
