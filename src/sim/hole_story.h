// For the traces of holes_test.cpp: one leader P with two voters A and B, the moves of which such
// traces are made, and what came of them.
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <utility>

#include "cluster/keys.h"
#include "sim/sync_story.h"

namespace relevo::sim {

struct Told {
    bool there = false;   // the trace took place
    std::string failure;  // the first broken promise
};

inline Plan hole_plan(Bug bug, SyncMode mode = SyncMode::quorum, std::uint64_t seed = 4711) {
    auto plan = sync_plan(mode, std::chrono::seconds(60));  // a lease that nobody waits for
    plan.seed = seed;
    plan.bug = bug;
    plan.write_every = std::chrono::milliseconds(3);
    return plan;
}

class HoleStory : public SyncStory {
public:
    explicit HoleStory(const Plan& plan) : SyncStory(plan) {
        begin();
        p = std::max(0, c.leader());
        a = others(p)[0];
        b = others(p)[1];
    }
    int p = 0, a = 0, b = 0;
    bool taken = false;

    int dcs() const { return c.world.dcs_node(); }
    void cut(int one, int other, bool one_way = false) {
        c.faults.cut(one, other, one_way, long_time);
    }
    void heal(int one, int other) {
        c.world.set_cut(one, other, false);
        c.world.set_cut(other, one, false);
        c.world.changed();
    }
    void agent_dies(int member) { c.faults.crash_agent(member, long_time); }
    // The leader key goes away by itself.
    void key_goes() {
        ASSERT_TRUE(c.dcs.operate(
            cluster::keys::release_leader(c.dcs.truth()->leader->create_revision, std::nullopt)));
    }
    const Data& data(int member) { return c.postgres.at(member).data(); }
    bool streams_from(int member, int upstream) {
        const auto& pg = c.postgres.at(member);
        return pg.streams() && pg.upstream() == upstream;
    }
    bool until_leads(int member, Duration within) {
        return c.run_until([&] { return c.leader() == member; }, within);
    }
    // At once with the write that gives one of the voters the lead: that one is A from then on.
    void when_taken(std::function<void()> what) {
        c.dcs.on_write = [this, what = std::move(what)] {
            const int leads = c.leader();
            if (leads != a && leads != b) return;
            if (leads == b) std::swap(a, b);
            taken = true;
            c.world.after({}, what);
            c.world.after({}, [this] { c.dcs.on_write = nullptr; });
        };
    }
    Told told(bool there) const {
        const auto& failures = c.checkers.findings.failures;
        return {there || !failures.empty(), failures.empty() ? std::string() : failures.front()};
    }
    static constexpr Duration long_time = std::chrono::seconds(1000);
};

// Where it is a matter of luck who hears of what first: the first of these runs that shows the
// hole.
inline Told by_luck(const std::function<Told(Bug, std::uint64_t)>& once, Bug bug) {
    Told all{false, {}};
    for (std::uint64_t seed = 1; seed <= 20 && all.failure.empty(); ++seed) {
        const Told one = once(bug, seed);
        all.there = all.there || one.there;
        all.failure = one.failure;
    }
    return all;
}

// The trace is harmless as things are, and with the bug it is the hole that it was.
inline void expect_closed(const std::function<Told(Bug)>& trace, Bug bug,
                          std::initializer_list<const char*> holes) {
    const Told now = trace(Bug::none);
    EXPECT_TRUE(now.there) << "the trace did not take place";
    EXPECT_EQ(now.failure, "");
    const Told open = trace(bug);
    const bool found = std::ranges::any_of(
        holes, [&](const char* hole) { return open.failure.find(hole) != std::string::npos; });
    EXPECT_TRUE(found) << "nobody noticed the bug: " << open.failure;
}
inline void expect_closed(const std::function<Told(Bug)>& trace, Bug bug, const char* hole) {
    expect_closed(trace, bug, {hole});
}

}  // namespace relevo::sim
