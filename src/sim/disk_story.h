// Fixtures of the stories of disks: that fill (docs/adr/0018), and that fail (docs/adr/0022).
#pragma once

#include <algorithm>

#include "sim/sync_story.h"

namespace relevo::sim {

struct Filled : SyncStory {
    explicit Filled(SyncMode mode = SyncMode::off, Bug bug = Bug::none) : Filled(plan(mode, bug)) {}
    explicit Filled(const Plan& plan) : SyncStory(plan) {
        begin();
        leader = c.leader();
    }
    static Plan plan(SyncMode mode, Bug bug) {
        auto plan = sync_plan(mode, std::chrono::seconds(9));
        plan.disks = true;
        plan.bug = bug;
        return plan;
    }
    // Warning, and 2 s later hold; full when clients have written for another 10 s.
    void fill(int member, Duration how_long) {
        c.faults.fill_disk(member, {.to_hold = std::chrono::seconds(2),
                                    .to_full = std::chrono::seconds(10),
                                    .how_long = how_long,
                                    .by_writes = true});
    }
    void warn(int member) {
        c.faults.fill_disk(
            member, {.to_hold = std::chrono::seconds(900), .how_long = std::chrono::seconds(300)});
    }
    bool refuses(int member) { return c.postgres.at(member).report().refuses_writes; }
    int asked() const {
        return static_cast<int>(std::ranges::count_if(effects, [](const Seen& seen) {
            const auto* commit = std::get_if<core::Commit>(&seen.effect);
            return commit && commit->purpose == core::CommitFor::ask_handover;
        }));
    }
    std::uint64_t commits() const { return c.checkers.findings.commits; }
    // Nobody writes: within a second, none.
    bool writes_go_on() {
        const auto before = commits();
        pass(std::chrono::seconds(1));
        return commits() > before;
    }
    int leader = -1;
};

// Nobody has seen it fill: PostgreSQL ends for it, at once or at the checkpoint of the handover.
struct FullAtOnce : Filled {
    using Filled::Filled;
    void fill(int member, bool only_tables, bool ballast) {
        c.faults.fill_disk(member, {.how_long = std::chrono::seconds(120),
                                    .ballast = ballast,
                                    .ballast_lasts = std::chrono::seconds(600),
                                    .only_tables = only_tables});
        full_at = c.world.now();
    }
    // Until another member accepts writes; a minute where none does.
    Duration without_writes() {
        const auto another = [this] {
            return !primaries.empty() && primaries.back().second != leader;
        };
        const Duration minute = std::chrono::seconds(60);
        return c.run_until(another, minute) ? primaries.back().first - full_at : minute;
    }
    Instant full_at{};
};

}  // namespace relevo::sim
