// The pool of threads where there is no server at all.
#include "relevo/blocking.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "client/direct.h"

namespace relevo::client {
namespace {

using namespace std::chrono_literals;

// A port that is ours and where nobody listens (refused), or listens and never says a word.
class Port {
public:
    explicit Port(bool listens) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
        if (listens) EXPECT_EQ(::listen(fd_, 16), 0);
        EXPECT_EQ(::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size), 0);
        number_ = ntohs(address.sin_port);
    }
    Port(const Port&) = delete;
    Port& operator=(const Port&) = delete;
    ~Port() { ::close(fd_); }
    Options options() const {
        return {.conninfo = "host=127.0.0.1 user=u dbname=d port=" + std::to_string(number_),
                .size = 2};
    }

private:
    int fd_;
    int number_ = 0;
};

TEST(Blocking, ManyThreadsWithoutAServerEndAtTheirDeadline) {
    for (const bool listens : {false, true}) {
        const Port port(listens);
        const auto pool = BlockingPool::make(port.options());
        ASSERT_TRUE(pool) << pool.error().message;
        std::atomic<int> unavailable = 0;
        {
            std::vector<std::jthread> threads;
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
