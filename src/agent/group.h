// Coroutines that somebody must wait for: whoever spawns, stops.
#pragma once

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <optional>
#include <utility>

#include "ports/task.h"

namespace relevo::agent {

class Group {
public:
    explicit Group(boost::asio::io_context& io) : io_(io), empty_(io) {
        empty_.expires_at(boost::asio::steady_timer::time_point::max());
    }

    // An exception out of a task is a bug of ours: it ends the program through the loop.
    void spawn(Task<void> task) {
        ++running_;
        boost::asio::co_spawn(io_, std::move(task), [this](std::exception_ptr error) {
            if (--running_ == 0) empty_.cancel();
            if (error) std::rethrow_exception(error);
        });
    }

    Task<void> wait() {
        while (running_ > 0) {
            boost::system::error_code ignored;
            co_await empty_.async_wait(
                boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
        }
    }

private:
    boost::asio::io_context& io_;
    boost::asio::steady_timer empty_;
    int running_ = 0;
};

// A value that one coroutine sets and one other waits for, with a deadline.
template <class T>
class Promise {
public:
    explicit Promise(boost::asio::io_context& io) : timer_(io) {}
    void set(T value) {
        value_ = std::move(value);
        timer_.cancel();
    }
    // nullopt: the deadline passed.
    Task<std::optional<T>> get(std::chrono::nanoseconds deadline) {
        if (!value_) {
            boost::system::error_code ignored;
            timer_.expires_after(
                std::chrono::duration_cast<std::chrono::steady_clock::duration>(deadline));
            co_await timer_.async_wait(
                boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
        }
        co_return std::move(value_);
    }

private:
    boost::asio::steady_timer timer_;
    std::optional<T> value_;
};

}  // namespace relevo::agent
