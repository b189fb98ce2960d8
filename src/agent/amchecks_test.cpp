// When a member looks through its data: with a clock, a cluster and a look that the test plays.
#include "agent/amchecks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/test_loop.h"

namespace relevo::agent {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const WallTime midnight{std::chrono::sys_days{std::chrono::year{2026} / 5 / 14}};

struct PlayedClock final : ports::Clock {
    WallTime at = midnight;
    Instant now() const override { return Instant(at.time_since_epoch()); }
    WallTime wall() const override { return at; }
};

class AmchecksTest : public ::testing::Test {
public:
    ~AmchecksTest() override { t.await(amchecks.stop()); }

protected:
    os::TestLoop t;
    PlayedClock clock;
    std::shared_ptr<ports::View> view = std::make_shared<ports::View>();
    std::shared_ptr<cluster::Snapshot> snapshot = std::make_shared<cluster::Snapshot>();
    int runs = 0;
    bool ends = true;  // by itself, at once
    Status outcome;
    std::vector<std::string> found;
    Amchecks amchecks{t.loop, parts()};

    AmchecksTest() {
        view->name = "b";
        view->postgres.server = cluster::Server::running;
        view->snapshot = snapshot;
        for (const char* name : {"a", "b", "c"}) {
            snapshot->members[name].name = name;
            snapshot->members[name].state = cluster::State::running;
        }
        leads("a");
    }

