#include "agent/poolers.h"

#include <gtest/gtest.h>

#include <list>

#include "os/clock.h"
#include "os/test_loop.h"

namespace relevo::agent {
namespace {

using namespace std::chrono_literals;
using Said = cluster::GatewayReport::Outcome;

class PoolersTest : public testing::Test {
protected:
    struct RealClock final : ports::Clock {
        Duration ahead{};
        Instant now() const override { return os::boottime_now() + ahead; }
        WallTime wall() const override { return os::wall_now(); }
    };
    os::TestLoop loop;
    RealClock clock;
    Poolers poolers{loop.loop, clock};

    void report(const std::string& name, std::uint64_t hold = 0, Said outcome = Said::under_way) {
        cluster::GatewayReport said;
        said.name = name;
        said.hold = hold;
        said.outcome = outcome;
        if (outcome == Said::blocked) said.blockers = {{4711, "app", "workflow", "", "", 0ms}};
        poolers.report(said);
    }
    Poolers::Outcome held(std::uint64_t hold, Duration drain) {
        return loop.await(poolers.held(hold, drain));
    }
    void later(std::chrono::milliseconds when, std::function<void()> what) {
        timers_.emplace_back(loop.loop, when);
        timers_.back().async_wait([what = std::move(what)](boost::system::error_code) { what(); });
    }
    Duration took(const std::function<void()>& what) {
        const Instant began = os::boottime_now();
        what();
        return os::boottime_now() - began;
    }

private:
    std::list<boost::asio::steady_timer> timers_;
};

TEST_F(PoolersTest, WithoutAGatewayNobodyIsWaitedFor) {
    EXPECT_LT(took([&] { held(1, 5s); }), 1s);
}

TEST_F(PoolersTest, AllAreWaitedForAndNoLonger) {
    report("a");
    report("b");
    later(20ms, [&] { report("a", 7, Said::held); });
    later(60ms, [&] { report("b", 7, Said::held); });
    Poolers::Outcome outcome;
    const auto time = took([&] { outcome = held(7, 10s); });
    EXPECT_GE(time, 50ms);
    EXPECT_LT(time, 2s);
    EXPECT_TRUE(outcome.silent.empty());
    EXPECT_TRUE(outcome.blocked_at.empty());
}

TEST_F(PoolersTest, OneThatCannotEndsTheWait) {
    report("a");
    report("b");
    later(20ms, [&] { report("b", 7, Said::blocked); });
    const auto outcome = held(7, 10s);
    EXPECT_EQ(outcome.blocked_at, "b");
    ASSERT_EQ(outcome.blockers.size(), 1U);
    EXPECT_EQ(outcome.blockers[0].pid, 4711);
}

TEST_F(PoolersTest, OneThatDoesNotAnswerCostsNoMoreThanItsTime) {
    report("a");
    Poolers::Outcome outcome;
    const auto time = took([&] { outcome = held(7, 100ms); });
    EXPECT_GE(time, 100ms);
    EXPECT_LT(time, 2s);
    EXPECT_EQ(outcome.silent, std::vector<std::string>{"a"});
}

TEST_F(PoolersTest, OneThatIsGoneIsNotWaitedFor) {
    report("a");
    clock.ahead = 2s;
    EXPECT_LT(took([&] { held(7, 10s); }), 1s);
}

TEST_F(PoolersTest, APollWithoutAWordTakesNothingBack) {
    report("a", 7, Said::held);
    report("a");
    EXPECT_TRUE(held(7, 50ms).silent.empty());
}

TEST_F(PoolersTest, AWordOfAnotherHoldIsNone) {
    report("a", 6, Said::held);
    EXPECT_EQ(held(7, 50ms).silent, std::vector<std::string>{"a"});
}

}  // namespace
}  // namespace relevo::agent
