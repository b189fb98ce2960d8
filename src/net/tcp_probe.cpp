#include "net/tcp_probe.h"

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <memory>

#include "net/descriptor.h"
#include "net/resolve.h"

namespace relevo::net {
namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

constexpr auto awaiting = asio::as_tuple(asio::use_awaitable);

struct Probe {
    explicit Probe(asio::io_context& loop) : socket(loop), timer(loop) {}
    tcp::socket socket;
    asio::steady_timer timer;
    bool expired = false;
};

}  // namespace

Task<bool> answers_at(asio::io_context& loop, asio::thread_pool& pool, std::string host,
                      std::uint16_t port, std::string_view say, Duration deadline) {
    const auto probe = std::make_shared<Probe>(loop);
    probe->timer.expires_after(std::chrono::duration_cast<asio::steady_timer::duration>(deadline));
    const std::string words(say);
    const auto addresses = co_await resolve(loop, pool, host, deadline);
    if (!addresses || addresses->empty()) co_return false;
    // The timer may have run out meanwhile: then its handler comes at once.
    probe->timer.async_wait([weak = std::weak_ptr(probe)](const boost::system::error_code& off) {
        const auto self = weak.lock();
        if (!self || off) return;
        self->expired = true;
        boost::system::error_code ignored;
        (void)self->socket.close(ignored);
    });
    bool connected = false;
    for (const auto& address : *addresses) {
        const tcp::endpoint where(address, port);
        boost::system::error_code bad;
        probe->socket = tcp::socket(loop);
        (void)probe->socket.open(where.protocol(), bad);
        if (bad) continue;
        close_on_exec(probe->socket.native_handle());
        const auto [refused] = co_await probe->socket.async_connect(where, awaiting);
        connected = !refused;
        if (connected || probe->expired) break;
    }
    if (!connected) co_return false;
    const auto [unsent, size] =
        co_await asio::async_write(probe->socket, asio::buffer(words), awaiting);
    if (unsent) co_return false;
    std::array<char, 1> heard{};
    const auto [silent, count] =
        co_await probe->socket.async_read_some(asio::buffer(heard), awaiting);
    probe->timer.cancel();
    co_return !silent && count == 1;
}

}  // namespace relevo::net
