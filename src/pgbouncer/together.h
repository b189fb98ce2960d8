// Several coroutines side by side, and their common end.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <memory>
#include <utility>

#include "ports/task.h"

namespace relevo::pgbouncer {

// Calls each at once and returns when the last has ended.
class Together {
public:
    explicit Together(boost::asio::io_context& loop)
        : loop_(loop), done_(std::make_shared<State>(loop)) {
        done_->timer.expires_at(boost::asio::steady_timer::time_point::max());
    }
    void add(Task<void> task) {
        ++done_->open;
        boost::asio::co_spawn(loop_, std::move(task),
                              [state = done_](const std::exception_ptr& error) {
                                  if (--state->open == 0) state->timer.cancel();
                                  if (error) std::rethrow_exception(error);
                              });
    }
    Task<void> wait() {
        const auto state = done_;
        while (state->open > 0)
            co_await state->timer.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
    }

private:
    struct State {
        explicit State(boost::asio::io_context& loop) : timer(loop) {}
        boost::asio::steady_timer timer;
        int open = 0;
    };
    boost::asio::io_context& loop_;
    std::shared_ptr<State> done_;
};

}  // namespace relevo::pgbouncer
