#include "net/http_server.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <filesystem>

#include "net/http_client.h"
#include "net/test_support.h"

namespace relevo::net {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using testing::Loop;
using testing::raw_exchange;

// Answers with what it was asked.
Task<Response> echo(Request request) {
    std::string body = request.method + " " + request.path;
    for (const auto& item : request.query) body += " " + item.name + "=" + item.value;
    if (request.has_body) body += " [" + request.body + "]";
    co_return Response{.status = 200, .content_type = "text/plain", .headers = {}, .body = body};
}

ServerOptions local() {
    ServerOptions options;
    options.listen = "127.0.0.1:0";
    return options;
}

int count(std::string_view text, std::string_view part) {
    int found = 0;
    for (auto at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++found;
    return found;
}

struct HttpServerTest : ::testing::Test {
    Loop loop;
    HttpServer server{loop.io, loop.pool, echo};

    // Starts the server, runs the body, and stops the server, whatever the body's outcome.
    template <class Body>
    void with(ServerOptions options, Body body) {
        auto all = [&]() -> Task<void> {
            const auto started = co_await server.apply(options);
            EXPECT_TRUE(started) << started.error().message;
            if (started) co_await body();
            co_await server.stop();
            EXPECT_EQ(server.connections(), 0U);
        };
        loop.run(all());
    }
};

TEST_F(HttpServerTest, AnOldClientGetsAnAnswerWithItsLengthAndTheEnd) {
    with(local(), [&]() -> Task<void> {
        const auto answer =
            co_await raw_exchange(loop.io, server.port(), "GET /primary?lag=1 HTTP/1.0\r\n\r\n");
        EXPECT_TRUE(answer.starts_with("HTTP/1.0 200 OK\r\n")) << answer;
        EXPECT_NE(answer.find("\r\nContent-Length: 18\r\n"), answer.npos) << answer;
        EXPECT_TRUE(answer.ends_with("\r\n\r\nGET /primary lag=1")) << answer;
    });
}

TEST_F(HttpServerTest, AnOldClientThatWantsToKeepTheConnectionIsStillClosed) {
    with(local(), [&]() -> Task<void> {
        const auto answer = co_await raw_exchange(
            loop.io, server.port(), "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        EXPECT_TRUE(answer.ends_with("GET /")) << answer;
    });
}

TEST_F(HttpServerTest, CloseIsAnsweredWithClose) {
    with(local(), [&]() -> Task<void> {
        const auto answer = co_await raw_exchange(
            loop.io, server.port(), "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
        EXPECT_NE(answer.find("\r\nConnection: close\r\n"), answer.npos) << answer;
    });
}

TEST_F(HttpServerTest, PipelinedRequestsAreAnsweredInOrder) {
    with(local(), [&]() -> Task<void> {
        const auto answer =
            co_await raw_exchange(loop.io, server.port(),
                                  "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nPOST /2 HTTP/1.1\r\nHost: "
                                  "x\r\nContent-Length: 2\r\n\r\nab"
                                  "GET /3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        EXPECT_EQ(count(answer, "HTTP/1.1 200 OK"), 3) << answer;
        EXPECT_LT(answer.find("GET /1"), answer.find("POST /2 [ab]"));
        EXPECT_LT(answer.find("POST /2 [ab]"), answer.find("GET /3"));
    });
}

TEST_F(HttpServerTest, HeadTellsTheLengthAndSendsNoBody) {
    with(local(), [&]() -> Task<void> {
        const auto answer =
            co_await raw_exchange(loop.io, server.port(), "HEAD /x HTTP/1.0\r\n\r\n");
        EXPECT_NE(answer.find("\r\nContent-Length: 7\r\n"), answer.npos) << answer;
        EXPECT_TRUE(answer.ends_with("\r\n\r\n")) << answer;
    });
}

TEST_F(HttpServerTest, AChunkedBodyIsPutTogether) {
    with(local(), [&]() -> Task<void> {
        const auto answer = co_await raw_exchange(
            loop.io, server.port(),
            "POST /c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
        EXPECT_TRUE(answer.ends_with("POST /c [abcde]")) << answer;
    });
}

TEST_F(HttpServerTest, AClientThatWaitsForPermissionToSendGetsIt) {
    with(local(), [&]() -> Task<void> {
        const auto answer = co_await raw_exchange(
            loop.io, server.port(),
            "POST /e HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\n"
            "Content-Length: 3\r\n\r\nabc");
        EXPECT_TRUE(answer.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")) << answer;
    });
}

struct Refusal {
    const char* name;
    std::string bytes;
    int status;
};

TEST_F(HttpServerTest, WhatIsNoRequestIsRefusedWithAReason) {
    auto options = local();
    options.header_bytes_max = 2048;
    options.body_bytes_max = 1000;
    const std::string long_header = "GET / HTTP/1.1\r\nX: " + std::string(4000, 'x') + "\r\n\r\n";
    const std::vector<Refusal> refusals = {
        {"no http at all", "\x16\x03\x01 hello\r\n\r\n", 400},
        {"no version", "GET /\r\n\r\n", 400},
        {"unknown version", "GET / HTTP/9.9\r\n\r\n", 400},
        {"truncated", "GET / HTTP/1.1\r\nHost:", 400},
        {"truncated body", "POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc", 400},
        {"huge header", long_header, 431},
        {"endless header", "GET /" + std::string(5000, 'x'), 431},
        {"huge body announced", "POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n", 413},
        {"huge body sent",
         "POST / HTTP/1.1\r\nContent-Length: 5000\r\n\r\n" + std::string(5000, 'x'), 413},
        {"huge chunk",
         "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n" + std::string(4095, 'x'),
         413},
        {"bad chunk", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n", 400},
        {"bad length", "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400},
        {"two lengths", "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400},
    };
    with(options, [&]() -> Task<void> {
        for (const auto& refusal : refusals) {
            const auto answer = co_await raw_exchange(loop.io, server.port(), refusal.bytes, true);
            EXPECT_EQ(count(answer, fmt::format(" {} ", refusal.status)), 1)
                << refusal.name << ": " << answer;
            EXPECT_NE(answer.find("\r\n\r\nthe request"), answer.npos)
                << refusal.name << ": " << answer;
        }
    });
}

TEST_F(HttpServerTest, AClientThatSendsItsRequestDropByDropIsClosed) {
    auto options = local();
    options.read_timeout = 300ms;
    with(options, [&]() -> Task<void> {
        asio::ip::tcp::socket slow(loop.io);
        const asio::ip::tcp::endpoint where(asio::ip::address_v4::loopback(), server.port());
        const auto [bad] = co_await slow.async_connect(where, testing::awaiting);
        EXPECT_FALSE(bad);
        const auto begun = std::chrono::steady_clock::now();
        asio::steady_timer tick(loop.io);
        bool closed = false;
        while (!closed && std::chrono::steady_clock::now() - begun < 5s) {
            const auto [unsent, size] =
                co_await slow.async_write_some(asio::buffer("G", 1), testing::awaiting);
            closed = unsent.failed();
            tick.expires_after(20ms);
            (void)co_await tick.async_wait(testing::awaiting);
        }
        EXPECT_TRUE(closed);
        EXPECT_LT(std::chrono::steady_clock::now() - begun, 2s);
    });
}

TEST_F(HttpServerTest, SilentClientsMakeRoomForOthers) {
    auto options = local();
    options.connections_max = 8;
    with(options, [&]() -> Task<void> {
        std::vector<asio::ip::tcp::socket> silent;
        const asio::ip::tcp::endpoint where(asio::ip::address_v4::loopback(), server.port());
        for (int i = 0; i < 40; ++i) {
            auto& socket = silent.emplace_back(loop.io);
            const auto [bad] = co_await socket.async_connect(where, testing::awaiting);
            EXPECT_FALSE(bad);
        }
        const auto answer = co_await raw_exchange(loop.io, server.port(), "GET / HTTP/1.0\r\n\r\n");
        EXPECT_TRUE(answer.starts_with("HTTP/1.0 200")) << answer;
        EXPECT_LE(server.connections(), 12U);
    });
}

TEST_F(HttpServerTest, ManyClientsAtOnceAllGetTheirOwnAnswer) {
    with(local(), [&]() -> Task<void> {
        HttpClient client(loop.io, loop.pool, {});
        int open = 200;
        int right = 0;
        asio::steady_timer done(loop.io, asio::steady_timer::time_point::max());
        for (int i = 0; i < 200; ++i) {
            ClientRequest request{.method = "POST",
                                  .url = fmt::format("http://127.0.0.1:{}/n", server.port()),
                                  .headers = {},
                                  .body = fmt::format("{}", i)};
            asio::co_spawn(
                loop.io, client.request(std::move(request), 10s),
                [&, i](const std::exception_ptr& thrown, const Result<ClientResponse>& got) {
                    if (!thrown && got && got->body == fmt::format("POST /n [{}]", i)) ++right;
                    if (--open == 0) done.cancel();
                });
        }
        (void)co_await done.async_wait(testing::awaiting);
        EXPECT_EQ(right, 200);
    });
}

TEST_F(HttpServerTest, AHandlerThatThrowsIsAnErrorOfTheServer) {
    Loop own;
    HttpServer throwing(own.io, own.pool, [](Request) -> Task<Response> {
        throw std::runtime_error("broken");
        co_return Response{};
    });
    auto all = [&]() -> Task<void> {
        EXPECT_TRUE(co_await throwing.apply(local()));
        const auto answer =
            co_await raw_exchange(own.io, throwing.port(), "GET / HTTP/1.0\r\n\r\n");
        EXPECT_TRUE(answer.starts_with("HTTP/1.0 500 ")) << answer;
        EXPECT_EQ(answer.find("broken"), answer.npos);
        co_await throwing.stop();
    };
    own.run(all());
}

TEST_F(HttpServerTest, StopEndsAHandlerThatWaitsForever) {
    Loop own;
    bool asked = false;
    HttpServer waiting(own.io, own.pool, [&](Request) -> Task<Response> {
        asked = true;
        asio::steady_timer never(own.io, asio::steady_timer::time_point::max());
        const auto [bad] = co_await never.async_wait(testing::awaiting);
        co_return Response{
            .status = bad ? 503 : 200, .content_type = {}, .headers = {}, .body = {}};
    });
    auto all = [&]() -> Task<void> {
        EXPECT_TRUE(co_await waiting.apply(local()));
        std::string answer;
        bool ended = false;
        asio::co_spawn(own.io, raw_exchange(own.io, waiting.port(), "GET / HTTP/1.0\r\n\r\n"),
                       [&](const std::exception_ptr&, std::string text) {
                           answer = std::move(text);
                           ended = true;
                       });
        while (!asked) co_await asio::post(own.io, asio::use_awaitable);
        co_await waiting.stop(50ms);
        EXPECT_EQ(waiting.connections(), 0U);
        while (!ended) co_await asio::post(own.io, asio::use_awaitable);
        EXPECT_TRUE(answer.starts_with("HTTP/1.0 503")) << answer;
        const auto after = co_await raw_exchange(own.io, waiting.port(), "GET / HTTP/1.0\r\n\r\n");
        EXPECT_EQ(after, "<cannot connect>");
    };
    own.run(all());
}

TEST_F(HttpServerTest, AnAddressInUseIsSaidAndTheOldListenerStays) {
    with(local(), [&]() -> Task<void> {
        HttpServer other(loop.io, loop.pool, echo);
        auto options = local();
        options.listen = fmt::format("127.0.0.1:{}", server.port());
        const auto refused = co_await other.apply(options);
        EXPECT_FALSE(refused);
        if (!refused)
            EXPECT_NE(refused.error().message.find("another program listens there"),
                      std::string::npos);
        EXPECT_TRUE(co_await other.apply(local()));
        const auto port = other.port();
        EXPECT_FALSE(co_await other.apply(options));
        EXPECT_EQ(other.port(), port);
        const auto answer = co_await raw_exchange(loop.io, port, "GET / HTTP/1.0\r\n\r\n");
        EXPECT_TRUE(answer.starts_with("HTTP/1.0 200")) << answer;
        co_await other.stop();
    });
}

TEST_F(HttpServerTest, TheListenerMovesToAllAddressesOfItsOwnPort) {
    with(local(), [&]() -> Task<void> {
        const auto port = server.port();
        auto options = local();
        options.listen = fmt::format("*:{}", port);
        const auto moved = co_await server.apply(options);
        EXPECT_TRUE(moved) << moved.error().message;
        EXPECT_EQ(server.port(), port);
        const auto answer = co_await raw_exchange(loop.io, port, "GET / HTTP/1.0\r\n\r\n");
        EXPECT_TRUE(answer.starts_with("HTTP/1.0 200")) << answer;
    });
}

TEST_F(HttpServerTest, AProgramThatIsStartedInheritsNoSocket) {
    with(local(), [&]() -> Task<void> {
        asio::ip::tcp::socket open(loop.io);
        const asio::ip::tcp::endpoint where(asio::ip::address_v4::loopback(), server.port());
        const auto [bad] = co_await open.async_connect(where, testing::awaiting);
        EXPECT_FALSE(bad);
        while (server.connections() == 0) co_await asio::post(loop.io, asio::use_awaitable);
        int sockets = 0;
        for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
            std::error_code gone;
            const auto target = std::filesystem::read_symlink(entry.path(), gone).string();
            const int descriptor = std::stoi(entry.path().filename().string());
            if (!target.starts_with("socket:") || descriptor == open.native_handle()) continue;
            int type = 0;
            socklen_t size = sizeof type;
            sockaddr_in name{};
            socklen_t name_size = sizeof name;
            // Only ours: the runner of the tests may have given us sockets of its own.
            if (::getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &size) != 0) continue;
            ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&name), &name_size);
            if (name.sin_family != AF_INET || ntohs(name.sin_port) != server.port()) continue;
            ++sockets;
            EXPECT_NE(::fcntl(descriptor, F_GETFD) & FD_CLOEXEC, 0) << "descriptor " << descriptor;
        }
        EXPECT_EQ(sockets, 2);  // the listener and the connection
    });
}

TEST_F(HttpServerTest, AnIPv4ClientOfADualStackListenerIsSeenAsIPv4) {
    Loop own;
    std::string seen;
    HttpServer dual(own.io, own.pool, [&](Request request) -> Task<Response> {
        seen = request.client_address;
        co_return Response{};
    });
    auto all = [&]() -> Task<void> {
        auto options = local();
        options.listen = ":0";
        EXPECT_TRUE(co_await dual.apply(options));
        co_await raw_exchange(own.io, dual.port(), "GET / HTTP/1.0\r\n\r\n");
        EXPECT_EQ(seen, "127.0.0.1");
        co_await dual.stop();
    };
    own.run(all());
}

}  // namespace
}  // namespace relevo::net
