#include "net/http_server.h"

#include <fmt/core.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <list>
#include <utility>
#include <vector>

#include "base/log.h"
#include "net/descriptor.h"
#include "net/http_connection.h"
#include "net/resolve.h"
#include "os/blocking.h"

namespace relevo::net {
namespace asio = boost::asio;
namespace {

using asio::ip::tcp;
using boost::system::error_code;
using detail::Connection;
using std::chrono::milliseconds;
constexpr auto awaiting = asio::as_tuple(asio::use_awaitable);
constexpr milliseconds sweep_interval{250};
constexpr milliseconds descriptors_wait{50};
constexpr auto resolve_deadline = std::chrono::seconds{5};

using Acceptors = std::vector<tcp::acceptor>;

struct OpenFailure {
    error_code code;
    tcp::endpoint where;
};

std::expected<tcp::acceptor, error_code> open_one(asio::io_context& loop,
                                                  const tcp::endpoint& where, bool dual_stack,
                                                  int backlog) {
    tcp::acceptor acceptor(loop);
    error_code bad;
    (void)acceptor.open(where.protocol(), bad);
    if (!bad) close_on_exec(acceptor.native_handle());
    if (!bad) (void)acceptor.set_option(tcp::acceptor::reuse_address(true), bad);
    if (!bad && where.protocol() == tcp::v6()) {
        (void)acceptor.set_option(asio::ip::v6_only(!dual_stack), bad);
    }
    if (!bad) (void)acceptor.bind(where, bad);
    if (!bad) (void)acceptor.listen(backlog, bad);
    if (bad) return std::unexpected(bad);
    return acceptor;
}

// All of a name's addresses that this host has; one port for all when any free one was asked for.
std::expected<Acceptors, OpenFailure> open_all(asio::io_context& loop,
                                               std::vector<tcp::endpoint> places, bool any,
                                               int backlog) {
    Acceptors acceptors;
    OpenFailure failure;
    for (auto& place : places) {
        if (!acceptors.empty()) {
            if (any)
                break;  // dual stack has both already; the second place is for hosts without IPv6
            error_code ignored;
            place.port(acceptors.front().local_endpoint(ignored).port());
        }
        auto opened = open_one(loop, place, any, backlog);
        if (opened) {
            acceptors.push_back(std::move(*opened));
            continue;
        }
        failure = {opened.error(), place};
        if (opened.error() == asio::error::address_in_use) return std::unexpected(failure);
    }
    if (acceptors.empty()) return std::unexpected(failure);
    return acceptors;
}

}  // namespace

struct HttpServer::Impl : std::enable_shared_from_this<HttpServer::Impl> {
    Impl(asio::io_context& loop_, asio::thread_pool& pool_, Handler handler_, ErrorPage error_page_)
        : loop(loop_),
          pool(pool_),
          handler(std::move(handler_)),
          error_page(std::move(error_page_)),
          sweeper(loop_),
          certificates(loop_),
          ended(loop_) {}

    asio::io_context& loop;
    asio::thread_pool& pool;
    Handler handler;
    ErrorPage error_page;
    std::shared_ptr<const ServerOptions> options = std::make_shared<ServerOptions>();
    TlsContext tls;
    std::string tls_files;  // fingerprint of what tls was made from
    std::list<tcp::acceptor> acceptors;
    std::list<Connection> connections;
    asio::steady_timer sweeper, certificates, ended;
    bool sweeping = false, watching = false, stopping = false;
    std::size_t running = 0;  // coroutines that stop() waits for

    void finished() {
        if (--running == 0) ended.cancel();
    }

