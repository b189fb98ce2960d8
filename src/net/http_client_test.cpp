#include "net/http_client.h"

#include <fmt/core.h>

#include <thread>

#include "net/http_server.h"
#include "net/test_support.h"

namespace relevo::net {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using testing::Loop;

struct HttpClientTest : ::testing::Test {
    Loop loop;
    HttpClient client{loop.io, loop.pool, {}};
    asio::ip::tcp::acceptor acceptor{loop.io, {asio::ip::address_v4::loopback(), 0}};
    std::string url = fmt::format("http://127.0.0.1:{}/x", acceptor.local_endpoint().port());

    // One connection: reads what comes first, answers with these bytes, and closes (or never does).
    Task<std::string> serve_once(std::string bytes, bool close = true) {
        auto [bad, socket] = co_await acceptor.async_accept(testing::awaiting);
        std::string text(65536, '\0');
        const auto [unread, size] =
            co_await socket.async_read_some(asio::buffer(text), testing::awaiting);
        text.resize(size);
        (void)co_await asio::async_write(socket, asio::buffer(bytes), testing::awaiting);
        if (!close)
            (void)co_await socket.async_wait(asio::ip::tcp::socket::wait_error, testing::awaiting);
        co_return text;
    }
    std::string asked;
    void serve(std::string bytes, bool close = true) {
        asio::co_spawn(
            loop.io, serve_once(std::move(bytes), close),
            [this](const std::exception_ptr&, std::string text) { asked = std::move(text); });
    }
    Result<ClientResponse> ask(ClientRequest request, Duration deadline = 5s) {
        Result<ClientResponse> answer = fail(ErrorCode::failed, "not asked");
        auto all = [&]() -> Task<void> {
            answer = co_await client.request(std::move(request), deadline);
        };
        loop.run(all());
        return answer;
    }
    ClientRequest get() const { return {.method = "GET", .url = url, .headers = {}, .body = {}}; }
};

TEST_F(HttpClientTest, AnAnswerIsReadWithItsHeaders) {
    serve("HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\nLSN: 67108960\r\n\r\nok");
    const auto answer = ask(get());
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(answer->status, 202);
    EXPECT_EQ(answer->body, "ok");
    EXPECT_EQ(*find_header(answer->headers, "lsn"), "67108960");
    EXPECT_TRUE(asked.starts_with("GET /x HTTP/1.1\r\nHost: 127.0.0.1:")) << asked;
}

// Two requests, one connection: the second has no connection of its own to be accepted.
TEST_F(HttpClientTest, AConnectionIsKeptForWhoAsksForIt) {
    HttpServer server(loop.io, loop.pool, [](Request request) -> Task<Response> {
        co_return Response{.status = 200, .content_type = {}, .headers = {}, .body = request.path};
    });
    loop.run([&]() -> Task<void> {
        EXPECT_TRUE(co_await server.apply({.listen = "127.0.0.1:0", .tls = {}}));
        const auto there = fmt::format("http://127.0.0.1:{}/", server.port());
        for (const char* path : {"a", "b", "c"}) {
            ClientRequest request{
                .method = "POST", .url = there + path, .headers = {}, .body = "{}", .keep = true};
            const auto answer = co_await client.request(request, 5s);
            EXPECT_TRUE(answer && answer->body == std::string("/") + path);
            EXPECT_EQ(server.connections(), 1U);
        }
        // A server that went away is an error like any other, and a new one is found again.
        co_await server.stop(0ms);
        ClientRequest request{
            .method = "POST", .url = there + "d", .headers = {}, .body = "{}", .keep = true};
        EXPECT_FALSE(co_await client.request(request, 1s));
    }());
}

// What was asked last long ago is asked at once all the same.
TEST_F(HttpClientTest, AKeptConnectionThatTheServerClosedIsNotUsed) {
    HttpServer server(loop.io, loop.pool, [](Request) -> Task<Response> {
        co_return Response{.status = 200, .content_type = {}, .headers = {}, .body = "ok"};
    });
    loop.run([&]() -> Task<void> {
        EXPECT_TRUE(
            co_await server.apply({.listen = "127.0.0.1:0", .tls = {}, .idle_timeout = 20ms}));
        const auto there = fmt::format("http://127.0.0.1:{}/", server.port());
        for (int round = 0; round < 3; ++round) {
            ClientRequest request{
                .method = "POST", .url = there, .headers = {}, .body = "{}", .keep = true};
            const auto answer = co_await client.request(request, 5s);
            EXPECT_TRUE(answer) << answer.error().message;
            asio::steady_timer timer(loop.io);
            for (int look = 0; look < 1000 && server.connections() > 0; ++look) {
                timer.expires_after(5ms);
                (void)co_await timer.async_wait(testing::awaiting);
            }
            EXPECT_EQ(server.connections(), 0U);
        }
        co_await server.stop(0ms);
    }());
}

TEST_F(HttpClientTest, PatronisBareStatusLineIsAnAnswer) {
    serve("HTTP/1.0 503 Service Unavailable\r\n\r\n");
    const auto answer = ask(get());
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(answer->status, 503);
}

TEST_F(HttpClientTest, ABodyWithoutALengthEndsWithTheConnection) {
    serve("HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{\"state\": \"running\"}");
    const auto answer = ask(get());
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(answer->body, "{\"state\": \"running\"}");
}

TEST_F(HttpClientTest, CredentialsAndBodyAreSent) {
    ClientOptions options;
    options.credentials = Credentials{"admin", "s3cret"};
    client.set_options(options);
    serve("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    auto request = get();
    request.method = "POST";
    request.body = "{}";
    ASSERT_TRUE(ask(request));
    EXPECT_NE(asked.find("\r\nAuthorization: Basic YWRtaW46czNjcmV0\r\n"), asked.npos) << asked;
    EXPECT_NE(asked.find("\r\nContent-Length: 2\r\n"), asked.npos);
    EXPECT_TRUE(asked.ends_with("\r\n\r\n{}"));
}

TEST_F(HttpClientTest, ARefusedConnectionIsUnavailable) {
    acceptor.close();
    const auto answer = ask(get());
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, ErrorCode::unavailable);
    EXPECT_NE(answer.error().message.find("cannot connect to 127.0.0.1:"), std::string::npos);
}

TEST_F(HttpClientTest, ASilentServerIsLeftAtTheDeadline) {
    serve("", false);
    const auto begun = std::chrono::steady_clock::now();
    const auto answer = ask(get(), 200ms);
    const auto took = std::chrono::steady_clock::now() - begun;
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, ErrorCode::outcome_unknown);
    EXPECT_GE(took, 190ms);
    EXPECT_LT(took, 2s);
}

