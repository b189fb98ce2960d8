#include "net/tls.h"

#include <fmt/core.h>

#include <filesystem>

#include "net/http_client.h"
#include "net/http_server.h"
#include "net/test_support.h"

namespace relevo::net {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using testing::Authority;
using testing::Loop;

Task<Response> tell(Request request) {
    co_return Response{.status = 200,
                       .content_type = "text/plain",
                       .headers = {},
                       .body = request.client_cert_verified ? "verified" : "stranger"};
}

struct TlsTest : ::testing::Test {
    static Authority& authority() {
        static Authority made = [] { return Authority(); }();
        return made;
    }
    static void SetUpTestSuite() {
        authority().issue("server");
        authority().issue("client");
        authority().issue("elsewhere", "DNS:elsewhere.example");
        other().issue("client");
    }
    static Authority& other() {
        static Authority made;
        return made;
    }

    Loop loop;
    HttpServer server{loop.io, loop.pool, tell};

    static ServerOptions options(VerifyClient verify) {
        ServerOptions made;
        made.listen = "127.0.0.1:0";
        made.tls = {.certfile = authority().cert("server"),
                    .keyfile = authority().key("server"),
                    .keyfile_password = {},
                    .cafile = authority().ca(),
                    .ciphers = {},
                    .verify_client = verify};
        return made;
    }
    static ClientTls trusting() {
        return {.cafile = authority().ca(),
                .certfile = {},
                .keyfile = {},
                .keyfile_password = {},
                .insecure = false};
    }
    static ClientTls certified(Authority& by) {
        auto tls = trusting();
        tls.certfile = by.cert("client");
        tls.keyfile = by.key("client");
        return tls;
    }

    Task<Result<ClientResponse>> get(ClientTls tls, std::string host = "127.0.0.1") {
        ClientOptions client_options;
        client_options.tls = std::move(tls);
        HttpClient client(loop.io, loop.pool, client_options);
        ClientRequest request;
        request.url = fmt::format("https://{}:{}/", host, server.port());
        auto answer = co_await client.request(std::move(request), 5s);
        co_return answer;
    }
    Task<std::string> body(ClientTls tls, std::string host = "127.0.0.1") {
        const auto answer = co_await get(std::move(tls), std::move(host));
        co_return answer ? answer->body : "<" + answer.error().message + ">";
    }

    template <class Body>
    void with(ServerOptions start, Body run) {
        auto all = [&]() -> Task<void> {
            const auto started = co_await server.apply(start);
            EXPECT_TRUE(started) << started.error().message;
            if (started) co_await run();
            co_await server.stop();
        };
        loop.run(all());
    }
};

TEST_F(TlsTest, AClientVerifiesTheServersChainAndName) {
    with(options(VerifyClient::none), [&]() -> Task<void> {
        EXPECT_EQ(co_await body(trusting()), "stranger");
        EXPECT_EQ(co_await body(trusting(), "localhost"), "stranger");
        auto stranger = trusting();
        stranger.cafile = other().ca();
        EXPECT_TRUE((co_await body(stranger)).starts_with("<cannot agree on TLS"));
    });
}

TEST_F(TlsTest, InsecureWithoutACertificateVerifiesNothing) {
    with(options(VerifyClient::none), [&]() -> Task<void> {
        ClientTls insecure;
        insecure.insecure = true;
        EXPECT_EQ(co_await body(insecure), "stranger");
    });
}

TEST_F(TlsTest, InsecureWithACertificateVerifiesTheChainButNotTheName) {
    auto elsewhere = options(VerifyClient::none);
    elsewhere.tls.certfile = authority().cert("elsewhere");
    elsewhere.tls.keyfile = authority().key("elsewhere");
    with(elsewhere, [&]() -> Task<void> {
        EXPECT_TRUE((co_await body(certified(authority()))).starts_with("<cannot agree on TLS"));
        auto lax = certified(authority());
        lax.insecure = true;
        EXPECT_EQ(co_await body(lax), "stranger");
        lax.cafile = other().ca();
        EXPECT_TRUE((co_await body(lax)).starts_with("<cannot agree on TLS"));
    });
}

TEST_F(TlsTest, ARequiredClientCertificateIsRequired) {
    with(options(VerifyClient::required), [&]() -> Task<void> {
        EXPECT_EQ(co_await body(certified(authority())), "verified");
        EXPECT_FALSE(co_await get(trusting()));
        EXPECT_FALSE(co_await get(certified(other())));
    });
}

TEST_F(TlsTest, AnOptionalClientCertificateIsSeenWhenGiven) {
    with(options(VerifyClient::optional), [&]() -> Task<void> {
        EXPECT_EQ(co_await body(certified(authority())), "verified");
        EXPECT_EQ(co_await body(trusting()), "stranger");
        EXPECT_FALSE(co_await get(certified(other())));
    });
}

TEST_F(TlsTest, AClientThatSpeaksPlainHttpIsClosed) {
    with(options(VerifyClient::none), [&]() -> Task<void> {
        const auto answer =
            co_await testing::raw_exchange(loop.io, server.port(), "GET / HTTP/1.0\r\n\r\n");
        EXPECT_EQ(answer.find("HTTP/"), answer.npos) << answer;
        EXPECT_EQ(answer.find("<timeout>"), answer.npos);
    });
}

TEST_F(TlsTest, AChangedCertificateIsTakenWithoutDroppingTheListener) {
    auto moving = options(VerifyClient::none);
    namespace fs = std::filesystem;
    const auto replace = fs::copy_options::overwrite_existing;
    moving.tls.certfile = authority().file("live.crt");
    moving.tls.keyfile = authority().file("live.key");
    moving.tls_check_interval = 20ms;
    fs::copy_file(authority().cert("elsewhere"), moving.tls.certfile, replace);
    fs::copy_file(authority().key("elsewhere"), moving.tls.keyfile, replace);
    with(moving, [&]() -> Task<void> {
        const auto port = server.port();
        EXPECT_TRUE((co_await body(trusting())).starts_with("<cannot agree on TLS"));
        // A key that does not fit yet: the old pair stays in use.
        fs::copy_file(authority().key("server"), moving.tls.keyfile, replace);
        EXPECT_FALSE(co_await server.apply(moving));
        fs::copy_file(authority().cert("server"), moving.tls.certfile, replace);
        std::string seen;
        const auto begun = std::chrono::steady_clock::now();
        while (seen != "stranger" && std::chrono::steady_clock::now() - begun < 5s) {
            seen = co_await body(trusting());
        }
        EXPECT_EQ(seen, "stranger");
        EXPECT_EQ(server.port(), port);
    });
}

TEST_F(TlsTest, BadFilesAreNamed) {
    auto all = [&]() -> Task<void> {
        auto missing = options(VerifyClient::none);
        missing.tls.certfile = authority().file("missing.crt");
        const auto refused = co_await server.apply(missing);
        EXPECT_FALSE(refused);
        if (!refused) EXPECT_NE(refused.error().message.find("missing.crt"), std::string::npos);
        auto foreign = options(VerifyClient::none);
        foreign.tls.keyfile = authority().key("client");
        EXPECT_FALSE(co_await server.apply(foreign));
        auto unverifiable = options(VerifyClient::required);
        unverifiable.tls.cafile.clear();
        EXPECT_FALSE(co_await server.apply(unverifiable));
        auto ciphers = options(VerifyClient::none);
        ciphers.tls.ciphers = "NO-SUCH-CIPHER";
        EXPECT_FALSE(co_await server.apply(ciphers));
        EXPECT_EQ(server.port(), 0);
    };
    loop.run(all());
}

}  // namespace
}  // namespace relevo::net
