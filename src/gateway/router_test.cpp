#include "gateway/router.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace relevo::gateway {
namespace {

using namespace std::chrono_literals;
using cluster::MemberStream;
using ports::Endpoint;
using ports::Route;
using Outcome = cluster::GatewayReport::Outcome;

// Three members, "a" leads under term 10. What the pooler is told it does at once, unless the test
// keeps the answer back.
class Cluster {
public:
    Cluster() {
        state.options.scope = "demo";
        for (const char* name : {"a", "b", "c"}) views[name] = standby(name);
        lead("a", 10);
    }

    static MemberStream standby(const std::string& name) {
        MemberStream view;
        view.scope = "demo";
        view.name = name;
        view.standby = view.streaming = true;
        view.timeline = view.leader_timeline = 1;
        view.host = "10.0.0." + std::to_string(name[0] - 'a' + 1);
        view.port = 5432;
        return view;
    }
    void lead(const std::string& name, cluster::Revision term) {
        auto& view = views[name];
        view.standby = view.streaming = false;
        view.primary = true;
        view.term = term;
        view.serves_for = 5s;
        for (auto& [other, seen] : views) seen.seen = cluster::SeenLeader{name, term};
    }
    void fall(const std::string& name) {  // its PostgreSQL is gone, and its lead
        views[name].primary = false;
        views[name].term = 0;
        views[name].serves_for = {};
    }
    void all_speak() {
        for (const auto& [name, view] : views)
            if (!dead.contains(name)) speak(name);
    }
    void speak(const std::string& name) { feed(Heard{"http://" + name, views[name], now}); }
    void silent(const std::string& name) { feed(Silent{"http://" + name, name + " is silent"}); }
    void die(const std::string& name) {
        dead.insert(name);
        silent(name);
    }
    // The members speak all the while.
    void pass(Duration time) {
        for (const Instant end = now + time; now < end;) {
            now += 100ms;
            all_speak();
            feed(TimerFired{});
        }
    }

    void feed(const Event& event) {
        auto out = step(state, event, now);
        for (const auto& effect : out.effects) carry_out(effect);
    }
    void carry_out(const Effect& effect) {
        effects.push_back(effect);
        if (const auto* repoint = std::get_if<Repoint>(&effect)) {
            const auto routes = repoint->routes;
            if (pooler) leads_to = routes;
            feed(RepointDone{routes, pooler});
        } else if (const auto* hold = std::get_if<Hold>(&effect)) {
            if (hold->route == Route::writes) held = true;
            if (drains) feed(HoldDone{hold->route, blockers});
        } else if (const auto* release = std::get_if<Release>(&effect)) {
            if (release->route == Route::writes) {
                held = false;
                EXPECT_EQ(leads_to.term, state.term) << "clients go on to an old term";
            }
            feed(ReleaseDone{release->route, {}});
        }
    }
    template <class E>
    int count() const {
        return static_cast<int>(std::ranges::count_if(
            effects, [](const Effect& e) { return std::holds_alternative<E>(e); }));
    }
    template <class E>
    const E* last() const {
        const E* found = nullptr;
        for (const auto& effect : effects)
            if (const auto* e = std::get_if<E>(&effect)) found = e;
        return found;
    }
    std::string to() const { return leads_to.writes ? leads_to.writes->host : "nobody"; }
    void begin() {
        all_speak();
        pass(1s);
        ASSERT_EQ(to(), "10.0.0.1");
        ASSERT_FALSE(held);
        ASSERT_EQ(state.writes.state, Lane::State::open);
        effects.clear();
    }

