// One at a time, in the order of coming: a lock for coroutines of one thread.
#pragma once

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <deque>
#include <memory>
#include <utility>

#include "base/time.h"
#include "os/task.h"

namespace relevo::os {

class Turn {
    struct Waiter {
        boost::asio::steady_timer timer;
        bool granted = false;
    };
    struct State {
        bool taken = false;
        std::deque<std::shared_ptr<Waiter>> waiting;
        void pass_on() {
            if (waiting.empty()) {
                taken = false;
                return;
            }
            waiting.front()->granted = true;
            waiting.front()->timer.cancel();
            waiting.pop_front();
        }
    };

public:
    class Held {
    public:
        Held() = default;
        explicit Held(std::shared_ptr<State> state) : state_(std::move(state)) {}
        Held(Held&& other) noexcept = default;
        Held& operator=(Held&& other) noexcept {
            std::swap(state_, other.state_);
            return *this;
        }
        ~Held() {
            if (state_) state_->pass_on();
        }
        explicit operator bool() const { return state_ != nullptr; }

    private:
        std::shared_ptr<State> state_;
    };

    // False only when the waiting coroutine was cancelled.
    Task<Held> take() { return take_until(boost::asio::steady_timer::time_point::max()); }
    // False also when it lasted longer.
    Task<Held> take_within(Duration patience) {
        return take_until(std::chrono::steady_clock::now() + patience);
    }
    bool taken() const { return state_->taken; }

private:
    Task<Held> take_until(boost::asio::steady_timer::time_point until) {
        const auto state = state_;
        if (!state->taken) {
            state->taken = true;
            co_return Held(state);
        }
        const auto executor = co_await boost::asio::this_coro::executor;
        auto waiter = std::make_shared<Waiter>(Waiter{boost::asio::steady_timer(executor, until)});
        state->waiting.push_back(waiter);
        boost::system::error_code ignored;
        co_await waiter->timer.async_wait(
            boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
        if (waiter->granted) co_return Held(state);
        std::erase(state->waiting, waiter);
        co_return Held();
    }

    std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace relevo::os
