#include "dns/link.h"

#include <fmt/format.h>

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "net/resolve.h"

namespace relevo::dns {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {
constexpr auto quietly = asio::as_tuple(asio::use_awaitable);

class TcpLink final : public Link {
public:
    TcpLink(asio::io_context& loop, Server server)
        : server_(std::move(server)), state_(std::make_shared<State>(loop)) {}
    ~TcpLink() override {
        state_->alarm.cancel();
        boost::system::error_code ignored;
        state_->socket.close(ignored);
    }
    TcpLink(const TcpLink&) = delete;
    TcpLink& operator=(const TcpLink&) = delete;

    // One alarm over everything: it closes the socket, and whoever waits for it hears an error.
    void limit(Duration deadline) {
        state_->alarm.expires_after(
            std::chrono::duration_cast<std::chrono::steady_clock::duration>(deadline));
        state_->alarm.async_wait([state = state_](boost::system::error_code error) {
            boost::system::error_code ignored;
            if (!error) state->socket.close(ignored);
        });
    }

    net::Task<Status> connect(asio::ip::address address) {
        const tcp::endpoint endpoint(address, server_.port);
        const auto [error] = co_await state_->socket.async_connect(endpoint, quietly);
        if (error) co_return fail(ErrorCode::unavailable, what(error.message()));
        boost::system::error_code ignored;
        state_->socket.set_option(tcp::no_delay(true), ignored);
        co_return Status{};
    }

    net::Task<Result<std::string>> ask(std::string message) override {
        const std::array<unsigned char, 2> length{
            static_cast<unsigned char>(message.size() >> 8),
            static_cast<unsigned char>(message.size() & 0xff)};
        const std::array parts{asio::buffer(length), asio::const_buffer(asio::buffer(message))};
        const auto [unsent, sent] = co_await asio::async_write(state_->socket, parts, quietly);
        if (unsent) co_return fail(ErrorCode::outcome_unknown, what(unsent.message()));
        std::array<unsigned char, 2> size{};
        const auto [unread, got] =
            co_await asio::async_read(state_->socket, asio::buffer(size), quietly);
        if (unread) co_return fail(ErrorCode::outcome_unknown, what(unread.message()));
        std::string answer(static_cast<std::size_t>(size[0] << 8 | size[1]), '\0');
        const auto [cut, all] =
            co_await asio::async_read(state_->socket, asio::buffer(answer), quietly);
        if (cut) co_return fail(ErrorCode::outcome_unknown, what(cut.message()));
        if (answer.size() < 2 || answer.compare(0, 2, message, 0, 2) != 0)
            co_return fail(ErrorCode::outcome_unknown, what("an answer to another question"));
        co_return answer;
    }

private:
    struct State {
        explicit State(asio::io_context& loop) : socket(loop), alarm(loop) {}
        tcp::socket socket;
        asio::steady_timer alarm;
    };
    std::string what(const std::string& problem) const {
        return fmt::format("name server {}: {}", to_string(server_),
                           state_->socket.is_open() ? problem : "no answer in time");
    }

    Server server_;
    std::shared_ptr<State> state_;
};

}  // namespace

std::string to_string(const Server& server) {
    return server.host.contains(':') ? fmt::format("[{}]:{}", server.host, server.port)
                                     : fmt::format("{}:{}", server.host, server.port);
}

net::Task<Result<std::unique_ptr<Link>>> Link::open(asio::io_context& loop, asio::thread_pool& pool,
                                                    Server server, Duration deadline) {
    const auto addresses = co_await net::resolve(loop, pool, server.host, deadline);
    if (!addresses) co_return std::unexpected(addresses.error());
    auto link = std::make_unique<TcpLink>(loop, std::move(server));
    link->limit(deadline);
    const auto connected = co_await link->connect(addresses->front());
    if (!connected) co_return std::unexpected(connected.error());
    co_return std::unique_ptr<Link>(std::move(link));
}

}  // namespace relevo::dns
