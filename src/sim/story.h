// For hand-written stories: a calm cluster, what it did, and when.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "sim/run.h"

namespace relevo::sim {

inline Plan calm_plan(std::chrono::seconds ttl, std::chrono::seconds start_timeout) {
    Plan plan;
    plan.seed = 4711;
    plan.profile = Profile::scripted;
    plan.settings.ttl = ttl;
    plan.settings.retry_timeout = std::max(std::chrono::seconds(1), ttl / 3);
    plan.settings.loop_wait = std::max(std::chrono::seconds(1), ttl / 3);
    plan.settings.primary_start_timeout = start_timeout;
    plan.settings.use_pg_rewind = true;
    plan.config_json = config_of(plan.settings);
    plan.write_every = std::chrono::milliseconds(20);
    plan.expiry_late = {};
    plan.receiver_retry = std::chrono::milliseconds(500);
    plan.receiver_timeout = std::chrono::seconds(10);
    return plan;
}

class Story {
public:
    explicit Story(const Plan& plan) : c(plan) {
        c.watchers.on_effect = [this, checks = c.watchers.on_effect](Member& who,
                                                                     const core::Issued& issued) {
            checks(who, issued);
            effects.push_back({c.world.now(), who.index(), issued.effect});
            if (on_effect) on_effect(who, issued.effect);
        };
        c.postgres.on_primary = [this, checks = c.postgres.on_primary](int member) {
            checks(member);
            primaries.emplace_back(c.world.now(), member);
        };
    }

    void begin() {
        c.start();
        ASSERT_TRUE(c.run_until([&] { return c.settled(); }, std::chrono::seconds(60)))
            << c.checkers.unrest();
        pass(std::chrono::seconds(10));
        effects.clear();
        primaries.clear();
    }
    void pass(Duration time) { c.world.run_until(c.world.now() + time); }
    bool until_a_primary(Duration within) {
        return c.run_until([&] { return !primaries.empty(); }, within);
    }
    void settles(Duration within) {
        EXPECT_TRUE(c.run_until([&] { return c.settled(); }, within)) << c.checkers.unrest();
        for (const auto& failure : c.checkers.findings.failures) ADD_FAILURE() << failure;
    }
    template <class E>
    std::optional<Instant> first(int member) const {
        for (const auto& e : effects)
            if (e.member == member && holds<E>(e.effect)) return e.at;
        return std::nullopt;
    }
    template <class... E>
    int count() const {
        int n = 0;
        for (const auto& e : effects) n += (holds<E>(e.effect) || ...) ? 1 : 0;
        return n;
    }
    void switch_over(int from, int to) {
        c.faults.switchover(c.world.name(from), c.world.name(to), {});
    }

    struct Seen {
        Instant at;
        int member;
        core::Effect effect;
    };
    Cluster c;
    std::vector<Seen> effects;
    std::vector<std::pair<Instant, int>> primaries;
    std::function<void(Member&, const core::Effect&)> on_effect;
};

}  // namespace relevo::sim