    Task<Status> apply(ServerOptions next);
    Task<Result<std::vector<tcp::endpoint>>> places(const HostPort& listen);
    Status replace_listener(std::vector<tcp::endpoint> places, bool any, const ServerOptions& next);
    void listen_with(Acceptors opened);
    Task<void> accept(tcp::acceptor& acceptor);
    void begin(tcp::socket socket, const tcp::endpoint& peer);
    bool make_room();
    void sweep();
    Task<void> watch_certificates();
    Task<void> stop(milliseconds grace);
};

Task<Result<std::vector<tcp::endpoint>>> HttpServer::Impl::places(const HostPort& listen) {
    std::vector<tcp::endpoint> found;
    if (listen.host.empty() || listen.host == "*") {
        found.emplace_back(tcp::v6(), listen.port);
        found.emplace_back(tcp::v4(), listen.port);
        co_return found;
    }
    const auto addresses = co_await resolve(loop, pool, listen.host, resolve_deadline);
    if (!addresses) co_return within("the address to listen on", addresses.error());
    for (const auto& address : *addresses) found.emplace_back(address, listen.port);
    co_return found;
}

Task<Status> HttpServer::Impl::apply(ServerOptions next) {
    const auto listen = parse_host_port(next.listen, std::nullopt);
    if (!listen) co_return within("the address to listen on", listen.error());

    TlsContext next_tls;
    std::string next_files;
    if (next.tls.on()) {
        next_files = co_await os::Blocking(pool).run(
            [settings = next.tls] { return fingerprint(settings); });
        auto made = co_await os::Blocking(pool).run(
            [settings = next.tls] { return make_server_context(settings); });
        if (!made) co_return std::unexpected(made.error());
        next_tls = std::move(*made);
    }
    if (acceptors.empty() || next.listen != options->listen) {
        auto found = co_await places(*listen);
        if (!found) co_return std::unexpected(found.error());
        const bool any = listen->host.empty() || listen->host == "*";
        RLV_CO_CHECK(replace_listener(std::move(*found), any, next));
    } else if (next.backlog != options->backlog) {
        error_code ignored;
        for (auto& acceptor : acceptors) (void)acceptor.listen(next.backlog, ignored);
    }
    options = std::make_shared<const ServerOptions>(std::move(next));
    tls = std::move(next_tls);
    tls_files = std::move(next_files);
    if (tls && !watching) {
        watching = true;
        ++running;
        asio::co_spawn(loop, watch_certificates(),
                       [self = shared_from_this()](const std::exception_ptr&) {
                           self->watching = false;
                           self->finished();
                       });
    }
    co_return Status{};
}

Status HttpServer::Impl::replace_listener(std::vector<tcp::endpoint> places_, bool any,
                                          const ServerOptions& next) {
    auto opened = open_all(loop, places_, any, next.backlog);
    // The old listener may itself be what is in the way (0.0.0.0:8008 after 10.0.0.1:8008).
    if (!opened && opened.error().code == asio::error::address_in_use && !acceptors.empty()) {
        std::vector<tcp::endpoint> old_places;
        error_code ignored;
        for (auto& acceptor : acceptors) {
            old_places.push_back(acceptor.local_endpoint(ignored));
            (void)acceptor.close(ignored);
        }
        opened = open_all(loop, places_, any, next.backlog);
        if (!opened) {
            const bool was_any = old_places.front().address().is_unspecified();
            if (auto again = open_all(loop, old_places, was_any, options->backlog)) {
                listen_with(std::move(*again));
            }
        }
    }
    if (!opened) {
        const auto& [code, where] = opened.error();
        const HostPort place{where.address().to_string(), where.port()};
        const char* advice = code == asio::error::address_in_use
                                 ? "another program listens there: stop it or choose another port"
                                 : "choose an address of this host and a port that it may use";
        return fail(ErrorCode::unavailable, fmt::format("cannot listen on {}: {}; {}",
                                                        to_string(place), code.message(), advice));
    }
    listen_with(std::move(*opened));
    return {};
}

void HttpServer::Impl::listen_with(Acceptors opened) {
    error_code ignored;
    for (auto& acceptor : acceptors) (void)acceptor.close(ignored);  // its coroutine removes it
    for (auto& acceptor : opened) {
        acceptors.push_front(std::move(acceptor));
        ++running;
        const auto at = acceptors.begin();
        asio::co_spawn(loop, accept(*at),
                       [self = shared_from_this(), at](const std::exception_ptr&) {
                           self->acceptors.erase(at);
                           self->finished();
                       });
    }
}

Task<void> HttpServer::Impl::accept(tcp::acceptor& acceptor) {
    tcp::endpoint peer;
    while (acceptor.is_open()) {
        auto [bad, socket] = co_await acceptor.async_accept(peer, awaiting);
        if (!bad) {
            close_on_exec(socket.native_handle());
            begin(std::move(socket), peer);
        } else if (bad == asio::error::no_descriptors || bad == asio::error::no_buffer_space ||
                   bad == asio::error::no_memory) {
            log::warning("cannot accept a connection: {}; raise the limit of open files",
                         bad.message());
            make_room();
            asio::steady_timer pause(loop, descriptors_wait);
            (void)co_await pause.async_wait(awaiting);
        }
        // Anything else: closed by us, or a client that was gone before we looked.
    }
}

// Drops the connection that has been silent the longest. False: all are at work.
bool HttpServer::Impl::make_room() {
    Connection* victim = nullptr;
    for (auto& connection : connections) {
        if (connection.phase != Connection::Phase::silent || !connection.socket.is_open()) continue;
        if (victim == nullptr || connection.deadline < victim->deadline) victim = &connection;
    }
    if (victim != nullptr) victim->drop();
    return victim != nullptr;
}

void HttpServer::Impl::begin(tcp::socket socket, const tcp::endpoint& peer) {
    // Dropped ones leave the list a moment later; hence the margin.
    const auto most = options->connections_max;
    if (connections.size() >= most && (!make_room() || connections.size() >= most + most / 4 + 1))
        return;
    connections.emplace_front(std::move(socket), peer);
    const auto at = connections.begin();
    ++running;
    detail::Service service{.handler = handler,
                            .error_page = error_page,
                            .options = options,
                            .tls = tls,
                            .stopping = stopping};
    asio::co_spawn(loop, detail::serve(*at, std::move(service)),
                   asio::bind_cancellation_slot(at->cancel.slot(), [self = shared_from_this(),
                                                                    at](const std::exception_ptr&) {
                       self->connections.erase(at);
                       self->finished();
                   }));
    if (!sweeping) sweep();
}

// One timer for all deadlines, and none while nobody is connected.
void HttpServer::Impl::sweep() {
    sweeping = !connections.empty();
    if (!sweeping) return;
    const auto now = detail::Clock::now();
    for (auto& connection : connections) {
        if (connection.deadline <= now) connection.drop();
    }
    sweeper.expires_after(sweep_interval);
    sweeper.async_wait([weak = weak_from_this()](const error_code& cancelled) {
        const auto self = weak.lock();
        if (self && !cancelled) self->sweep();
    });
}

Task<void> HttpServer::Impl::watch_certificates() {
    while (tls && !stopping) {
        certificates.expires_after(options->tls_check_interval);
        (void)co_await certificates.async_wait(awaiting);
        if (!tls || stopping) continue;
        const auto judged = options;
        auto files = co_await os::Blocking(pool).run(
            [settings = judged->tls] { return fingerprint(settings); });
        if (judged != options || files == tls_files) continue;
        auto made = co_await os::Blocking(pool).run(
            [settings = judged->tls] { return make_server_context(settings); });
        if (judged != options) continue;
        tls_files =
            std::move(files);  // also when they are bad: said once, tried again when they change
        if (made) {
            tls = std::move(*made);
            log::info("the REST API's certificate was read anew");
        } else {
            log::error("the REST API keeps its old certificate: {}", made.error().message);
        }
    }
}

Task<void> HttpServer::Impl::stop(milliseconds grace) {
    stopping = true;
    error_code ignored;
    for (auto& acceptor : acceptors) (void)acceptor.close(ignored);
    certificates.cancel();
    for (auto& connection : connections) {
        if (connection.phase == Connection::Phase::silent) connection.drop();
    }
    auto wait = grace;
    while (running > 0) {
        ended.expires_after(wait);
        const auto [woken] = co_await ended.async_wait(awaiting);
        if (running == 0) break;
        if (woken) continue;
        for (auto& connection : connections) {
            connection.cancel.emit(asio::cancellation_type::terminal);
            if (connection.phase != Connection::Phase::handling) connection.drop();
        }
        wait = milliseconds{100};
    }
    sweeper.cancel();
}

HttpServer::HttpServer(asio::io_context& loop, asio::thread_pool& pool, Handler handler,
                       ErrorPage error_page)
    : impl_(std::make_shared<Impl>(loop, pool, std::move(handler), std::move(error_page))) {}
HttpServer::~HttpServer() = default;

Task<Status> HttpServer::apply(ServerOptions options) { return impl_->apply(std::move(options)); }
Task<void> HttpServer::stop(milliseconds grace) { return impl_->stop(grace); }
std::size_t HttpServer::connections() const { return impl_->connections.size(); }

std::uint16_t HttpServer::port() const {
    for (const auto& acceptor : impl_->acceptors) {
        error_code bad;
        const auto place = acceptor.local_endpoint(bad);
        if (!bad) return place.port();
    }
    return 0;
}

}  // namespace relevo::net