TEST_F(HttpClientTest, AHalfAnswerIsNone) {
    for (const auto* bytes : {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "HTTP/1.1 200",
                              "", "nonsense\r\n\r\n"}) {
        serve(bytes);
        const auto answer = ask(get());
        ASSERT_FALSE(answer) << bytes;
        EXPECT_EQ(answer.error().code, ErrorCode::outcome_unknown);
    }
}

TEST_F(HttpClientTest, AnAnswerThatIsTooLongIsNotTaken) {
    ClientOptions options;
    options.body_bytes_max = 10;
    client.set_options(options);
    serve("HTTP/1.1 200 OK\r\n\r\n" + std::string(100, 'x'));
    EXPECT_FALSE(ask(get()));
}

TEST_F(HttpClientTest, ANameThatDoesNotExistIsUnavailable) {
    auto request = get();
    request.url = "http://no-such-host.invalid:80/";
    const auto answer = ask(request);
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, ErrorCode::unavailable);
    EXPECT_NE(answer.error().message.find("no-such-host.invalid"), std::string::npos);
}

TEST_F(HttpClientTest, ABadUrlAndASmuggledHeaderAreInvalid) {
    auto request = get();
    request.url = "patroni";
    EXPECT_EQ(ask(request).error().code, ErrorCode::invalid);
    request = get();
    request.headers.push_back({"X", "a\r\nY: b"});
    EXPECT_EQ(ask(request).error().code, ErrorCode::invalid);
}

TEST_F(HttpClientTest, TheBlockingWrapperNeedsNoLoop) {
    HttpServer server(loop.io, loop.pool, [](Request request) -> Task<Response> {
        co_return Response{
            .status = 200, .content_type = {}, .headers = {}, .body = request.method};
    });
    Result<ClientResponse> answer = fail(ErrorCode::failed, "not asked");
    auto all = [&]() -> Task<void> {
        ServerOptions options;
        options.listen = "127.0.0.1:0";
        EXPECT_TRUE(co_await server.apply(options));
        ClientRequest request{.method = "DELETE",
                              .url = fmt::format("http://localhost:{}/", server.port()),
                              .headers = {},
                              .body = {}};
        bool done = false;
        asio::steady_timer ready(loop.io, asio::steady_timer::time_point::max());
        std::jthread other([&, request] {
            auto got = request_blocking({}, request, 5s);
            asio::post(loop.io, [&, got = std::move(got)] {
                answer = got;
                done = true;
                ready.cancel();
            });
        });
        if (!done) (void)co_await ready.async_wait(testing::awaiting);
        co_await server.stop();
    };
    loop.run(all());
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(answer->body, "DELETE");
}

}  // namespace
}  // namespace relevo::net
