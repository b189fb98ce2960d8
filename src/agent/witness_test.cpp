// Real steps of the core, and what the journal says of them.
#include "agent/witness.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cluster/keys.h"

namespace relevo::agent {
namespace {

using cluster::JournalEntry;
using Kind = cluster::JournalKind;
using std::chrono::milliseconds;

class WitnessTest : public testing::Test {
protected:
    WitnessTest() {
        state.self.name = "n2";
        state.settings.synchronous_mode = cluster::SyncMode::quorum;
        view.revision = 100;
        view.initialize = "7700000000000000001";
        view.leader = cluster::LeaderKey{"n1", 90, 90, 1};
        view.sync = {"n1", 1, {"n2", "n3"}, 95, false};
        for (const char* name : {"n1", "n2", "n3"}) {
            auto& member = view.members[name];
            member.name = name;
            member.api_url = std::string("http://") + name + ":8008/patroni";
            member.conn_url = std::string("postgres://") + name + ":5432/postgres";
            member.relevo = "1";
            member.state = cluster::State::running;
            member.role =
                name == std::string("n1") ? cluster::Role::primary : cluster::Role::replica;
            member.timeline = 2;
        }
    }

    std::vector<JournalEntry> feed(const core::Event& event) {
        const core::Now now{at, WallTime(std::chrono::seconds(1'900'000'000))};
        witness.before(state, event);
        auto step = core::step(state, event, now);
        auto told = witness.after(state, event, step.effects, now);
        all.insert(all.end(), told.begin(), told.end());
        return told;
    }
    std::vector<JournalEntry> see() {
        ++view.revision;
        return feed(core::DcsView{std::make_shared<const cluster::Snapshot>(view)});
    }
    template <class E>
    std::vector<JournalEntry> done(core::Payload payload, std::optional<Error> error = {}) {
        for (const auto& running : state.running)
            if (std::holds_alternative<E>(running.effect))
                return feed(core::EffectDone{running.id, std::move(error), std::move(payload)});
        ADD_FAILURE() << "no such effect is under way";
        return {};
    }
    core::EffectId committing(core::CommitFor purpose) {
        for (const auto& running : state.running)
            if (const auto* commit = std::get_if<core::Commit>(&running.effect);
                commit && commit->purpose == purpose)
                return running.id;
        ADD_FAILURE() << "no such write is under way";
        return 0;
    }
    static cluster::LocalPostgres standby() {
        cluster::LocalPostgres pg;
        pg.data_dir = cluster::DataDir::initialized;
        pg.server = cluster::Server::running;
        pg.in_recovery = true;
        pg.system_id = "7700000000000000001";
        pg.timeline = 2;
        pg.receive = pg.replay = cluster::Lsn{0x5000128};
        pg.receiving = pg.received_all = true;
        pg.replication_state = "streaming";
        return pg;
    }
    // All that is under way ends well.
    bool answer_all() {
        const auto under_way = state.running;
        for (const auto& one : under_way) {
            core::Payload payload;
            if (std::holds_alternative<core::Observe>(one.effect)) payload = standby();
            if (std::holds_alternative<core::KeepLease>(one.effect))
                payload = core::LeaseKept{at, {55, false, std::chrono::seconds(30)}};
            if (std::holds_alternative<core::Commit>(one.effect))
                payload = cluster::TxnResult{true, view.revision};
            if (std::holds_alternative<core::ComparePg>(one.effect))
                payload =
                    cluster::Divergence{cluster::Divergence::Verdict::streams, {}, false, false};
            feed(core::EffectDone{one.id, {}, payload});
        }
        return !under_way.empty();
    }
    // A standby that follows n1 and has settled down.
    void settle() {
        see();
        for (int round = 0; round < 20 && answer_all(); ++round) {
        }
    }
    std::vector<Kind> kinds() const {
        std::vector<Kind> out;
        out.reserve(all.size());
        for (const auto& entry : all) out.push_back(entry.kind);
        return out;
    }

    core::State state;
    cluster::Snapshot view;
    Instant at{std::chrono::hours(1)};
    Witness witness;
    std::vector<JournalEntry> all;
};

const JournalEntry* find(const std::vector<JournalEntry>& entries, Kind kind) {
    for (const auto& entry : entries)
        if (entry.kind == kind) return &entry;
    return nullptr;
}

TEST_F(WitnessTest, TheBeginIsShortAndNamesTheLeader) {
    settle();
    EXPECT_THAT(kinds(), testing::IsSupersetOf({Kind::agent, Kind::leader, Kind::follows}));
    const auto* leader = find(all, Kind::leader);
    ASSERT_TRUE(leader);
    EXPECT_EQ(leader->text, "sees that n1 leads: term 90");
    EXPECT_EQ(leader->term, 90);
    EXPECT_EQ(leader->about, "n1");
    EXPECT_EQ(leader->member, "n2");
}

TEST_F(WitnessTest, WhatComesByItselfIsNotTold) {
    settle();
    all.clear();
    for (int i = 0; i < 100; ++i) {
        at += milliseconds(500);
        feed(core::TimerFired{});
        see();
        answer_all();
    }
    EXPECT_EQ(kinds(), std::vector<Kind>{});
}

TEST_F(WitnessTest, ATakeoverIsToldStepByStep) {
    settle();
    all.clear();
    feed(core::LeaderSuspected{90, true, false, milliseconds(512)});
    ASSERT_TRUE(find(all, Kind::suspects));
    EXPECT_EQ(find(all, Kind::suspects)->ms, 512);
    cluster::PeerStatus n3;
    n3.running = true;
    n3.timeline = 2;
    n3.position = cluster::Lsn{0x5000128};
    n3.suspects = 90;
    at += milliseconds(3);
    done<core::ProbePeers>(core::PeerAnswers{{"n3", n3}});
    ASSERT_TRUE(find(all, Kind::asked));
    EXPECT_EQ(find(all, Kind::asked)->answer, "suspects");
    EXPECT_EQ(find(all, Kind::asked)->ms, 3);
    feed(core::EffectDone{
        committing(core::CommitFor::depose), {}, cluster::TxnResult{true, view.revision + 1}});
    view.leader.reset();
    view.deposed = {90, "n1", "n2"};
    see();
    ASSERT_TRUE(find(all, Kind::gone));
    EXPECT_EQ(find(all, Kind::gone)->text, "sees that n1 leads no more: n2 took the key away");
    done<core::FollowPg>(std::monostate{});
    auto cut = standby();
    cut.receiving = false;
    cut.replication_state.clear();
    done<core::Observe>(cut);
    ASSERT_TRUE(find(all, Kind::sealed));
    EXPECT_EQ(find(all, Kind::sealed)->lsn, cluster::Lsn{0x5000128});
    n3.sealed = view.revision;
    done<core::ProbePeers>(core::PeerAnswers{{"n3", n3}});
    ASSERT_TRUE(find(all, Kind::counted));
    EXPECT_EQ(find(all, Kind::counted)->text, "n3 is sealed at 0/5000128");
    ++view.revision;
    feed(core::EffectDone{
        committing(core::CommitFor::acquire), {}, cluster::TxnResult{true, view.revision}});
    ASSERT_TRUE(find(all, Kind::took));
    EXPECT_EQ(find(all, Kind::took)->term, view.revision);
    const auto told = kinds();
    const std::vector<Kind> order = {Kind::suspects, Kind::asked,  Kind::deposed, Kind::gone,
                                     Kind::sealing,  Kind::sealed, Kind::counted, Kind::took};
    auto from = told.begin();
    for (const Kind kind : order) {
        from = std::find(from, told.end(), kind);
        EXPECT_NE(from, told.end()) << to_string(kind) << " is missing or too early";
    }
}

TEST_F(WitnessTest, AViewThatIsFasterThanTheAnswerChangesNothing) {
    settle();
    feed(core::LeaderSuspected{90, true, false, milliseconds(512)});
    cluster::PeerStatus n3;
    n3.running = true;
    n3.timeline = 2;
    n3.position = cluster::Lsn{0x5000128};
    n3.suspects = 90;
    done<core::ProbePeers>(core::PeerAnswers{{"n3", n3}});
    all.clear();
    const auto depose = committing(core::CommitFor::depose);
    view.leader.reset();
    view.deposed = {90, "n1", "n2"};
    see();
    EXPECT_TRUE(find(all, Kind::deposed));
    EXPECT_FALSE(find(all, Kind::gone));
    feed(core::EffectDone{depose, {}, cluster::TxnResult{true, view.revision}});
    done<core::FollowPg>(std::monostate{});
    auto cut = standby();
    cut.receiving = false;
    done<core::Observe>(cut);
    n3.sealed = view.revision;
    done<core::ProbePeers>(core::PeerAnswers{{"n3", n3}});
    const auto acquire = committing(core::CommitFor::acquire);
    view.leader = cluster::LeaderKey{"n2", view.revision + 1, view.revision + 1, 55};
    see();
    const auto* took = find(all, Kind::took);
    ASSERT_TRUE(took);
    EXPECT_EQ(took->term, view.revision);
    EXPECT_TRUE(find(all, Kind::promotes) == nullptr || find(all, Kind::promotes) > took);
    feed(core::EffectDone{acquire, {}, cluster::TxnResult{true, view.revision}});
    EXPECT_EQ(std::ranges::count(all, Kind::took, &JournalEntry::kind), 1);
    EXPECT_EQ(std::ranges::count(all, Kind::deposed, &JournalEntry::kind), 1);
    EXPECT_FALSE(find(all, Kind::leader));
    EXPECT_FALSE(find(all, Kind::hears_again));
}

TEST_F(WitnessTest, TheSameAnswerAgainIsNoNews) {
    settle();
    feed(core::LeaderSuspected{90, true, false, milliseconds(512)});
    cluster::PeerStatus n3;
    n3.running = true;
    all.clear();
    done<core::ProbePeers>(core::PeerAnswers{{"n3", n3}});
    EXPECT_TRUE(find(all, Kind::asked));
    for (int i = 0; i < 20; ++i) {
        all.clear();
        at += milliseconds(60);
        feed(core::TimerFired{});
        done<core::ProbePeers>(core::PeerAnswers{{"n3", n3}});
        EXPECT_EQ(kinds(), std::vector<Kind>{});
    }
    at += milliseconds(60);
    feed(core::TimerFired{});
    n3.suspects = 90;
    done<core::ProbePeers>(core::PeerAnswers{{"n3", n3}});
    ASSERT_TRUE(find(all, Kind::asked));
    EXPECT_EQ(find(all, Kind::asked)->answer, "suspects");
}

TEST_F(WitnessTest, ASuspicionThatWasWrongIsTold) {
    settle();
    all.clear();
    feed(core::LeaderSuspected{90, true, false, milliseconds(512)});
    feed(core::LeaderSuspected{90, false, false, {}});
    const auto* again = find(all, Kind::hears_again);
    ASSERT_TRUE(again);
    EXPECT_EQ(again->text, "hears n1 again");
    EXPECT_EQ(again->about, "n1");
}

TEST_F(WitnessTest, AnUnexpectedEndIsToldOnce) {
    settle();
    all.clear();
    feed(core::PostmasterExited{});
    feed(core::PostmasterExited{});
    EXPECT_EQ(std::ranges::count(all, Kind::crashed, &JournalEntry::kind), 1);
}

TEST_F(WitnessTest, ADcsThatIsAwayIsToldOnce) {
    settle();
    all.clear();
    at += std::chrono::seconds(20);
    feed(core::TimerFired{});
    done<core::ReadDcs>(std::monostate{}, Error{ErrorCode::unavailable, "no etcd"});
    EXPECT_EQ(std::ranges::count(all, Kind::dcs_silent, &JournalEntry::kind), 1);
    see();
    EXPECT_EQ(std::ranges::count(all, Kind::dcs_answers, &JournalEntry::kind), 1);
}

// A leader's own request stands in the key of the operators'.
TEST_F(WitnessTest, TellsWhoAskedForASwitchover) {
    view.leader->name = state.self.name;
    view.failover = cluster::FailoverRequest{};
    view.failover->leader = state.self.name;
    view.failover->member = "n3";
    view.failover->mod_revision = view.failover_revision = 101;
    const auto told = [&] {
        for (const auto& entry : see())
            if (entry.kind == Kind::ordered) return entry.text;
        return std::string();
    };
    EXPECT_EQ(told(), "an operator asks for a switchover from n2 to n3");
    view.failover->mod_revision = view.failover_revision = 102;
    state.spare.asked = view.failover;
    EXPECT_EQ(told(), "n2 asks to hand over to n3: its disk is nearly full");
    view.failover->mod_revision = view.failover_revision = 1021;
    state.spare.asked = view.failover;
    state.disk.state = cluster::DiskState::failed;
    EXPECT_EQ(told(), "n2 asks to hand over to n3: its disk takes no writes");
    view.failover->mod_revision = view.failover_revision = 103;
    state.spare.asked = view.failover;
    state.spare.what = core::State::SpareFor::clean;
    EXPECT_EQ(told(), "n2 asks to hand over to n3: its data is damaged");
}

}  // namespace
}  // namespace relevo::agent
