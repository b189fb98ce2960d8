#include "os/blocking.h"

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <exception>
#include <thread>

namespace relevo::os {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

// asio's co_spawn, told to cancel while work ran on the other thread, ended the whole program.
TEST(Blocking, lets_work_end_when_its_caller_is_cancelled_meanwhile) {
    asio::thread_pool threads(2);
    Blocking pool(threads);
    for (int round = 0; round < 6; ++round) {
        asio::io_context loop;
        asio::cancellation_signal cancel;
        asio::steady_timer timer(loop, round % 2 == 0 ? 0ms : 5ms);
        timer.async_wait([&](const auto&) { cancel.emit(asio::cancellation_type::terminal); });
        const auto action = [&pool]() -> Task<int> {
            co_await asio::this_coro::throw_if_cancelled(false);
            const int answer = co_await pool.run([] {
                std::this_thread::sleep_for(20ms);  // the work itself: something that blocks
                return 42;
            });
            co_return answer;
        };
        int answer = 0;
        bool thrown = false;
        asio::co_spawn(loop, action(),
                       asio::bind_cancellation_slot(
                           cancel.slot(), [&](const std::exception_ptr& error, int value) {
                               thrown = error != nullptr;
                               answer = value;
                           }));
        loop.run();
        EXPECT_FALSE(thrown);
        EXPECT_EQ(answer, 42);
    }
}

}  // namespace
}  // namespace relevo::os
