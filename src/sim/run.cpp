#include "sim/run.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

namespace relevo::sim {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

Cluster::Cluster(const Plan& p)
    : plan(p),
      world(plan),
      dcs(world),
      postgres(world),
      checkers(parts()),
      faults(parts(), checkers) {
    watchdogs.reserve(static_cast<std::size_t>(plan.members));  // their timers point at them
    for (int i = 0; i < plan.members; ++i) {
        watchdogs.emplace_back(world, i, [this](int m) { faults.reset(m); });
        postgres.servers.push_back(std::make_unique<SimPostgres>(postgres, i));
        members.push_back(std::make_unique<Member>(parts(), i));
    }
    postgres.on_primary = [this](int m) { checkers.on_primary(m); };
    postgres.on_promoting = [this](int m, WalEnd from) { checkers.on_promoting(m, from); };
    postgres.on_commit = [this](int m) { checkers.on_commit(m); };
    postgres.on_acknowledged = [this](int m) { checkers.on_acknowledged(m); };
    postgres.on_read = [this](int m) { checkers.on_read(m); };
    postgres.on_panic = [this](int m) { checkers.on_panic(m); };
    postgres.promised = [this](int m) {
        const auto& sync = dcs.truth()->sync;
        // Its key may be gone: until another has taken it, what its voters confirm is promised.
        return plan.settings.synchronous_mode != cluster::SyncMode::off &&
               sync.leader == world.name(m) && (leader() == m || leader() < 0);
    };
    postgres.on_wipe = [this](int m, const Data& data, const char* how) {
        checkers.on_wipe(m, data, how);
    };
    postgres.on_copied = [this](int m) {
        checkers.on_copied(m);
        faults.copied(m);
    };
    postgres.on_impossible = [this](const std::string& what) { checkers.fail(what); };
    watchers.on_effect = [this](Member& m, const core::Issued& issued) {
        checkers.on_effect(m, issued);
        faults.on_effect(m, issued);
    };
    watchers.on_late_answer = [this](Member& m, int other) { checkers.on_late_answer(m, other); };
    watchers.on_failure = [this](Member& m, const std::string& what) {
        checkers.fail(world.name(m.index()) + ": " + what);
    };
}

void Cluster::start() {
    if (plan.adopt) {
        postgres.at(0).adopt_running("7099999999999999999");
        world.on_host(0, milliseconds(1), [this] { members[0]->start_agent(); });
        // The road of the manual: the others join when the first one leads.
        for (int i = 1; i < plan.members; ++i)
            world.on_host(i, seconds(20),
                          [this, i] { members[static_cast<std::size_t>(i)]->start_agent(); });
    } else {
        for (int i = 0; i < plan.members; ++i)
            world.on_host(i, world.dice.between({}, milliseconds(50)),
                          [this, i] { members[static_cast<std::size_t>(i)]->start_agent(); });
    }
    write_on();
}

// Clients write wherever a server takes it: also those that still hold on to a deposed primary,
// and those that are connected to a standby when it is promoted.
void Cluster::write_on() {
    for (int i = 0; i < plan.members; ++i) postgres.at(i).read();
    for (int i = 0; i < plan.members; ++i)
        if (postgres.at(i).accepts_writes())
            postgres.at(i).write(static_cast<std::uint64_t>(world.dice.number(100, 8000)));
    const bool busy = world.now() < faults.busy_until;
    const Duration every = busy ? milliseconds(4) : plan.write_every;
    world.after(world.dice.between(every / 2, every * 3 / 2), [this] { write_on(); });
}

bool Cluster::run_until(const std::function<bool()>& condition, Duration within) {
    const Instant end = world.now() + within;
    while (!world.stopped && !condition()) {
        if (world.now() >= end) return false;
        world.run_until(world.now() + milliseconds(1));
    }
    return !world.stopped;
}

int Cluster::leader() {
    const auto truth = dcs.truth();
    return truth->leader ? world.index_of(truth->leader->name) : -1;
}

namespace {

// After the last fault: rest within three leases and a minute, counted from the end of what slow
// actions the faults left behind: recoveries, copies. One that has no end is not waited for. A
// settled cluster is watched for a while: it must stay so.
void expect_rest(Cluster& cluster) {
    auto& world = cluster.world;
    const Duration bound = 3 * Duration(cluster.plan.settings.ttl) + seconds(60);
    Instant give_up = world.now() + bound;
    const Instant never = world.now() + minutes(40);
    int calm = 0;
    while (!world.stopped && calm < 20) {
        world.run_until(world.now() + seconds(1));
        if (world.stopped) return;
        const bool busy = std::ranges::any_of(cluster.postgres.servers, [](const auto& server) {
            return server->busy() || server->server() == cluster::Server::starting;
        });
        if (busy && world.now() < never) give_up = world.now() + bound;
        const auto why = cluster.checkers.unrest();
        calm = why.empty() ? calm + 1 : 0;
        if (!why.empty() && world.now() > give_up)
            return cluster.checkers.fail(
                fmt::format("no rest {:.0f} s after the last fault: {}", to_s(bound), why));
    }
}

}  // namespace

Outcome run(const Plan& plan, std::function<void(const std::string&)> trace_to) {
    Cluster cluster(plan);
    auto& world = cluster.world;
    world.trace.sink = std::move(trace_to);
    cluster.start();
    const bool calm = plan.profile == Profile::quiet || plan.profile == Profile::blinks;
    if (calm || plan.aimed || world.dice.chance(0.7)) {
        // Mostly the cluster stands before the trouble begins; bootstrap under fire is the rest.
        // Asked each millisecond: what nothing has happened to is as it was.
        std::uint64_t asked_at = ~std::uint64_t{0};
        const auto settled = [&] {
            return std::exchange(asked_at, world.happened()) != world.happened() &&
                   cluster.settled();
        };
        if (!cluster.run_until(settled, minutes(3)) && !world.stopped)
            cluster.checkers.fail("no cluster within three minutes of an undisturbed start: " +
                                  cluster.checkers.unrest());
        world.run_until(world.now() + seconds(plan.aimed ? 2 : 10));
        cluster.checkers.formed = true;
    }
    cluster.faults.begin();
    world.run_until(world.now() + plan.faults_for);
    if (!world.stopped) cluster.faults.mend();
    if (!world.stopped) expect_rest(cluster);

    if (!world.stopped) cluster.checkers.check_kept();

    Outcome outcome;
    outcome.seed = plan.seed;
    outcome.findings = std::move(cluster.checkers.findings);
    for (const auto& member : cluster.members) outcome.findings.steps += member->steps();
    outcome.hash = world.trace.hash();
    outcome.trace = world.trace.lines();
    return outcome;
}

}  // namespace relevo::sim
