// Runs coroutines from a plain test: one io_context, driven until what is waited for has come.
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <exception>
#include <functional>
#include <optional>

#include "ports/task.h"

namespace relevo::tests {

class Loop {
public:
    boost::asio::io_context io;

    template <class T>
    T run(Task<T> task) {
        std::optional<T> result;
        boost::asio::co_spawn(io, std::move(task), [&](std::exception_ptr error, T value) {
            if (error) std::rethrow_exception(error);
            result = std::move(value);
        });
        if (!until([&] { return result.has_value(); }))
            throw std::runtime_error("the task never ended");
        return std::move(*result);
    }

    void run(Task<void> task) {
        bool done = false;
        boost::asio::co_spawn(io, std::move(task), [&](std::exception_ptr error) {
            if (error) std::rethrow_exception(error);
            done = true;
        });
        if (!until([&] { return done; })) throw std::runtime_error("the task never ended");
    }

    // true: it came to hold within the time.
    bool until(const std::function<bool()>& holds,
               std::chrono::steady_clock::duration limit = std::chrono::seconds(30)) {
        io.restart();  // it has stopped when it ran out of work before
        const auto work = boost::asio::make_work_guard(io);
        const auto end = std::chrono::steady_clock::now() + limit;
        while (!holds()) {
            if (std::chrono::steady_clock::now() >= end) return false;
            io.run_one_until(end);
        }
        return true;
    }

    void run_for(std::chrono::steady_clock::duration time) {
        until([] { return false; }, time);
    }
};

}  // namespace relevo::tests