    State state;
    Instant now{std::chrono::hours(1)};
    std::map<std::string, MemberStream> views;
    std::set<std::string> dead;
    std::vector<Effect> effects;
    ports::Routes leads_to;
    bool held = false, drains = true;
    std::vector<cluster::Blocker> blockers;
    Status pooler;
};

TEST(Router, LeadsToWhoeverSaysThatItServes) {
    Cluster c;
    c.begin();
    c.pass(10s);
    EXPECT_EQ(c.count<Repoint>(), 0);
    EXPECT_EQ(c.count<Hold>(), 0);
}

TEST(Router, WithoutALeaderNothingIsStarted) {
    Cluster c;
    c.fall("a");
    c.pass(10s);
    EXPECT_EQ(c.count<Repoint>(), 0);
}

TEST(Router, HoldsBeforeAPlannedSwitchoverAndLetsGoToTheNewLeader) {
    Cluster c;
    c.begin();
    c.views["a"].hold = cluster::PoolerHold{7, 2000ms};
    c.speak("a");
    EXPECT_TRUE(c.held);
    ASSERT_TRUE(c.last<Report>());
    EXPECT_EQ(c.last<Report>()->outcome, Outcome::held);
    EXPECT_LE(c.last<Hold>()->drain, 2s);
    c.pass(300ms);
    c.fall("a");
    c.views["a"].hold.reset();
    c.pass(200ms);
    EXPECT_TRUE(c.held);
    for (auto& [name, view] : c.views) view.seen = cluster::SeenLeader{};
    c.pass(200ms);
    c.lead("b", 20);
    c.views["b"].serves_for = {};
    c.pass(200ms);
    EXPECT_TRUE(c.held);
    c.views["b"].serves_for = 5s;
    c.speak("b");
    EXPECT_FALSE(c.held);
    EXPECT_EQ(c.to(), "10.0.0.2");
    EXPECT_EQ(c.leads_to.term, 20);
}

TEST(Router, ATransactionThatDoesNotEndIsNamedAndTheClientsGoOn) {
    Cluster c;
    c.begin();
    c.blockers = {{4711, "app", "workflow", "", "", 0ms}};
    c.views["a"].hold = cluster::PoolerHold{7, 2000ms};
    c.speak("a");
    EXPECT_FALSE(c.held);
    EXPECT_EQ(c.last<Report>()->outcome, Outcome::blocked);
    EXPECT_EQ(c.state.planned->blockers.at(0).pid, 4711);
    // The leader still has its hold for a moment: nobody is held again for it.
    c.pass(500ms);
    EXPECT_FALSE(c.held);
    c.views["a"].hold.reset();
    c.pass(500ms);
    EXPECT_FALSE(c.held);
    EXPECT_EQ(c.to(), "10.0.0.1");
}

TEST(Router, ATransactionMayBeLetThroughByChoice) {
    Cluster c;
    c.state.options.let_through = true;
    c.begin();
    c.blockers = {{4711, "app", "workflow", "", "", 0ms}};
    c.views["a"].hold = cluster::PoolerHold{7, 2000ms};
    c.speak("a");
    EXPECT_TRUE(c.held);
    EXPECT_EQ(c.last<Report>()->outcome, Outcome::held);
}

TEST(Router, ASwitchoverThatIsCalledOffReleases) {
    Cluster c;
    c.begin();
    c.views["a"].hold = cluster::PoolerHold{7, 2000ms};
    c.pass(500ms);
    EXPECT_TRUE(c.held);
    c.views["a"].hold.reset();
    c.speak("a");
    EXPECT_FALSE(c.held);
    EXPECT_EQ(c.to(), "10.0.0.1");
}

TEST(Router, AHoldThatNothingComesOfEnds) {
    Cluster c;
    c.begin();
    c.views["a"].hold = cluster::PoolerHold{7, 2000ms};
    c.pass(9s);
    EXPECT_TRUE(c.held);
    c.pass(2s);
    EXPECT_FALSE(c.held);
    c.pass(5s);
    EXPECT_FALSE(c.held);
}

TEST(Router, ALeadersDeathHoldsAtOnceAndTheSuccessorReleases) {
    Cluster c;
    c.begin();
    c.fall("a");
    c.speak("a");
    EXPECT_TRUE(c.held);
    c.pass(300ms);
    c.lead("c", 30);
    c.speak("c");
    EXPECT_FALSE(c.held);
    EXPECT_EQ(c.to(), "10.0.0.3");
    ASSERT_TRUE(c.last<Drop>());
    EXPECT_EQ(c.last<Drop>()->server, (Endpoint{"10.0.0.1", 5432}));
}

TEST(Router, ACrashThatIsRestartedInPlaceReleasesToTheSameServer) {
    Cluster c;
    c.begin();
    c.views["a"].primary = false;
    c.views["a"].serves_for = {};
    c.pass(2s);
    EXPECT_TRUE(c.held);
    c.lead("a", 10);
    c.speak("a");
    EXPECT_FALSE(c.held);
    EXPECT_EQ(c.to(), "10.0.0.1");
    EXPECT_EQ(c.count<Drop>(), 0);
}

TEST(Router, APowerLossHoldsAtTheSecondSign) {
    Cluster c;
    c.begin();
    c.die("a");
    c.pass(200ms);
    EXPECT_FALSE(c.held);  // its agent's silence alone is no sign of its PostgreSQL's end
    c.views["b"].suspects = 10;
    c.speak("b");
    EXPECT_TRUE(c.held);
    c.drains = false;
    c.lead("c", 30);
    c.speak("c");
    EXPECT_FALSE(c.held);
    EXPECT_EQ(c.to(), "10.0.0.3");
    EXPECT_EQ(c.count<Drop>(), 1);
}

TEST(Router, AHoldThatHangsOnADeadServerIsReleasedAllTheSame) {
    Cluster c;
    c.begin();
    c.drains = false;
    c.die("a");
    c.views["b"].suspects = 10;
    c.pass(500ms);
    EXPECT_TRUE(c.held);
    c.lead("c", 30);
    c.speak("c");
    EXPECT_FALSE(c.held);
}

TEST(Router, OneVotersSuspicionOfALeaderThatWeHearIsNotEnough) {
    Cluster c;
    c.begin();
    c.views["b"].suspects = 10;
    c.pass(5s);
    EXPECT_EQ(c.count<Hold>(), 0);
}

TEST(Router, AWrongSuspicionIsABlip) {
    Cluster c;
    c.begin();
    c.views["b"].suspects = c.views["c"].suspects = 10;
    c.pass(300ms);
    EXPECT_TRUE(c.held);
    c.views["b"].suspects = c.views["c"].suspects = 0;
    c.pass(100ms);
    EXPECT_FALSE(c.held);
    EXPECT_EQ(c.count<Drop>(), 0);
    EXPECT_EQ(c.to(), "10.0.0.1");
}

TEST(Router, ALinkThatFlapsHoldsTwiceAMinute) {
    Cluster c;
    c.begin();
    for (int i = 0; i < 6; ++i) {
        c.views["b"].suspects = c.views["c"].suspects = 10;
        c.pass(300ms);
        c.views["b"].suspects = c.views["c"].suspects = 0;
        c.pass(1s);
    }
    EXPECT_EQ(c.count<Hold>(), 2);
}

TEST(Router, ASuspicionThatNothingComesOfEnds) {
    Cluster c;
    c.begin();
    c.die("a");
    c.views["b"].suspects = c.views["c"].suspects = 10;
    c.pass(9s);
    EXPECT_TRUE(c.held);
    c.pass(2s);
    EXPECT_FALSE(c.held);
    EXPECT_EQ(c.to(), "10.0.0.1");
}

TEST(Router, ADeadAgentOverALivingServerChangesNothing) {
    Cluster c;
    c.begin();
    c.die("a");
    c.pass(60s);
    EXPECT_EQ(c.count<Hold>() + c.count<Repoint>(), 0);
}

TEST(Router, AnAgentThatStartsAnewOverALivingServerChangesNothing) {
    Cluster c;
    c.begin();
    c.views["a"].term = 0;
    c.views["a"].serves_for = {};
    c.pass(1s);
    c.lead("a", 10);
    c.pass(1s);
    EXPECT_EQ(c.count<Hold>() + c.count<Repoint>(), 0);
}

TEST(Router, AllMembersSilentKeepsTheRouting) {
    Cluster c;
    c.begin();
    for (const char* name : {"a", "b", "c"}) c.die(name);
    c.pass(600s);
    EXPECT_EQ(c.count<Hold>() + c.count<Repoint>(), 0);
    EXPECT_EQ(c.to(), "10.0.0.1");
}

TEST(Router, AnExpiredLeaseHolds) {
    Cluster c;
    c.begin();
    c.die("a");
    c.views["b"].seen = c.views["c"].seen = cluster::SeenLeader{};
    c.pass(200ms);
    EXPECT_TRUE(c.held);
    c.lead("b", 20);
    c.pass(100ms);
    EXPECT_EQ(c.to(), "10.0.0.2");
}

// S44: what the old leader says of itself counts no more once a newer term was heard of.
TEST(Router, AnOldTermIsNeverLedTo) {
    Cluster c;
    c.begin();
    c.dead.insert("b");
    c.views["c"].seen = cluster::SeenLeader{"b", 20};
    c.speak("c");
    EXPECT_TRUE(c.held);
    c.pass(30s);
    EXPECT_TRUE(c.held);
    c.dead.clear();
    c.lead("b", 20);
    c.views["a"].seen = cluster::SeenLeader{"a", 10};
    c.pass(100ms);
    EXPECT_FALSE(c.held);
    EXPECT_EQ(c.to(), "10.0.0.2");
    c.die("b");
    c.pass(60s);
    EXPECT_EQ(c.to(), "10.0.0.2");
}

// S30: the old leader comes back as a standby before the new one serves.
TEST(Router, AnOldLeaderThatComesBackAsAStandbyIsNotLedTo) {
    Cluster c;
    c.begin();
    c.views["a"] = Cluster::standby("a");
    for (auto& [name, view] : c.views) view.seen = cluster::SeenLeader{};
    c.pass(2s);
    EXPECT_TRUE(c.held);
    c.lead("b", 20);
    c.pass(100ms);
    EXPECT_FALSE(c.held);
    EXPECT_EQ(c.to(), "10.0.0.2");
}

TEST(Router, ANewLifeDoesNotFallBehindWhatTheOldOneKnew) {
    Cluster c;
    c.feed(Remembered{"demo", 15});
    c.pass(5s);
    EXPECT_EQ(c.count<Repoint>(), 0);
    c.lead("b", 20);
    c.pass(1s);
    EXPECT_EQ(c.to(), "10.0.0.2");
}

TEST(Router, ANewLifeReleasesWhatTheOldOneHeld) {
    Cluster c;
    c.held = true;  // and nobody knows
    c.all_speak();
    EXPECT_FALSE(c.held);
}

TEST(Router, ANewLifeDuringASwitchoverHoldsAgain) {
    Cluster c;
    c.views["a"].hold = cluster::PoolerHold{7, 2000ms};
    c.all_speak();
    c.pass(100ms);
    EXPECT_TRUE(c.held);
    EXPECT_EQ(c.last<Report>()->outcome, Outcome::held);
}

TEST(Router, APoolerThatWasStartedAnewIsToldAgain) {
    Cluster c;
    c.begin();
    c.fall("a");
    c.pass(200ms);
    EXPECT_TRUE(c.held);
    c.held = false;
    c.feed(PoolerStarted{});
    c.pass(100ms);
    EXPECT_TRUE(c.held);
}

TEST(Router, APoolerThatDoesNotAnswerIsAskedAgain) {
    Cluster c;
    c.pooler = fail(ErrorCode::unavailable, "nobody there");
    c.pass(2s);
    EXPECT_GE(c.count<Repoint>(), 2);
    EXPECT_LT(c.count<Repoint>(), 5);
    c.pooler = {};
    c.pass(1500ms);
    EXPECT_EQ(c.to(), "10.0.0.1");
    EXPECT_FALSE(c.held);
}

TEST(Router, AMemberOfAnotherClusterIsNotListenedTo) {
    Cluster c;
    c.begin();
    auto stranger = Cluster::standby("x");
    stranger.scope = "other";
    stranger.term = 1000;
    stranger.primary = true;
    stranger.serves_for = 5s;
    c.feed(Heard{"http://x", stranger, c.now});
    c.pass(1s);
    EXPECT_EQ(c.to(), "10.0.0.1");
    EXPECT_EQ(c.state.term, 10);
}

struct Reads : ::testing::Test {
    Cluster c;
    Reads() {
        c.state.options.reads = true;
        c.state.options.policy = ReadPolicy::prefer_replica;
    }
    std::vector<std::string> to() const {
        std::vector<std::string> hosts;
        hosts.reserve(c.leads_to.reads.size());
        for (const auto& one : c.leads_to.reads) hosts.push_back(one.host);
        return hosts;
    }
    using Hosts = std::vector<std::string>;
};

TEST_F(Reads, GoToTheReplicasThatFollow) {
    c.begin();
    EXPECT_EQ(to(), (Hosts{"10.0.0.2", "10.0.0.3"}));
    c.views["b"].noloadbalance = true;
    c.pass(500ms);
    EXPECT_EQ(to(), Hosts{"10.0.0.3"});
    c.views["b"].noloadbalance = false;
    c.views["c"].timeline = 9;
    c.pass(500ms);
    EXPECT_EQ(to(), Hosts{"10.0.0.2"});
    c.views["b"].streaming = false;
    c.pass(500ms);
    EXPECT_EQ(to(), Hosts{"10.0.0.1"});
}

TEST_F(Reads, OneThatFellBehindComesBackWellWithinTheLimit) {
    c.begin();
    c.views["b"].lag_bytes = c.state.options.lag_bytes * 3 / 4;
    c.pass(500ms);
    EXPECT_EQ(to().size(), 2U);
    c.views["b"].lag_bytes = c.state.options.lag_bytes + 1;
    c.pass(500ms);
    EXPECT_EQ(to(), Hosts{"10.0.0.3"});
    c.views["b"].lag_bytes = c.state.options.lag_bytes * 3 / 4;
    c.pass(500ms);
    EXPECT_EQ(to(), Hosts{"10.0.0.3"});
    c.views["b"].lag_bytes = 0;
    c.pass(500ms);
    EXPECT_EQ(to().size(), 2U);
    c.views["b"].lag_ms = 11s;
    c.pass(500ms);
    EXPECT_EQ(to(), Hosts{"10.0.0.3"});
}

TEST_F(Reads, AnyIsThePrimaryToo) {
    c.state.options.policy = ReadPolicy::any;
    c.begin();
    EXPECT_EQ(to().size(), 3U);
}

TEST_F(Reads, WaitWhereOnlyAReplicaWillDoAndThereIsNone) {
    c.state.options.policy = ReadPolicy::replica_only;
    c.begin();
    c.views["b"].streaming = c.views["c"].streaming = false;
    c.pass(500ms);
    EXPECT_TRUE(c.state.reads_wait);
    EXPECT_EQ(c.state.reads.state, Lane::State::held);
    EXPECT_FALSE(c.held);
    c.views["b"].streaming = true;
    c.pass(500ms);
    EXPECT_EQ(c.state.reads.state, Lane::State::open);
    EXPECT_EQ(to(), Hosts{"10.0.0.2"});
}

TEST_F(Reads, AreServedWhereNobodyLeads) {
    c.fall("a");
    for (auto& [name, view] : c.views) view.seen = cluster::SeenLeader{};
    c.pass(10s);
    EXPECT_EQ(to(), (Hosts{"10.0.0.2", "10.0.0.3"}));
    EXPECT_TRUE(c.held);
    EXPECT_EQ(c.state.reads.state, Lane::State::open);
}

// PgBouncer has one port for all hosts of a database.
TEST(Ports, ReadsGoToTheLargestGroupOfOnePortAndTheOthersAreNamed) {
    Cluster c;
    c.state.options.reads = true;
    c.state.options.policy = ReadPolicy::any;
    c.views["d"] = Cluster::standby("d");
    c.views["d"].port = 5433;
    c.begin();
    const auto reads = [&] {
        std::set<std::string> hosts;
        for (const auto& one : c.leads_to.reads) {
            EXPECT_EQ(one.port, c.leads_to.reads.front().port);
            hosts.insert(one.host);
        }
        return hosts;
    };
    using Hosts = std::set<std::string>;
    c.pass(2s);
    EXPECT_EQ(reads(), (Hosts{"10.0.0.1", "10.0.0.2", "10.0.0.3"}));
    EXPECT_TRUE(c.state.said.contains("ports"));
    EXPECT_THAT(c.state.said["ports"], testing::HasSubstr("d (port 5433)"));
    c.views["b"].port = 5433;
    c.pass(2s);
    EXPECT_EQ(reads(), (Hosts{"10.0.0.2", "10.0.0.4"}));  // without the primary, which is elsewhere
    c.views["b"].streaming = false;
    c.pass(2s);
    EXPECT_EQ(reads(), (Hosts{"10.0.0.4"}));  // of two equal groups the one in use
}

}  // namespace
}  // namespace relevo::gateway
