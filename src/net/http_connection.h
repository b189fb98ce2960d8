// One client's connection, from its first byte to its end: the server's inside (http_server.cpp).
#pragma once

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <memory>

#include "net/http_server.h"
#include "net/task.h"

namespace relevo::net::detail {

using Clock = std::chrono::steady_clock;

struct Connection {
    // silent: we wait for the client to send something, so that it may be dropped for another one.
    enum class Phase { silent, handling, writing };

    Connection(boost::asio::ip::tcp::socket from, const boost::asio::ip::tcp::endpoint& who)
        : socket(std::move(from)), peer(who) {}

    boost::asio::ip::tcp::socket socket;
    boost::asio::ip::tcp::endpoint peer;
    Phase phase = Phase::silent;
    Clock::time_point deadline =
        Clock::time_point::max();             // the sweeper closes the socket after it
    boost::asio::cancellation_signal cancel;  // reaches what the handler waits for

    void enter(Phase next, std::chrono::milliseconds at_most) {
        phase = next;
        deadline = Clock::now() + at_most;
    }
    void drop() {
        boost::system::error_code ignored;
        (void)socket.close(ignored);
    }
};

// What all connections of one server share; options and tls as they were when the connection began.
struct Service {
    const Handler& handler;
    const ErrorPage& error_page;
    std::shared_ptr<const ServerOptions> options;
    TlsContext tls;  // null: plain
    const bool& stopping;
};

// Serves requests until the client or a deadline ends it. Never throws; the socket is closed after
// it.
Task<void> serve(Connection& connection, Service service);

}  // namespace relevo::net::detail