    Amchecks::Parts parts() {
        return {.clock = clock,
                .view = [this] { return view; },
                .run = [this](auto plan) { return run(std::move(plan)); },
                .found = [this](auto relation) { found.push_back(relation.where); },
                .changed = [] {},
                .zone = [] { return cluster::Zone(); },
                .look_again = 2ms};
    }
    Task<Status> run(ports::Postgres::AmcheckPlan plan) {
        ++runs;
        cluster::AmcheckRun seen;
        seen.databases = 1;
        seen.relations = 7;
        plan.progress(seen);
        if (ends) co_return outcome;
        boost::asio::steady_timer timer(t.loop, boost::asio::steady_timer::time_point::max());
        co_await timer.async_wait(boost::asio::use_awaitable);
        co_return Status{};
    }
    void leads(const char* name) {
        snapshot->leader.emplace().name = name;
        view->leading = view->name == name;
        view->postgres.in_recovery = !view->leading;
    }
    void schedule(const char* cron) {
        view->settings.corruption.amcheck = cron;
        amchecks.see();
        amchecks.start();
    }
    void at(WallTime time) {
        clock.at = time;
        pass();
    }
    void pass() {  // some looks at the clock
        t.until([] { return false; }, 20ms);
    }
    bool goes_on() const { return amchecks.state().run && !amchecks.state().run->ended; }
};

TEST_F(AmchecksTest, AStandbyLooksAtItsTimeAndOnce) {
    schedule("0 3 * * *");
    at(midnight + 3h - 1s);
    EXPECT_EQ(runs, 0);
    at(midnight + 3h);
    EXPECT_EQ(runs, 1);
    at(midnight + 3h + 1min);
    EXPECT_EQ(runs, 1);
    ASSERT_TRUE(amchecks.state().complete);
    EXPECT_EQ(amchecks.state().complete->relations, 7U);
    at(midnight + 27h);
    EXPECT_EQ(runs, 2);
}

TEST_F(AmchecksTest, WithoutAScheduleNothingHappens) {
    schedule("");
    at(midnight + 72h);
    EXPECT_EQ(runs, 0);
}

// b is the first that does not lead when a leads, and the second when c does.
TEST_F(AmchecksTest, MembersTakeTheirTurns) {
    EXPECT_EQ(amcheck_turn(*view, 24h), 0s);
    leads("c");
    EXPECT_EQ(amcheck_turn(*view, 24h), 30min);
    EXPECT_EQ(amcheck_turn(*view, 60s), 30s) << "before the next instant";
    schedule("0 3 * * *");
    at(midnight + 3h + 29min);
    EXPECT_EQ(runs, 0);
    at(midnight + 3h + 30min);
    EXPECT_EQ(runs, 1);
    // A turn that comes to be an earlier one is not missed.
    at(midnight + 27h);
    clock.at = midnight + 27h + 10min;
    pass();
    EXPECT_EQ(runs, 1);
    leads("a");
    pass();
    EXPECT_EQ(runs, 2);
    view->snapshot.reset();
    EXPECT_EQ(amcheck_turn(*view, 24h), 0s);
}

TEST_F(AmchecksTest, WhatIsMissedIsNotMadeUpFor) {
    schedule("0 3 * * *");
    at(midnight + 9h);  // the host slept
    EXPECT_EQ(runs, 0);
    view->postgres.server = cluster::Server::stopped;
    at(midnight + 27h);
    EXPECT_EQ(runs, 0);
    view->postgres.server = cluster::Server::running;
    at(midnight + 27h + 1min);
    EXPECT_EQ(runs, 0);
    at(midnight + 51h);
    EXPECT_EQ(runs, 1);
}

TEST_F(AmchecksTest, AClockThatIsPutBackKeepsNobodyFromLooking) {
    schedule("0 3 * * *");
    at(midnight + 240h);
    at(midnight + 1h);
    const auto before = runs;
    at(midnight + 3h);
    EXPECT_EQ(runs, before + 1);
}

TEST_F(AmchecksTest, ALeaderLooksOnlyWhereNoOtherMemberRuns) {
    leads("b");
    EXPECT_THAT(why_no_amcheck(*view, true), HasSubstr("this member leads"));
    EXPECT_EQ(amchecks.begin().code, 409);
    for (const char* name : {"a", "c"}) snapshot->members[name].state = cluster::State::stopped;
    EXPECT_THAT(why_no_amcheck(*view, true), IsEmpty());
    EXPECT_EQ(amchecks.begin().code, 202);
    view->snapshot.reset();
    EXPECT_THAT(why_no_amcheck(*view, true), HasSubstr("does not know"));
    view->leading = false;
    EXPECT_THAT(why_no_amcheck(*view, true), HasSubstr("does not lead"));
}

TEST_F(AmchecksTest, ItIsGivenUpWhenThisMemberComesToLead) {
    ends = false;
    EXPECT_EQ(amchecks.begin().code, 202);
    EXPECT_EQ(amchecks.begin().code, 409);
    pass();
    EXPECT_TRUE(goes_on());
    view->postgres.server = cluster::Server::hung;  // for a moment: that is not ours to judge
    amchecks.see();
    pass();
    EXPECT_TRUE(goes_on());
    leads("b");
    amchecks.see();
    pass();
    ASSERT_FALSE(goes_on());
    EXPECT_THAT(amchecks.state().run->given_up, HasSubstr("this member leads"));
    EXPECT_FALSE(amchecks.state().complete);
    EXPECT_EQ(runs, 1);
}

TEST_F(AmchecksTest, ItEndsByAWordAndWithTheAgent) {
    ends = false;
    EXPECT_EQ(amchecks.end().code, 404);
    amchecks.begin();
    pass();
    EXPECT_EQ(amchecks.end().code, 200);
    pass();
    ASSERT_FALSE(goes_on());
    EXPECT_EQ(amchecks.state().run->given_up, "somebody ended it");
    EXPECT_EQ(amchecks.begin().code, 202);
    t.await(amchecks.stop());
    EXPECT_FALSE(goes_on());
    EXPECT_EQ(amchecks.begin().code, 503);
}

TEST_F(AmchecksTest, OneThatIsDueWhileOneGoesOnIsLeftOut) {
    ends = false;
    schedule("0 * * * *");
    at(midnight + 1h);
    at(midnight + 2h);
    EXPECT_EQ(runs, 1);
    EXPECT_TRUE(goes_on());
}

TEST_F(AmchecksTest, OneThatFailsSaysWhyAndIsNotTheLastCompleteOne) {
    amchecks.begin();
    pass();
    ASSERT_TRUE(amchecks.state().complete);
    const auto complete = *amchecks.state().complete;
    clock.at += 1h;
    outcome = fail(ErrorCode::unavailable, "the server went away");
    amchecks.begin();
    pass();
    EXPECT_EQ(amchecks.state().run->given_up, "the server went away");
    EXPECT_EQ(*amchecks.state().complete, complete);
}

}  // namespace
}  // namespace relevo::agent
