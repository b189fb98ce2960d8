#include "rest/server.h"

#include <algorithm>

#include "rest/orders.h"
#include "rest/test_api.h"

namespace relevo::rest {
namespace {

using testing::view_of_primary;
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

TEST_F(ServerTest, TheRepositoryIsShownAndItsErrorsAreSaid) {
    control.repository->stanza = "main";
    with_api([&]() -> Task<void> {
        const auto shown = co_await ask("GET", "/backup");
        EXPECT_EQ(shown.status, 200);
        EXPECT_EQ(header(shown, "Content-Type"), "application/json");
        EXPECT_NE(shown.body.find(R"("stanza":"main")"), std::string::npos) << shown.body;
        control.repository = fail(ErrorCode::denied, "wrong passphrase");
        const auto refused = co_await ask("GET", "/backup");
        EXPECT_EQ(refused.status, 503);
        EXPECT_EQ(refused.body, "wrong passphrase");
        control.repository = fail(ErrorCode::invalid, "no section");
        EXPECT_EQ(co_await get("/backup"), 404);
    });
}

TEST_F(ServerTest, ACheckOfTheRepositoryIsAnOrder) {
    options.authentication = net::Credentials{"admin", "secret"};
    with_api([&]() -> Task<void> {
        EXPECT_EQ(co_await code("POST", "/backup/check"), 401);
        client_options.credentials = options.authentication;
        EXPECT_EQ(co_await code("POST", "/backup/check"), 200);
        EXPECT_EQ(control.orders, std::vector<std::string>{"check backups"});
        EXPECT_EQ(co_await code("POST", "/backup/else"), 404);
    });
}

TEST_F(ServerTest, ARestoreIsAnOrderAndItsStateIsShown) {
    options.authentication = net::Credentials{"admin", "secret"};
    with_api([&]() -> Task<void> {
        const auto shown = co_await ask("GET", "/restore");
        EXPECT_EQ(shown.body, R"({"state":"none"})");
        EXPECT_EQ(co_await code("POST", "/restore"), 401);
        EXPECT_EQ(co_await code("DELETE", "/restore"), 401);
        client_options.credentials = options.authentication;
        EXPECT_EQ(co_await code("POST", "/restore"), 411);
        const auto wrong = co_await ask("POST", "/restore", R"({"to":"yesterday"})");
        EXPECT_EQ(wrong.status, 400);
        const auto begun = co_await ask("POST", "/restore", R"({"latest":true,"into":"/srv/x"})");
        EXPECT_EQ(begun.status, 200);
        EXPECT_EQ(co_await code("DELETE", "/restore"), 200);
        EXPECT_EQ(control.orders,
                  (std::vector<std::string>{"restore the end of the archive  into /srv/x",
                                            "cancel restore"}));
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
        EXPECT_EQ(co_await code("DELETE", "/corruption"), 200);
        EXPECT_EQ(co_await code("POST", "/amcheck"), 200);
        EXPECT_EQ(co_await code("DELETE", "/amcheck"), 200);
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
                                                   "forget corruption",
                                                   "start amcheck",
                                                   "end amcheck",
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

}  // namespace
}  // namespace relevo::rest
