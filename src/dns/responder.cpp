#include "dns/responder.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <exception>
#include <set>

#include "base/text.h"
#include "net/resolve.h"

namespace relevo::dns {

namespace asio = boost::asio;
using asio::ip::tcp;
using asio::ip::udp;
using boost::system::error_code;
using namespace std::chrono_literals;

namespace {
constexpr auto quietly = asio::as_tuple(asio::use_awaitable);
constexpr std::uint16_t internet = 1;
constexpr std::size_t connections_max = 64;  // of TCP; the eldest question is answered in no time
constexpr auto idle_limit = 5s;              // then a connection is closed

std::string dotted(std::string_view name) {
    auto text = lower(name);
    if (!text.ends_with('.')) text.push_back('.');
    return text;
}

bool inside(const std::string& name, const std::string& zone) {
    return name == zone || name.ends_with("." + zone);
}

// Hosts that are addresses are answered with, those of the family that is asked for; a host that is
// a name is an alias.
void add_hosts(const std::vector<std::string>& hosts, std::uint16_t type, Answer& answer) {
    const auto asks = [type](Type its) {
        return type == static_cast<std::uint16_t>(its) ||
               type == static_cast<std::uint16_t>(Type::any);
    };
    for (const auto& host : hosts) {
        const auto address = net::parse_address(host);
        if (!address)
            answer.alias = host;
        else if (asks(address->is_v6() ? Type::aaaa : Type::a))
            answer.addresses.insert(address->to_string());
    }
    if (!answer.addresses.empty()) answer.alias.clear();  // no other record beside an alias
}

}  // namespace

Answer answer_for(const Query& query, const std::string& zone, const Names& names,
                  const std::optional<Wanted>& known) {
    Answer answer;
    answer.zone = dotted(zone);
    answer.ttl_s = names.ttl_s;
    const bool ours = query.klass == internet && inside(query.name, answer.zone);
    if (!ours) {
        answer.code = Code::refused;
        answer.authoritative = false;
        return answer;
    }
    if (known) answer.serial = static_cast<std::uint32_t>(known->term);
    const bool primary = query.name == dotted(names.primary);
    const bool replica = !names.replica.empty() && query.name == dotted(names.replica);
    if (primary || replica) {
        if (!known) {
            answer.code = Code::server_failure;
            answer.authoritative = false;
        } else {
            add_hosts(primary ? known->primary : known->replicas, query.type, answer);
        }
        return answer;
    }
    if (query.name == answer.zone) {
        answer.soa = query.type == static_cast<std::uint16_t>(Type::soa) ||
                     query.type == static_cast<std::uint16_t>(Type::any);
        return answer;
    }
    answer.code = Code::no_such_name;
    return answer;
}

std::string respond(std::string_view bytes, bool tcp, const std::string& zone, const Names& names,
                    const std::optional<Wanted>& known) {
    const auto asked = read_query(bytes);
    if (!asked) return {};
    Answer answer;
    if (!asked->problem) answer = answer_for(asked->query, zone, names, known);
    return answer_message(*asked, answer, tcp);
}

struct Responder::State : std::enable_shared_from_this<State> {
    State(asio::io_context& its, ResponderOptions given, Known facts)
        : loop(its),
          options(std::move(given)),
          known(std::move(facts)),
          datagrams(its),
          acceptor(its),
          ended(its) {
        ended.expires_at(asio::steady_timer::time_point::max());
    }

    // A client's connection, with the time after which it is closed.
    struct Caller {
        explicit Caller(tcp::socket its) : socket(std::move(its)), alarm(socket.get_executor()) {}
        tcp::socket socket;
        asio::steady_timer alarm;
    };

    asio::io_context& loop;
    ResponderOptions options;
    Known known;
    udp::socket datagrams;
    tcp::acceptor acceptor;
    std::set<std::shared_ptr<Caller>> callers;
    asio::steady_timer ended;
    std::size_t running = 0;
    bool stopping = false;

    std::string answer(std::string_view bytes, bool tcp) const {
        return respond(bytes, tcp, options.zone, options.names, known());
    }

    void spawn(net::Task<void> task) {
        ++running;
        asio::co_spawn(loop, std::move(task),
                       [self = shared_from_this()](const std::exception_ptr& thrown) {
                           if (--self->running == 0) self->ended.cancel();
                           if (thrown) std::rethrow_exception(thrown);
                       });
    }

