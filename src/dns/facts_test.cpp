#include "dns/facts.h"

#include <gtest/gtest.h>

namespace relevo::dns {
namespace {

using namespace std::chrono_literals;

const Instant now{100s};
const WallTime wall{1000s};

cluster::MemberRecord member(const std::string& name, cluster::Role role, std::uint64_t end) {
    cluster::MemberRecord record;
    record.name = name;
    record.role = role;
    record.state = cluster::State::running;
    record.conn_url = "postgres://10.0.0." + name.substr(1) + ":5432/postgres";
    record.timeline = 3;
    record.xlog_location = cluster::Lsn{end};
    if (role == cluster::Role::replica) record.replication_state = "streaming";
    return record;
}

struct World {
    cluster::Snapshot snapshot;
    ports::View view;
    Names names{.primary = "primary.test", .replica = "replica.test", .addresses = {}};

    explicit World(const std::string& self) {
        snapshot.leader = cluster::LeaderKey{"m1", 77, 80, 1};
        for (const auto& record : {member("m1", cluster::Role::primary, 1000),
                                   member("m2", cluster::Role::replica, 1000),
                                   member("m3", cluster::Role::replica, 900)})
            snapshot.members[record.name] = record;
        view.name = self;
        view.leading = self == "m1";
        view.lead_until = view.leading ? now + 1s : Instant{};
        view.postgres.server = cluster::Server::running;
        view.postgres.in_recovery = self != "m1";
        view.dcs_last_seen = wall - 5s;
        view.settings.loop_wait = 10s;
        view.settings.retry_timeout = 10s;
    }
    const ports::View& seen() {
        view.snapshot = std::make_shared<const cluster::Snapshot>(snapshot);
        return view;
    }
};

using Hosts = std::vector<std::string>;

TEST(ToPublish, ALeaderThatServesNamesItselfAndTheFitReplicas) {
    World w("m1");
    const auto wanted = to_publish(w.seen(), now, w.names);
    ASSERT_TRUE(wanted);
    EXPECT_EQ(wanted->term, 77u);
    EXPECT_EQ(wanted->primary, Hosts{"10.0.0.1"});
    EXPECT_EQ(wanted->replicas, (Hosts{"10.0.0.2", "10.0.0.3"}));
    w.names.addresses = {"192.0.2.1", "fd00::1"};
    EXPECT_EQ(to_publish(w.seen(), now, w.names)->primary, (Hosts{"192.0.2.1", "fd00::1"}));
}

TEST(ToPublish, NobodyElseAndNoLeaderInDoubtWritesAnything) {
    World replica("m2");
    EXPECT_FALSE(to_publish(replica.seen(), now, replica.names));
    World late("m1");
    EXPECT_FALSE(to_publish(late.seen(), now + 1s, late.names));  // the lease has run out
    World promoting("m1");
    promoting.view.postgres.in_recovery = true;
    EXPECT_FALSE(to_publish(promoting.seen(), now, promoting.names));
    World crashed("m1");
    crashed.view.postgres.server = cluster::Server::stopped;
    EXPECT_FALSE(to_publish(crashed.seen(), now, crashed.names));
    World blind("m1");
    EXPECT_FALSE(to_publish(blind.view, now, blind.names));  // no view of the DCS
}

TEST(ToPublish, UnfitReplicasAreLeftOutAndThePrimaryStandsInWhenNoneIsLeft) {
    World w("m1");
    w.names.replica_lag_bytes_max = 50;
    EXPECT_EQ(to_publish(w.seen(), now, w.names)->replicas, Hosts{"10.0.0.2"});
    w.snapshot.members["m2"].tags.published["noloadbalance"] = {"true"};
    EXPECT_EQ(to_publish(w.seen(), now, w.names)->replicas, Hosts{"10.0.0.1"});
    World other("m1");
    other.snapshot.members["m2"].timeline = 2;
    other.snapshot.members["m3"].replication_state = "in archive recovery";
    EXPECT_EQ(to_publish(other.seen(), now, other.names)->replicas, Hosts{"10.0.0.1"});
}

TEST(ToAnswer, AReplicaAnswersWhileItSawTheKeyNotLongAgo) {
    World w("m2");
    const auto known = to_answer(w.seen(), now, wall, w.names);
    ASSERT_TRUE(known);
    EXPECT_EQ(known->primary, Hosts{"10.0.0.1"});
    EXPECT_TRUE(to_answer(w.seen(), now, wall + 15s, w.names));
    EXPECT_FALSE(to_answer(w.seen(), now, wall + 16s, w.names));
    w.snapshot.leader.reset();
    EXPECT_FALSE(to_answer(w.seen(), now, wall, w.names));
}

TEST(ToAnswer, ALeadersOwnLeaseMustHold) {
    World w("m1");
    EXPECT_TRUE(to_answer(w.seen(), now, wall, w.names));
    EXPECT_FALSE(to_answer(w.seen(), now + 1s, wall, w.names));
}

}  // namespace
}  // namespace relevo::dns
