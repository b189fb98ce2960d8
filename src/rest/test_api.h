// For tests only: the real API over loopback, a fake agent behind it, the real client before it.
#pragma once

#include <fmt/core.h>

#include <string>

#include "net/http_client.h"
#include "net/test_support.h"
#include "rest/fake_control.h"
#include "rest/server.h"

namespace relevo::rest::testing {

struct ApiTest : ::testing::Test {
    net::testing::Loop loop;
    FakeControl control;
    RestOptions options = [] {
        RestOptions made;
        made.listen = "127.0.0.1:0";
        made.relevo_version = "0.1.0";
        return made;
    }();
    std::unique_ptr<RestApi> api;
    net::ClientOptions client_options;

    // Starts the API with `options`, runs the body, stops it.
    template <class Body>
    void with_api(Body body) {
        api = std::make_unique<RestApi>(loop.io, loop.pool, control, options);
        auto all = [&]() -> Task<void> {
            const auto started = co_await api->start();
            EXPECT_TRUE(started) << started.error().message;
            if (started) co_await body();
            co_await api->stop();
        };
        loop.run(all());
    }

    Task<net::ClientResponse> ask(std::string method, std::string path,
                                  std::optional<std::string> body = std::nullopt,
                                  net::Headers headers = {}) {
        net::HttpClient client(loop.io, loop.pool, client_options);
        net::ClientRequest request{
            .method = method,
            .url = fmt::format("{}://127.0.0.1:{}{}", options.tls.on() ? "https" : "http",
                               api->port(), path),
            .headers = std::move(headers),
            .body = std::move(body)};
        auto answer = co_await client.request(std::move(request), std::chrono::seconds{5});
        if (!answer)
            co_return net::ClientResponse{
                .status = 0, .headers = {}, .body = answer.error().message};
        co_return std::move(*answer);
    }
    Task<int> code(std::string method, std::string path,
                   std::optional<std::string> body = std::nullopt) {
        const auto answer = co_await ask(std::move(method), std::move(path), std::move(body));
        co_return answer.status;
    }
    Task<int> get(std::string path) {
        const auto status = co_await code("GET", std::move(path));
        co_return status;
    }
};

}  // namespace relevo::rest::testing