    net::Task<void> serve_datagrams() {
        std::array<char, 4096> buffer{};
        while (!stopping) {
            udp::endpoint from;
            const auto [error, size] =
                co_await datagrams.async_receive_from(asio::buffer(buffer), from, quietly);
            if (stopping || error == asio::error::operation_aborted) co_return;
            if (error) continue;  // an ICMP error of an earlier answer
            const auto reply = answer({buffer.data(), size}, false);
            if (reply.empty()) continue;
            const auto [unsent, sent] =
                co_await datagrams.async_send_to(asio::buffer(reply), from, quietly);
            static_cast<void>(unsent);  // the asker asks again
            static_cast<void>(sent);
        }
    }

    net::Task<void> serve_caller(std::shared_ptr<Caller> caller) {
        while (!stopping) {
            caller->alarm.expires_after(idle_limit);
            caller->alarm.async_wait([caller](error_code error) {
                error_code ignored;
                if (!error) caller->socket.close(ignored);
            });
            std::array<unsigned char, 2> size{};
            const auto [unread, got] =
                co_await asio::async_read(caller->socket, asio::buffer(size), quietly);
            if (unread) break;
            std::string query(static_cast<std::size_t>(size[0] << 8 | size[1]), '\0');
            const auto [cut, all] =
                co_await asio::async_read(caller->socket, asio::buffer(query), quietly);
            if (cut) break;
            auto reply = answer(query, true);
            if (reply.empty()) break;
            const std::string length{static_cast<char>(reply.size() >> 8),
                                     static_cast<char>(reply.size() & 0xff)};
            reply = length + reply;
            const auto [unsent, sent] =
                co_await asio::async_write(caller->socket, asio::buffer(reply), quietly);
            if (unsent) break;
        }
        caller->alarm.cancel();
        error_code ignored;
        caller->socket.close(ignored);
        callers.erase(caller);
    }

    net::Task<void> accept() {
        asio::steady_timer pause(loop);
        while (!stopping) {
            auto [error, socket] = co_await acceptor.async_accept(quietly);
            if (stopping || error == asio::error::operation_aborted) co_return;
            if (error) {  // no descriptor left: others may be given back in a moment
                pause.expires_after(100ms);
                error_code ignored;
                co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
                continue;
            }
            if (callers.size() >= connections_max) continue;  // closed as it goes out of scope
            const auto caller = std::make_shared<Caller>(std::move(socket));
            callers.insert(caller);
            spawn(serve_caller(caller));
        }
    }

    Status listen() {
        const auto address = net::parse_address(options.host.empty() ? "0.0.0.0" : options.host);
        if (!address)
            return fail(ErrorCode::invalid, "dns.responder.listen: an address is needed, no name");
        const auto refused = [&](const error_code& error) {
            return fail(ErrorCode::invalid,
                        fmt::format("dns.responder cannot listen on {} port {}: {}{}", options.host,
                                    options.port, error.message(),
                                    error == asio::error::access_denied
                                        ? " (a port below 1024 needs CAP_NET_BIND_SERVICE, in "
                                          "systemd AmbientCapabilities=)"
                                        : ""));
        };
        error_code error;
        const tcp::endpoint stream(*address, options.port);
        acceptor.open(stream.protocol(), error);
        if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
        if (!error) acceptor.bind(stream, error);
        if (!error) acceptor.listen(128, error);
        if (error) return refused(error);
        const udp::endpoint datagram(*address, acceptor.local_endpoint(error).port());
        datagrams.open(datagram.protocol(), error);
        if (!error) datagrams.bind(datagram, error);
        if (error) return refused(error);
        return {};
    }
};

Responder::Responder(asio::io_context& loop, ResponderOptions options, Known known)
    : state_(std::make_shared<State>(loop, std::move(options), std::move(known))) {}
Responder::~Responder() = default;

Status Responder::start() {
    RLV_CHECK(state_->listen());
    state_->spawn(state_->serve_datagrams());
    state_->spawn(state_->accept());
    return {};
}

std::uint16_t Responder::port() const {
    error_code ignored;
    return state_->acceptor.local_endpoint(ignored).port();
}

net::Task<void> Responder::stop() {
    state_->stopping = true;
    error_code ignored;
    state_->datagrams.close(ignored);
    state_->acceptor.close(ignored);
    for (const auto& caller : state_->callers) caller->socket.close(ignored);
    while (state_->running > 0)
        co_await state_->ended.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

}  // namespace relevo::dns
