// Many threads on one pool, while servers die, freeze and come back, and while it is closed.
#include <signal.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "proxy.h"
#include "servers.h"

namespace relevo::client {
namespace {

using namespace std::chrono_literals;
using testing::children_of;
using testing::kill_all_of;
using testing::postmaster_of;

class ClientThreads : public testing::ClientServers {
protected:
    // Each of so many threads does it until the time is over.
    template <class Once>
    static void each(int threads, std::chrono::milliseconds length, Once once) {
        const auto until = std::chrono::steady_clock::now() + length;
        std::vector<std::jthread> running;
        for (int i = 0; i < threads; ++i)
            running.emplace_back([&, i] {
                while (std::chrono::steady_clock::now() < until) once(i);
            });
    }
};
class ClientClusterThreads : public testing::ClientCluster {};

INSTANTIATE_TEST_SUITE_P(Faces, ClientThreads, testing::faces, testing::face_name);
INSTANTIATE_TEST_SUITE_P(Faces, ClientClusterThreads, testing::faces, testing::face_name);

// More threads than connections, so that they also wait for each other.
TEST_P(ClientThreads, CountOnceThroughCrashesOfThePrimary) {
    value(primary, outcome_table_sql("public.relevo_outcome"));
    auto o = options({primary.port});
    o.size = 4;
    o.outcome_table = "public.relevo_outcome";
    o.budget.saved = 10000;  // the budget is not what is tested
    const auto p = pool(o);
    std::atomic<long> committed = 0, unknown = 0, other = 0, read = 0;
    std::mutex mutex;
    std::string first_other;
    std::jthread crashes([&] {
        for (int i = 0; i < 2; ++i) {
            std::this_thread::sleep_for(700ms);
            kill_all_of(primary);
            start(primary, std::nullopt);
        }
    });
    each(12, 3s, [&](int thread) {
        if (thread % 3 == 0) {
            const auto rows = p->execute("SELECT n FROM public.counter", {}, {.idempotent = true});
            read += rows ? 1 : 0;
            return;
        }
        const auto done = p->transaction(increment);
        if (done) {
            ++committed;
        } else if (done.error().kind == Kind::unknown) {
            ++unknown;
        } else {
            ++other;
            const std::lock_guard lock(mutex);
            if (first_other.empty()) first_other = done.error().message;
        }
    });
    crashes.join();
    EXPECT_EQ(other, 0) << first_other;
    EXPECT_EQ(unknown, 0);  // with an outcome table everything can be told
    EXPECT_GT(committed, 20);
    EXPECT_GT(read, 20);
    EXPECT_EQ(count(), std::to_string(committed));
    EXPECT_LE(p->counts().open, 4u);
    EXPECT_GT(p->counts().retries, 0u);
}

// All of them wait for a server that answers nothing; the pool's own look finds the new primary and
// interrupts them.
TEST_P(ClientClusterThreads, AllLeaveAFrozenPrimary) {
    auto o = options({primary.port, standby.port});
    o.size = 4;
    const auto p = pool(o);
    ASSERT_TRUE(p->transaction(increment));
    ASSERT_TRUE(becomes(standby, "SELECT n FROM public.counter", "1"));
    const auto postmaster = postmaster_of(primary);
    ::kill(postmaster, SIGSTOP);
    const auto children = children_of(postmaster);
    for (const auto pid : children) ::kill(pid, SIGSTOP);
    std::atomic<int> done = 0;
    const auto began = std::chrono::steady_clock::now();
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 8; ++i)
            threads.emplace_back([&] { done += p->transaction(increment) ? 1 : 0; });
        promote(standby);
    }
    const auto took = std::chrono::steady_clock::now() - began;
    for (const auto pid : children) ::kill(pid, SIGCONT);
    ::kill(postmaster, SIGCONT);
    EXPECT_EQ(done, 8);
    EXPECT_LT(took, 15s);  // and not the deadline of 30 s
    EXPECT_EQ(value(standby, "SELECT n FROM public.counter"), "9");
}

TEST_P(ClientThreads, CloseEndsThoseThatWaitAndLetsTheOthersEnd) {
    auto o = options({primary.port});
    o.size = 1;
    const auto p = pool(o);
    ASSERT_TRUE(p->execute("SELECT 1"));
    Expected<Rows> running;
    std::jthread first([&] { running = p->execute("SELECT pg_sleep(2)"); });
    ASSERT_TRUE(becomes(primary,
                        "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'", "1"));
    std::atomic<int> closed = 0;
    const auto began = std::chrono::steady_clock::now();
    {
        std::vector<std::jthread> waiting;
        for (int i = 0; i < 4; ++i)
            waiting.emplace_back([&] {
                const auto rows = p->execute("SELECT 1");
                closed += !rows && rows.error().kind == Kind::closed ? 1 : 0;
            });
        p->close();
    }
    EXPECT_LT(std::chrono::steady_clock::now() - began, 1500ms);
    EXPECT_EQ(closed, 4);
    first.join();
    EXPECT_TRUE(running) << running.error().message;
    EXPECT_EQ(p->counts().open, 0u);
}

// Whoever gives up at the deadline hands on what it was called for.
TEST_P(ClientThreads, ThoseThatWaitForAConnectionEndAtTheirDeadline) {
    auto o = options({primary.port});
    o.size = 1;
    const auto p = pool(o);
    ASSERT_TRUE(p->execute("SELECT 1"));
    std::jthread first([&] { static_cast<void>(p->execute("SELECT pg_sleep(1)")); });
    ASSERT_TRUE(becomes(primary,
                        "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'", "1"));
    std::atomic<int> late = 0, good = 0;
    {
        std::vector<std::jthread> waiting;
        for (int i = 0; i < 8; ++i)
            waiting.emplace_back([&, i] {
                const auto rows = p->execute(
                    "SELECT 1", {}, {.deadline = i % 2 == 0 ? Duration(100ms) : Duration(20s)});
                late += !rows && rows.error().kind == Kind::unavailable ? 1 : 0;
                good += rows ? 1 : 0;
            });
    }
    EXPECT_EQ(late, 4);
    EXPECT_EQ(good, 4);
}

}  // namespace
}  // namespace relevo::client
