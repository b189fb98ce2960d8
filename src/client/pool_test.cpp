// The pool of coroutines where there is no server at all.
#include "relevo/pool.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <exception>

#include "client/test_port.h"

namespace relevo::client {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using testing::Port;

template <class Test>
void run(const Port& port, Test test) {
    asio::io_context io(1);
    const auto pool = Pool::make(io.get_executor(), port.options());
    ASSERT_TRUE(pool) << pool.error().message;
    asio::co_spawn(io, test(*pool), [](const std::exception_ptr& thrown) {
        if (thrown) std::rethrow_exception(thrown);
    });
    io.run();
}

// Asio's cancellation is an exception inside. What the call held for others, the search for the
// primary and its share of the pool, must not stay taken.
TEST(Pool, ACallThatIsCancelledLeavesNothingBehind) {
    using namespace asio::experimental::awaitable_operators;
    const Port port(true);  // the search hangs
    run(port, [](std::shared_ptr<Pool> pool) -> Task<void> {
        for (int i = 0; i < 3; ++i) {  // one more than the pool has connections
            asio::steady_timer timer(co_await asio::this_coro::executor, 20ms);
            const auto which =
                co_await (pool->execute("SELECT 1") || timer.async_wait(asio::use_awaitable));
            EXPECT_EQ(which.index(), 1u);
        }
        EXPECT_EQ(pool->counts().open, 0u);
        const auto searches = pool->counts().searches;
        const auto rows = co_await pool->execute("SELECT 1", {}, {.deadline = 200ms});
        EXPECT_FALSE(rows);
        if (!rows) EXPECT_EQ(rows.error().kind, Kind::unavailable);
        EXPECT_GT(pool->counts().searches, searches);
    });
}

// The loop may end with calls in the middle of it.
TEST(Pool, TheLoopsEndInTheMiddleOfCallsIsHarmless) {
    const Port port(true);
    asio::io_context io(1);
    const auto pool = Pool::make(io.get_executor(), port.options());
    ASSERT_TRUE(pool) << pool.error().message;
    for (int i = 0; i < 5; ++i)  // two that search or wait for that, three that wait for those
        asio::co_spawn(
            io,
            [](std::shared_ptr<Pool> its) -> Task<void> {
                static_cast<void>(co_await its->execute("SELECT 1"));
                ADD_FAILURE() << "it ended";
            }(*pool),
            [](const std::exception_ptr&) {});
    io.run_for(50ms);
    EXPECT_EQ((*pool)->counts().open, 2u);
}

}  // namespace
}  // namespace relevo::client
