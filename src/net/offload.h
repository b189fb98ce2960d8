// What may block (files, forks, lookups) runs on a thread pool while the loop goes on.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <type_traits>
#include <utility>

#include "net/task.h"

namespace relevo::net {

namespace detail {
template <class Work>
Task<std::invoke_result_t<Work>> call(Work work) {
    co_return work();
}
}  // namespace detail

// Runs work() on the pool; the caller goes on where it was. Not interruptible: work must end by
// itself.
template <class Work>
Task<std::invoke_result_t<Work>> offload(boost::asio::thread_pool& pool, Work work) {
    auto running = detail::call(std::move(work));
    auto result =
        co_await boost::asio::co_spawn(pool, std::move(running), boost::asio::use_awaitable);
    co_return result;
}

}  // namespace relevo::net
