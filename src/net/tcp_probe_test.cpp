#include "net/tcp_probe.h"

#include <gtest/gtest.h>

#include "net/test_support.h"

namespace relevo::net {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using testing::Loop;

struct TcpProbeTest : ::testing::Test {
    Loop loop;
    asio::ip::tcp::acceptor acceptor{loop.io, {asio::ip::address_v4::loopback(), 0}};

    bool ask(const std::string& host, std::uint16_t port, Duration deadline = 5s) {
        bool answers = false;
        loop.run([&]() -> Task<void> {
            answers = co_await answers_at(loop.io, loop.pool, host, port, "hello", deadline);
        }());
        return answers;
    }
    std::uint16_t port() { return acceptor.local_endpoint().port(); }
    // One connection: hears what is said and answers with this, or says nothing.
    Task<void> serve_once(std::string text) {
        auto [bad, socket] = co_await acceptor.async_accept(testing::awaiting);
        if (bad) co_return;
        std::array<char, 64> heard{};
        (void)co_await socket.async_read_some(asio::buffer(heard), testing::awaiting);
        if (text.empty())
            (void)co_await socket.async_read_some(asio::buffer(heard), testing::awaiting);
        else
            (void)co_await asio::async_write(socket, asio::buffer(text), testing::awaiting);
    }
    void serve(std::string answer) {
        asio::co_spawn(loop.io, serve_once(std::move(answer)), [](const std::exception_ptr&) {});
    }
};

TEST_F(TcpProbeTest, OneByteIsAnAnswer) {
    serve("N");
    EXPECT_TRUE(ask("127.0.0.1", port()));
}

// Accepted by the kernel, and nobody there: a server that is frozen.
TEST_F(TcpProbeTest, SilenceIsNone) {
    serve("");
    EXPECT_FALSE(ask("127.0.0.1", port(), 100ms));
}

TEST_F(TcpProbeTest, NeitherIsARefusalOrANameThatNobodyHas) {
    const auto closed = port();
    acceptor.close();
    EXPECT_FALSE(ask("127.0.0.1", closed));
    EXPECT_FALSE(ask("no-such-host.invalid", closed, 1s));
}

// localhost may be ::1 first, where nobody listens.
TEST_F(TcpProbeTest, EveryAddressOfANameIsTried) {
    serve("N");
    EXPECT_TRUE(ask("localhost", port()));
}

}  // namespace
}  // namespace relevo::net
