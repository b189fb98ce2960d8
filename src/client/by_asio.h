// How a call waits, one of two (the other is by_thread.h): a wait suspends the coroutine. All of
// it, and all that touches what is waited for, is on the executor's one thread, so nothing needs
// to be locked.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <memory>
#include <tuple>

#include "client/locks.h"
#include "relevo/pool.h"

namespace relevo::client {

using Clock = std::chrono::steady_clock;
enum class Direction { read, write };

struct ByAsio {
    template <class T>
    using Task = boost::asio::awaitable<T>;
    using Mutex = NoMutex;
    using Transaction = client::Transaction;
    using Body = client::Body;
    class Socket;
    class Waiter;

    boost::asio::any_io_executor executor;

    Task<void> sleep_until(Clock::time_point until) const {
        boost::asio::steady_timer timer(executor, until);
        co_await timer.async_wait(boost::asio::as_tuple(boost::asio::deferred));
    }
    // Work that is written for Asio, whichever the pool is.
    template <class T>
    Task<T> elsewhere(Task<T> work) const {
        return work;
    }
};

// Readiness of libpq's socket, and the deadline of what is asked through it.
class ByAsio::Socket : public std::enable_shared_from_this<ByAsio::Socket> {
public:
    explicit Socket(const ByAsio& by) : socket_(by.executor), alarm_(by.executor) {}
    ~Socket() { close(); }
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;

    // Of one exchange. An interrupt holds until the next begin.
    bool begin(Clock::time_point until, Clock::time_point) {
        arm(until);
        return true;
    }
    void end() { until_ = Clock::time_point::max(); }
    // Waiting is three calls, so that it costs no coroutine of its own: watch() with libpq's socket
    // of the moment, what wait() gives is awaited, and heard() of what that gave. False: too late,
    // interrupted, or there is no socket.
    bool watch(int fd);
    auto wait(Direction direction) {
        using boost::asio::posix::descriptor_base;
        return socket_.async_wait(
            direction == Direction::read ? descriptor_base::wait_read : descriptor_base::wait_write,
            boost::asio::as_tuple(boost::asio::deferred));
    }
    bool heard(const std::tuple<boost::system::error_code>& came) const {
        return !late_ && !std::get<0>(came);
    }
    void interrupt();
    void forget();  // before libpq may close its socket and open another one under the number
    void close();

private:
    void arm(Clock::time_point until);

    // A duplicate: libpq closes its own when it likes, and the reactor must be told before.
    boost::asio::posix::stream_descriptor socket_;
    int watched_ = -1;  // libpq's descriptor that socket_ duplicates
    boost::asio::steady_timer alarm_;
    Clock::time_point until_ = Clock::time_point::max(), armed_ = Clock::time_point::max();
    bool late_ = false;
};

// One that waits to be woken by another call.
class ByAsio::Waiter {
public:
    explicit Waiter(const ByAsio& by) : timer_(by.executor) {}
    Task<void> wait(Clock::time_point until) {
        timer_.expires_at(until);
        co_await timer_.async_wait(boost::asio::as_tuple(boost::asio::deferred));
    }
    void wake() { timer_.cancel(); }

private:
    boost::asio::steady_timer timer_;
};

}  // namespace relevo::client
