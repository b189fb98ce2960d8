#include "rest/server.h"

#include <algorithm>

#include "rest/orders.h"
#include "rest/peer_client.h"
#include "rest/test_api.h"

namespace relevo::rest {
namespace {

using testing::view_of_primary;
using testing::view_of_replica;
using namespace std::chrono_literals;

struct ServerTest : testing::ApiTest {
    ServerTest() { *control.shown = view_of_primary(control.at); }
};

std::string header(const net::ClientResponse& answer, std::string_view name) {
    const auto* found = net::find_header(answer.headers, name);
    return found == nullptr ? "<none>" : *found;
}

TEST_F(ServerTest, TheStatusIsShownWithItsLengthAndType) {
    with_api([&]() -> Task<void> {
        const auto answer = co_await ask("GET", "/patroni");
        EXPECT_EQ(answer.status, 200);
        EXPECT_EQ(header(answer, "Content-Type"), "application/json");
        EXPECT_EQ(header(answer, "Content-Length"), std::to_string(answer.body.size()));
        EXPECT_EQ(header(answer, "Server"), "relevo/0.1.0");
        EXPECT_NE(answer.body.find(R"("role": "primary")"), std::string::npos) << answer.body;
        EXPECT_NE(answer.body.find(R"("database_system_identifier": "7711188255317205645")"),
                  std::string::npos);
        const auto health = co_await ask("GET", "/replica");
        EXPECT_EQ(health.status, 503);
        EXPECT_EQ(health.body, answer.body);
    });
}

TEST_F(ServerTest, TheJournalIsAskedForFromAnEntryOn) {
    with_api([&]() -> Task<void> {
        const auto all = co_await ask("GET", "/journal");
        EXPECT_EQ(all.status, 200);
        EXPECT_EQ(header(all, "Content-Type"), "application/json");
        EXPECT_EQ(all.body, R"({"since":0,"limit":4294967295})");
        const auto some = co_await ask("GET", "/journal?since=7&limit=3");
        EXPECT_EQ(some.body, R"({"since":7,"limit":3})");
        EXPECT_EQ((co_await ask("GET", "/journal?since=x")).status, 400);
        EXPECT_EQ((co_await ask("GET", "/journal?limit=-1")).status, 400);
    });
}

TEST_F(ServerTest, AChangedViewIsShownAtOnce) {
    with_api([&]() -> Task<void> {
        EXPECT_EQ(co_await get("/primary"), 200);
        auto& changed = control.change();
        changed.postgres.server = cluster::Server::stopped;
        changed.state = cluster::State::crashed;
        const auto answer = co_await ask("GET", "/primary");
        EXPECT_EQ(answer.status, 503);
        EXPECT_NE(answer.body.find(R"("state": "crashed")"), std::string::npos) << answer.body;
    });
}

TEST_F(ServerTest, WhatTheDcsHoldsIsReadFresh) {
    cluster::Snapshot snapshot;
    snapshot.leader = cluster::LeaderKey{"pg-0", 1, 1, 1};
    auto& member = snapshot.members["pg-0"];
    member.name = "pg-0";
    member.conn_url = "postgres://10.0.0.1:5432/postgres";
    member.api_url = "http://10.0.0.1:8008/patroni";
    member.state = cluster::State::running;
    member.role = cluster::Role::primary;
    snapshot.config = cluster::ConfigKey{R"({"ttl":20,"postgresql":{"use_slots":true}})", 7};
    snapshot.history = {{1, cluster::Lsn{25623960}, "no recovery target specified",
                         "2026-01-02T03:04:05+00:00", "pg-0"}};
    control.fresh = snapshot;
    with_api([&]() -> Task<void> {
        auto answer = co_await ask("GET", "/cluster");
        EXPECT_EQ(answer.status, 200);
        EXPECT_NE(answer.body.find(R"("name": "pg-0", "role": "leader", "state": "running")"),
                  std::string::npos)
            << answer.body;
        EXPECT_NE(answer.body.find(R"("scope": "batman")"), std::string::npos) << answer.body;
        answer = co_await ask("GET", "/config");
        EXPECT_EQ(answer.body, R"({"ttl": 20, "postgresql": {"use_slots": true}})");
        answer = co_await ask("GET", "/history");
        EXPECT_EQ(answer.body, R"([[1, 25623960, "no recovery target specified", )"
                               R"("2026-01-02T03:04:05+00:00", "pg-0"]])");
        const auto head = co_await ask("HEAD", "/config");
        EXPECT_EQ(head.status, 200);
        EXPECT_EQ(header(head, "Content-Length"), "46");
    });
}

TEST_F(ServerTest, WithoutTheDcsTheReasonIsSaid) {
    control.fresh = fail(ErrorCode::unavailable, "no etcd endpoint answers");
    with_api([&]() -> Task<void> {
        for (const auto* path : {"/cluster", "/config", "/history"}) {
            const auto answer = co_await ask("GET", path);
            EXPECT_EQ(answer.status, 503) << path;
            EXPECT_NE(answer.body.find("no etcd endpoint answers"), std::string::npos)
                << answer.body;
        }
        EXPECT_EQ(co_await get("/patroni"), 200);
    });
}

TEST_F(ServerTest, ASealIsShownWithTheRest) {
    auto& view = control.change();
    view.postgres.server = cluster::Server::running;
    view.postgres.in_recovery = true;
    view.postgres.received_all = true;
    view.sealed = 4711;
    with_api([&]() -> Task<void> {
        const auto answer = co_await ask("GET", "/patroni");
        EXPECT_NE(answer.body.find(R"("sealed": 4711)"), std::string::npos) << answer.body;
    });
}

TEST_F(ServerTest, ASuspicionIsToldForAsLongAsTheAgentIsAwake) {
    auto& view = control.change();
    view.suspects = 4711;
    view.suspects_until = control.at + std::chrono::seconds{1};
    with_api([&]() -> Task<void> {
        const auto told = co_await ask("GET", "/patroni");
        EXPECT_NE(told.body.find(R"("suspects": 4711)"), std::string::npos) << told.body;
        control.at += std::chrono::seconds{1};
        const auto late = co_await ask("GET", "/patroni");
        EXPECT_EQ(late.body.find("suspects"), std::string::npos) << late.body;
    });
}

TEST_F(ServerTest, KeysThatAreNotThereAreSaidToBeAbsent) {
    with_api([&]() -> Task<void> {
        EXPECT_EQ(co_await get("/config"), 502);
        EXPECT_EQ(co_await get("/failsafe"), 502);
        const auto history = co_await ask("GET", "/history");
        EXPECT_EQ(history.body, "[]");
        testing::change_snapshot(control.change(), [](cluster::Snapshot& snapshot) {
            snapshot.failsafe = {{"pg-0", "http://10.0.0.1:8008/patroni"}};
        });
        const auto failsafe = co_await ask("GET", "/failsafe");
        EXPECT_EQ(failsafe.body, R"({"pg-0": "http://10.0.0.1:8008/patroni"})");
    });
}

TEST_F(ServerTest, LivenessReadinessAndMetricsAnswerHeadAsGet) {
    with_api([&]() -> Task<void> {
        for (const auto* path : {"/liveness", "/readiness", "/metrics", "/patroni"}) {
            EXPECT_EQ(co_await get(path), 200) << path;
            EXPECT_EQ(co_await code("HEAD", path), 200) << path;
            EXPECT_EQ(co_await code("OPTIONS", path), 200) << path;
        }
        const auto metrics = co_await ask("GET", "/metrics");
        EXPECT_TRUE(header(metrics, "Content-Type").starts_with("text/plain"));
        EXPECT_NE(metrics.body.find("patroni_primary{scope=\"batman\",name=\"pg-0\"} 1"),
                  std::string::npos)
            << metrics.body;
        control.change().next_look = control.at - 10min;
        EXPECT_EQ(co_await get("/liveness"), 503);
    });
}

TEST_F(ServerTest, OrdersReachTheAgent) {
    with_api([&]() -> Task<void> {
        EXPECT_EQ(co_await code("POST", "/switchover", R"({"leader":"pg-0","candidate":"pg-1"})"),
                  200);
        EXPECT_EQ(co_await code("POST", "/failover", R"({"candidate":"pg-1"})"), 200);
        EXPECT_EQ(co_await code("DELETE", "/switchover"), 200);
        EXPECT_EQ(co_await code("POST", "/restart"), 200);
        EXPECT_EQ(co_await code("DELETE", "/restart"), 200);
        EXPECT_EQ(co_await code("POST", "/reinitialize", R"({"force":true})"), 200);
        EXPECT_EQ(co_await code("PATCH", "/config", R"({"ttl":20})"), 200);
        EXPECT_EQ(co_await code("PUT", "/config", R"({"ttl":30})"), 200);
        EXPECT_EQ(co_await code("POST", "/reload"), 200);
        EXPECT_EQ(co_await code("POST", "/sigterm"), 202);
        const auto safe = co_await ask("POST", "/failsafe", R"({"name":"pg-0"})");
        EXPECT_EQ(header(safe, "lsn"), "67108960");
        const std::vector<std::string> expected = {"switchover pg-0>pg-1",
                                                   "failover >pg-1",
                                                   "cancel switchover",
                                                   "restart",
                                                   "cancel restart",
                                                   "reinitialize force",
                                                   R"(patch {"ttl":20})",
                                                   R"(put {"ttl":30})",
                                                   "reload",
                                                   R"(failsafe {"name":"pg-0"})"};
        EXPECT_EQ(control.orders, expected);
    });
}

TEST_F(ServerTest, TheAgentsAnswerIsPassedOn) {
    control.reply = {412, "leader name does not match"};
    with_api([&]() -> Task<void> {
        const auto answer = co_await ask("POST", "/switchover", R"({"leader":"pg-9"})");
        EXPECT_EQ(answer.status, 412);
        EXPECT_EQ(answer.body, "leader name does not match");
        control.reply = {200, R"({"ttl": 20})"};
        const auto config = co_await ask("PATCH", "/config", R"({"ttl":20})");
        EXPECT_EQ(header(config, "Content-Type"), "application/json");
    });
}

TEST_F(ServerTest, BadInputIsRefusedWithAReasonAndNothingIsOrdered) {
    struct Bad {
        const char* method;
        const char* path;
        std::optional<std::string> body;
        int status;
    };
    const std::vector<Bad> all = {
        {"POST", "/switchover", std::nullopt, 411},
        {"PATCH", "/config", std::nullopt, 411},
        {"PUT", "/config", "", 400},
        {"PATCH", "/config", "ttl=20", 400},
        {"PATCH", "/config", "[1]", 400},
        {"PATCH", "/config", "{}", 400},
        {"POST", "/switchover", "{}", 400},
        {"POST", "/switchover", R"({"candidate":"b"})", 400},
        {"POST", "/restart", R"({"x":1})", 400},
        {"POST", "/restart", R"({"schedule":"x"})", 422},
        {"POST", "/nonsense", "{}", 501},
        {"PUT", "/switchover", "{}", 501},
        {"DELETE", "/config", std::nullopt, 501},
        {"PATCH", "/", "{}", 501},
        {"BREW", "/config", std::nullopt, 501},
        {"POST", "/citus", "{}", 501},
        {"PATCH", "/config", std::string(2'000'000, 'x'), 413},
    };
    with_api([&]() -> Task<void> {
        for (const auto& bad : all) {
            const auto answer = co_await ask(bad.method, bad.path, bad.body);
            EXPECT_EQ(answer.status, bad.status) << bad.method << bad.path << answer.body;
            EXPECT_FALSE(answer.body.empty()) << bad.method << bad.path;
        }
        EXPECT_TRUE(control.orders.empty());
    });
}

TEST_F(ServerTest, OrdersNeedTheCredentialsAndLooksDoNot) {
    options.authentication = net::Credentials{"admin", "s3cret"};
    with_api([&]() -> Task<void> {
        EXPECT_EQ(co_await get("/patroni"), 200);
        const auto without = co_await ask("POST", "/reload");
        EXPECT_EQ(without.status, 401);
        EXPECT_EQ(header(without, "WWW-Authenticate"), "Basic realm=\"Patroni\"");
        for (const auto* wrong :
             {"Basic", "Basic ", "Basic YWRtaW46d3Jvbmc=", "Bearer YWRtaW46czNjcmV0", "x"}) {
            net::Headers headers = {{"Authorization", wrong}};
            const auto answer = co_await ask("POST", "/reload", std::nullopt, headers);
            EXPECT_EQ(answer.status, 401) << wrong;
        }
        EXPECT_TRUE(control.orders.empty());
        client_options.credentials = options.authentication;
        EXPECT_EQ(co_await code("POST", "/reload"), 200);
    });
}

TEST_F(ServerTest, TheAllowlistTakesAddressesNetworksAndNames) {
    struct Entry {
        const char* text;
        int status;
    };
    for (const auto& [text, status] : {Entry{"127.0.0.1", 200},
                                       {"127.0.0.0/8", 200},
                                       {"127.0.0.7/29", 200},
                                       {"localhost", 200},
                                       {"10.0.0.1", 403},
                                       {"10.0.0.0/8", 403},
                                       {"::1/128", 403},
                                       {"no-such-host.invalid", 403}}) {
        options.allowlist = {text};
        with_api([&, expected = status, shown = text]() -> Task<void> {
            EXPECT_EQ(co_await code("POST", "/reload"), expected) << shown;
            EXPECT_EQ(co_await get("/patroni"), 200) << shown;
        });
    }
}

TEST_F(ServerTest, MembersMayBeAllowedByTheirApiUrl) {
    options.allowlist_include_members = true;
    with_api([&]() -> Task<void> {
        EXPECT_EQ(co_await code("POST", "/reload"), 403);
        EXPECT_EQ(co_await code("POST", "/failsafe", R"({"name":"x"})"), 200);
        testing::change_snapshot(control.change(), [](cluster::Snapshot& snapshot) {
            snapshot.members["pg-1"].api_url = "http://localhost:8008/patroni";
        });
        EXPECT_EQ(co_await code("POST", "/reload"), 200);
    });
}

TEST_F(ServerTest, ExtraHeadersAndServerTokensAreAsConfigured) {
    options.http_extra_headers = {{"X-Frame-Options", "SAMEORIGIN"}};
    options.https_extra_headers = {{"Strict-Transport-Security", "max-age=1"}};
    options.server_tokens = "Minimal";
    with_api([&]() -> Task<void> {
        const auto answer = co_await ask("GET", "/primary");
        EXPECT_EQ(header(answer, "X-Frame-Options"), "SAMEORIGIN");
        EXPECT_EQ(header(answer, "Strict-Transport-Security"), "<none>");
        EXPECT_EQ(header(answer, "Server"), "Patroni/4.1.4");
    });
}

TEST_F(ServerTest, OverTlsAnOptionalCertificateIsNeededForOrdersOnly) {
    net::testing::Authority authority;
    authority.issue("pg-0");
    authority.issue("operator");
    options.tls = {.certfile = authority.cert("pg-0"),
                   .keyfile = authority.key("pg-0"),
                   .keyfile_password = {},
                   .cafile = authority.ca(),
                   .ciphers = {},
                   .verify_client = net::VerifyClient::optional};
    options.https_extra_headers = {{"Strict-Transport-Security", "max-age=1"}};
    client_options.tls.cafile = authority.ca();
    with_api([&]() -> Task<void> {
        const auto look = co_await ask("GET", "/primary");
        EXPECT_EQ(look.status, 200) << look.body;
        EXPECT_EQ(header(look, "Strict-Transport-Security"), "max-age=1");
        EXPECT_EQ(co_await code("POST", "/reload"), 403);
        client_options.tls.certfile = authority.cert("operator");
        client_options.tls.keyfile = authority.key("operator");
        EXPECT_EQ(co_await code("POST", "/reload"), 200);
    });
}

TEST_F(ServerTest, AReloadMayTurnAuthenticationOnAndABadOneChangesNothing) {
    with_api([&]() -> Task<void> {
        EXPECT_EQ(co_await code("POST", "/reload"), 200);
        auto changed = options;
        changed.authentication = net::Credentials{"a", "b"};
        changed.listen = fmt::format("127.0.0.1:{}", api->port());
        EXPECT_TRUE(co_await api->apply(changed));
        EXPECT_EQ(co_await code("POST", "/reload"), 401);
        auto bad = changed;
        bad.authentication.reset();
        bad.tls.certfile = "/nonexistent/certificate";
        EXPECT_FALSE(co_await api->apply(bad));
        EXPECT_EQ(co_await code("POST", "/reload"), 401);
        EXPECT_EQ(co_await get("/primary"), 200);
    });
}

TEST_F(ServerTest, PeersUnderstandOneAnother) {
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

TEST_F(ServerTest, APulseIsAnsweredAndItsConnectionKept) {
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

TEST_F(ServerTest, WalOfACrashedPrimaryIsGivenByteByByte) {
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
