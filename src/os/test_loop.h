// For tests: a loop, a pool, and a coroutine run to its end on them.
#pragma once

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <exception>
#include <functional>
#include <optional>
#include <utility>

#include "os/blocking.h"
#include "os/task.h"

namespace relevo::os {

struct TestLoop {
    boost::asio::io_context loop;
    boost::asio::thread_pool threads{3};
    Blocking pool{threads};

    ~TestLoop() { threads.join(); }

    // Drives the loop until the task has ended; what it throws is thrown here.
    template <class T>
    T await(Task<T> task) {
        std::optional<T> result;
        std::exception_ptr problem;
        boost::asio::co_spawn(loop, std::move(task), [&](std::exception_ptr thrown, T value) {
            problem = thrown;
            result.emplace(std::move(value));
        });
        loop.restart();
        while (!result && loop.run_one() > 0) {
        }
        if (problem) std::rethrow_exception(problem);
        return *std::move(result);
    }
    void await(Task<void> task) {
        bool done = false;
        boost::asio::co_spawn(loop, std::move(task), [&](std::exception_ptr thrown) {
            done = true;
            if (thrown) std::rethrow_exception(thrown);
        });
        loop.restart();
        while (!done && loop.run_one() > 0) {
        }
    }
    // Drives the loop until the condition holds (true) or the time is over.
    bool until(const std::function<bool()>& condition, Duration patience) {
        loop.restart();
        const auto end = std::chrono::steady_clock::now() + patience;
        while (!condition() && std::chrono::steady_clock::now() < end) {
            loop.run_one_for(std::chrono::milliseconds(5));
            if (loop.stopped()) loop.restart();
        }
        return condition();
    }
};

}  // namespace relevo::os
