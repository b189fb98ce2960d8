#include "net/resolve.h"

#include <fmt/core.h>
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstring>
#include <memory>

namespace relevo::net {
namespace asio = boost::asio;
namespace {

using Addresses = std::vector<asio::ip::address>;

void append(Addresses& addresses, const sockaddr& from) {
    asio::ip::address address;
    if (from.sa_family == AF_INET) {
        sockaddr_in in{};
        std::memcpy(&in, &from, sizeof in);
        address = asio::ip::address_v4(ntohl(in.sin_addr.s_addr));
    } else if (from.sa_family == AF_INET6) {
        sockaddr_in6 in{};
        std::memcpy(&in, &from, sizeof in);
        asio::ip::address_v6::bytes_type bytes{};
        std::memcpy(bytes.data(), &in.sin6_addr, bytes.size());
        address = asio::ip::address_v6(bytes, in.sin6_scope_id);
    } else {
        return;
    }
    if (std::ranges::find(addresses, address) == addresses.end()) addresses.push_back(address);
}

Result<Addresses> look_up(const std::string& host) {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int code = ::getaddrinfo(host.c_str(), nullptr, &hints, &found);
    if (code != 0) {
        return fail(ErrorCode::unavailable,
                    fmt::format("cannot resolve host name '{}': {}", host, ::gai_strerror(code)));
    }
    Addresses addresses;
    for (const addrinfo* at = found; at != nullptr; at = at->ai_next)
        append(addresses, *at->ai_addr);
    ::freeaddrinfo(found);
    if (addresses.empty()) {
        return fail(ErrorCode::unavailable, fmt::format("host name '{}' has no address", host));
    }
    return addresses;
}

// Shared by the waiting coroutine and the lookup, whichever ends first.
struct Lookup {
    explicit Lookup(asio::io_context& loop) : ready(loop) {}
    asio::steady_timer ready;  // cancelled when the answer is there
    std::optional<Result<Addresses>> answer;
};

}  // namespace

std::optional<asio::ip::address> parse_address(const std::string& text) {
    boost::system::error_code bad;
    auto address = asio::ip::make_address(text, bad);
    if (bad) return std::nullopt;
    return address;
}

asio::ip::address unmapped(const asio::ip::address& address) {
    if (address.is_v6() && address.to_v6().is_v4_mapped()) {
        return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
    }
    return address;
}

Task<Result<Addresses>> resolve(asio::io_context& loop, asio::thread_pool& pool, std::string host,
                                Duration deadline) {
    if (const auto literal = parse_address(host)) co_return Addresses{*literal};
    const auto lookup = std::make_shared<Lookup>(loop);
    lookup->ready.expires_after(std::chrono::duration_cast<asio::steady_timer::duration>(deadline));
    asio::post(pool, [lookup, host, &loop] {
        auto answer = look_up(host);
        asio::post(loop, [lookup, answer = std::move(answer)]() mutable {
            lookup->answer = std::move(answer);
            lookup->ready.cancel();
        });
    });
    const auto [ended] = co_await lookup->ready.async_wait(asio::as_tuple(asio::use_awaitable));
    if (lookup->answer) co_return *std::move(lookup->answer);
    if (!ended) {
        co_return fail(
            ErrorCode::unavailable,
            fmt::format("host name '{}' was not resolved within {} ms", host, to_ms(deadline)));
    }
    co_return fail(ErrorCode::cancelled,
                   fmt::format("resolving host name '{}' was given up", host));
}

}  // namespace relevo::net
