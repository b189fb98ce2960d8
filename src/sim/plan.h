// One schedule: what is simulated, for how long, with which faults, and the deliberate bug, if any.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "cluster/settings.h"

namespace relevo::sim {

// Deliberate bugs for the simulator's own honesty: each must be found (bugs_test.cpp). They sit in
// the simulated shell and PostgreSQL, never in the core.
enum class Bug {
    none,
    fence_never_fires,         // a kill is answered with "done" and not done
    acquire_without_guard,     // the leader key is put without asking whether it is free
    race_ignores_positions,    // peers' positions never reach the race
    release_before_stopped,    // a switchover gives the key away while PostgreSQL still runs
    wipe_without_leader,       // a standby that starts with no leader about is emptied
    lease_counted_from_reply,  // the lease is believed to begin when the answer came
    late_promotion,            // not_after is ignored by a promotion that had to wait
    pause_not_heard,           // a member never learns of maintenance mode
    two_actions,               // the core is told that a start is done while it still goes on
    no_standby_signal,         // a stopped former primary is left to come up as a primary
    // Synchronous replication (docs/adr/0006): the rule that is left out.
    seal_not_done,         // a voter says that it has cut itself off and goes on streaming
    names_not_settled,     // a change of names is taken for read by every walsender at once
    sent_taken_for_flush,  // a standby counts as caught up with what is on its way to it
    sync_key_unguarded,    // a candidate takes the key whatever happened since it counted
    vote_not_lost,         // a member that was rewound or copied goes on voting
    promoted_alone,        // a winner acknowledges before anybody follows it
    one_vote_too_few,      // a candidate counts one voter less than it needs
    positions_not_asked,   // every voter's position is taken for less than one's own
    suspects_everybody,    // a voter says that it suspects the leader, whatever it hears
    timeline_by_itself,    // the granted timeline number never reaches PostgreSQL
};
struct BugName {
    Bug bug;
    const char* name;
    const char* what;
    // Found only now and then: by hand (relevo-sim --bug), not in every test run.
    bool rare = false;
};
const std::vector<BugName>& bug_names();
std::optional<Bug> parse_bug(std::string_view name);

enum class Profile {
    rough,     // every fault there is
    quiet,     // none: nobody may fail over
    blinks,    // only the DCS is away for less than the leases allow: nobody may fail over
    scripted,  // only what a scenario does
};
const char* to_string(Profile profile);

// What stands between the clients and the leader when a switchover holds them.
enum class Poolers { none, prompt, silent, busy };

struct Plan {
    std::uint64_t seed = 1;
    int members = 3;
    Duration faults_for = std::chrono::minutes(10);
    Profile profile = Profile::rough;
    Bug bug = Bug::none;
    bool trace = false;

    // What follows is drawn from the seed by plan_for, or set by a scenario.
    cluster::Settings settings;
    std::string config_json;
    bool adopt = false;        // the first member has a running single server, the others are empty
    bool pre_promote = false;  // members have a slow pre_promote hook now and then
    std::vector<int> nofailover, clonefrom;  // member indexes with these tags
    // Members whose agents are as Patroni's in this: they neither read nor write the timeline key,
    // and PostgreSQL chooses the number.
    std::vector<int> foreign;
    Poolers poolers = Poolers::none;
    bool wal_log_hints = true;
    double drift = 0;  // fraction by which clocks run fast or slow, at most
    double loss = 0;   // of messages to and from the DCS
    Duration latency_max = std::chrono::milliseconds(2);
    Duration restore_takes{};  // a bootstrap's recovery before it is a primary; 0: initdb has none
    Duration write_every = std::chrono::milliseconds(250);
    Duration receiver_timeout = std::chrono::seconds(60);
    Duration receiver_retry = std::chrono::seconds(5);
    Duration expiry_late =
        std::chrono::milliseconds(500);  // etcd looks for expired leases twice a second
    Duration fault_every = std::chrono::seconds(20);
    int slow = 1;         // times that PostgreSQL's actions take longer
    double failures = 0;  // of PostgreSQL's actions while faults are on
};

// The config key's text for these settings.
std::string config_of(const cluster::Settings& settings);

// The plan of one seed: settings, sizes and the mix of faults.
Plan plan_for(std::uint64_t seed, int members, Duration faults_for);

}  // namespace relevo::sim
