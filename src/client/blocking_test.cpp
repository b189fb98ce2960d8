// The pool of threads where there is no server at all.
#include "relevo/blocking.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

#include "client/direct.h"
#include "client/test_port.h"

namespace relevo::client {
namespace {

using namespace std::chrono_literals;
using testing::Port;

TEST(Blocking, ManyThreadsWithoutAServerEndAtTheirDeadline) {
    for (const bool listens : {false, true}) {
        const Port port(listens);
        const auto pool = BlockingPool::make(port.options());
        ASSERT_TRUE(pool) << pool.error().message;
        std::atomic<int> unavailable = 0;
        {
            std::vector<std::jthread> threads;
            threads.reserve(8);
            for (int i = 0; i < 8; ++i)
                threads.emplace_back([&] {
                    const auto rows = (*pool)->execute("SELECT 1", {}, {.deadline = 300ms});
                    unavailable += !rows && rows.error().kind == Kind::unavailable ? 1 : 0;
                });
        }
        EXPECT_EQ(unavailable, 8);
        EXPECT_EQ((*pool)->counts().open, 0u);
        EXPECT_EQ((*pool)->counts().calls, 8u);
    }
}

TEST(Blocking, ClosingFromAnotherThreadEndsTheCallsThatLookForAServer) {
    const Port port(false);
    const auto pool = BlockingPool::make(port.options());
    ASSERT_TRUE(pool) << pool.error().message;
    std::atomic<int> closed = 0;
    const auto began = std::chrono::steady_clock::now();
    {
        std::vector<std::jthread> threads;
        threads.reserve(8);
        for (int i = 0; i < 8; ++i)
            threads.emplace_back([&] {
                const auto done =
                    (*pool)->transaction([](BlockingTransaction&) { return Expected<void>{}; });
                closed += !done && done.error().kind == Kind::closed ? 1 : 0;
            });
        while ((*pool)->counts().calls < 8) std::this_thread::yield();
        (*pool)->close();
    }
    EXPECT_EQ(closed, 8);
    EXPECT_LT(std::chrono::steady_clock::now() - began, 10s);  // and not the deadline of 30 s
}

TEST(Blocking, ThePoolsEndWaitsForItsCalls) {
    const Port port(false);
    auto pool = BlockingPool::make(port.options());
    ASSERT_TRUE(pool) << pool.error().message;
    Expected<Rows> rows;
    std::jthread caller([&, raw = pool->get()] { rows = raw->execute("SELECT 1"); });
    while ((*pool)->counts().calls < 1) std::this_thread::yield();
    pool->reset();  // what the call still used would be gone: the sanitizers' to see
    caller.join();
    ASSERT_FALSE(rows);
    EXPECT_EQ(rows.error().kind, Kind::closed);
}

Direct<int> twice(int n) {
    if (n < 0) throw std::runtime_error("negative");
    co_return 2 * n;
}
Direct<int> twice_and_more(int n) {
    const int doubled = co_await twice(n);
    const int one = co_await Ready<int>{1};
    co_return doubled + one;
}

TEST(Direct, RunsToItsEndAtOnceAndPassesOnWhatIsThrown) {
    EXPECT_EQ(twice_and_more(3).get(), 7);
    EXPECT_THROW(static_cast<void>(twice_and_more(-1).get()), std::runtime_error);
}

}  // namespace
}  // namespace relevo::client
