// What may block (files, forks, lookups) runs on a thread pool while the loop goes on. The one
// helper that the loop's coroutines use for it; a plain handle on the pool, which its owner joins
// last of all.
#pragma once

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/error_code.hpp>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "base/time.h"
#include "os/task.h"

namespace relevo::os {

namespace detail {
template <class Work>
Task<std::invoke_result_t<Work>> call(Work work) {
    co_return work();
}
}  // namespace detail

class Blocking {
public:
    explicit Blocking(boost::asio::thread_pool& pool) : pool_(pool) {}
    boost::asio::thread_pool& pool() { return pool_; }

    // work() on the pool; the caller goes on where it was. Not interruptible: the caller's frame
    // stays until work has ended, so it may refer to it.
    template <class Work>
    Task<std::invoke_result_t<Work>> run(Work work) {
        auto running = detail::call(std::move(work));
        // A cancelled caller must not reach into the other thread: asio's co_spawn would throw
        // there, where nobody catches (std::terminate), when the cancellation comes while work
        // runs.
        auto unreachable = boost::asio::bind_cancellation_slot(boost::asio::cancellation_slot(),
                                                               boost::asio::use_awaitable);
        auto result =
            co_await boost::asio::co_spawn(pool_, std::move(running), std::move(unreachable));
        co_return result;
    }

    // The same, but the caller waits no longer than `patience`: nothing comes back then, and work
    // goes on for itself. It must own all that it uses, and returns a value. For what must not wait
    // on a disk.
    template <class Work>
    Task<std::optional<std::invoke_result_t<Work>>> run_within(Duration patience, Work work) {
        const auto executor = co_await boost::asio::this_coro::executor;
        struct Shared {
            boost::asio::steady_timer alarm;
            std::optional<std::invoke_result_t<Work>> result;
        };
        auto shared = std::make_shared<Shared>(
            Shared{boost::asio::steady_timer(executor, patience), std::nullopt});
        boost::asio::post(pool_, [shared, executor, work = std::move(work)]() mutable {
            auto value = work();
            // The shared state belongs to the loop: only there is it touched.
            boost::asio::post(executor, [shared, value = std::move(value)]() mutable {
                shared->result.emplace(std::move(value));
                shared->alarm.cancel();
            });
        });
        boost::system::error_code ignored;
        co_await shared->alarm.async_wait(
            boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
        co_return std::move(shared->result);
    }

private:
    boost::asio::thread_pool& pool_;
};

}  // namespace relevo::os
