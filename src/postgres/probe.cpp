#include "postgres/probe.h"

#include <fmt/core.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/text.h"
#include "os/blocking.h"

namespace relevo::postgres {

namespace asio = boost::asio;
using asio::generic::stream_protocol;
using boost::system::error_code;

namespace {

void put_int(std::string& packet, std::uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8)
        packet.push_back(static_cast<char>(value >> shift));
}

std::uint32_t get_int(const char* bytes) {
    std::uint32_t value = 0;
    for (int i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
    return value;
}

std::string startup_packet(const ConnectOptions& where) {
    std::string body;
    put_int(body, 3U << 16);  // protocol 3.0
    const auto pair = [&](std::string_view name, std::string_view value) {
        if (value.empty()) return;
        body.append(name).push_back('\0');
        body.append(value).push_back('\0');
    };
    pair("user", where.user.empty() ? "postgres" : where.user);
    pair("database", where.database.empty() ? "postgres" : where.database);
    pair("application_name", where.application_name);
    body.push_back('\0');
    std::string packet;
    put_int(packet, static_cast<std::uint32_t>(body.size() + 4));
    return packet + body;
}

std::vector<stream_protocol::endpoint> endpoints(const ConnectOptions& where) {
    std::vector<stream_protocol::endpoint> found;
    const auto given = where.options.find("hostaddr");
    const auto hosts = split(given != where.options.end() ? given->second : where.host, ',');
    for (const auto& host : hosts) {
        if (host.empty() || host.starts_with('/')) {
            const auto directory = host.empty() ? std::string("/var/run/postgresql") : host;
            found.emplace_back(asio::local::stream_protocol::endpoint(
                fmt::format("{}/.s.PGSQL.{}", directory, where.port)));
            continue;
        }
        error_code error;
        const auto address = asio::ip::make_address(host, error);
        if (!error)
            found.emplace_back(
                asio::ip::tcp::endpoint(address, static_cast<std::uint16_t>(where.port)));
    }
    return found;
}

// A server under a host name, in listen_addresses: rare, and the lookup is not the loop's business.
Task<std::vector<stream_protocol::endpoint>> find_endpoints(os::Blocking& pool,
                                                            ConnectOptions where,
                                                            Duration patience) {
    auto found = endpoints(where);
    if (!found.empty()) co_return found;
    auto named = co_await pool.run_within(patience, [where] {
        std::vector<stream_protocol::endpoint> result;
        asio::io_context own;
        asio::ip::tcp::resolver resolver(own);
        error_code ignored;
        for (const auto& entry : resolver.resolve(where.host, std::to_string(where.port), ignored))
            result.emplace_back(entry.endpoint());
        return result;
    });
    co_return named ? *std::move(named) : found;
}

struct Attempt {
    stream_protocol::socket socket;
    asio::steady_timer alarm;
    bool late = false;
    explicit Attempt(const asio::any_io_executor& loop) : socket(loop), alarm(loop) {}
};

ProbeAnswer no_connection(const error_code& error) {
    const bool nobody = error == asio::error::connection_refused ||
                        error == boost::system::errc::no_such_file_or_directory;
    // A full queue of a frozen postmaster's socket is EAGAIN: nobody takes the connections out.
    return {nobody ? ProbeAnswer::Kind::refused : ProbeAnswer::Kind::silent, "", error.message()};
}

Task<void> leave(std::shared_ptr<Attempt> attempt) {
    constexpr std::array<char, 5> terminate{'X', 0, 0, 0, 4};
    error_code error;
    co_await asio::async_write(attempt->socket, asio::buffer(terminate),
                               asio::redirect_error(asio::use_awaitable, error));
    std::array<char, 1024> rest{};
    while (!error)
        co_await attempt->socket.async_read_some(asio::buffer(rest),
                                                 asio::redirect_error(asio::use_awaitable, error));
}

// What the server says first. Its length is bounded: a stranger on the port may say anything.
Task<ProbeAnswer> first_answer(std::shared_ptr<Attempt> attempt, std::string packet) {
    error_code error;
    co_await asio::async_write(attempt->socket, asio::buffer(packet),
                               asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return no_connection(error);
    std::array<char, 5> head{};
    co_await asio::async_read(attempt->socket, asio::buffer(head),
                              asio::redirect_error(asio::use_awaitable, error));
    // Closed without a word: the postmaster died under it, or could not fork.
    if (error) co_return no_connection(error);
    const auto length = get_int(head.data() + 1);
    const bool asks = head[0] == 'R' || head[0] == 'v';
    if ((!asks && head[0] != 'E') || length < 4 || length > 65536)
        co_return ProbeAnswer{ProbeAnswer::Kind::refused, "",
                              "what answers there is no PostgreSQL"};
    std::string body(length - 4, '\0');
    co_await asio::async_read(attempt->socket, asio::buffer(body),
                              asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return no_connection(error);
    if (!asks) co_return read_refusal(body);
    // Who goes away before the password is not logged; who leaves something unread is (a reset).
    // Only a server that lets us in at once has more to say, and wants to hear that we leave.
    const bool let_in = head[0] == 'R' && body.size() >= 4 && get_int(body.data()) == 0;
    if (let_in) co_await leave(attempt);
    co_return ProbeAnswer{ProbeAnswer::Kind::accepting, "", ""};
}

}  // namespace

ProbeAnswer read_refusal(std::string_view body) {
    ProbeAnswer answer{ProbeAnswer::Kind::accepting, "", ""};
    while (!body.empty() && body.front() != '\0') {
        const char field = body.front();
        const auto end = body.find('\0', 1);
        if (end == std::string_view::npos) break;
        if (field == 'C') answer.sqlstate = body.substr(1, end - 1);
        if (field == 'M') answer.message = body.substr(1, end - 1);
        body.remove_prefix(end + 1);
    }
    if (answer.sqlstate == "57P03") answer.kind = ProbeAnswer::Kind::starting;
    return answer;
}

Task<ProbeAnswer> probe(os::Blocking& pool, ConnectOptions where, Duration patience) {
    const auto until = std::chrono::steady_clock::now() +
                       std::chrono::duration_cast<std::chrono::steady_clock::duration>(patience);
    const auto candidates = co_await find_endpoints(pool, where, patience);
    ProbeAnswer answer{ProbeAnswer::Kind::refused, "", "no address to connect to"};
    const auto loop = co_await asio::this_coro::executor;
    const auto packet = startup_packet(where);
    for (const auto& endpoint : candidates) {
        auto attempt = std::make_shared<Attempt>(loop);
        attempt->alarm.expires_at(until);
        attempt->alarm.async_wait([attempt](error_code error) {
            if (error) return;
            attempt->late = true;
            error_code ignored;
            attempt->socket.close(ignored);
        });
        error_code error;
        co_await attempt->socket.async_connect(endpoint,
                                               asio::redirect_error(asio::use_awaitable, error));
        if (error)
            answer = no_connection(error);
        else
            answer = co_await first_answer(attempt, packet);
        attempt->alarm.cancel();
        if (attempt->late)
            co_return ProbeAnswer{ProbeAnswer::Kind::silent, "",
                                  fmt::format("no answer within {} ms", to_ms(patience))};
        if (answer.kind != ProbeAnswer::Kind::refused) co_return answer;
    }
    co_return answer;
}

}  // namespace relevo::postgres
