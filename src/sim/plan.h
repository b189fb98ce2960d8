// One schedule: what is simulated, for how long, with which faults, and the deliberate bug, if any.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/time.h"
#include "cluster/settings.h"
#include "core/event.h"
#include "sim/bugs.h"

namespace relevo::sim {

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
    // Short leases, few changes, many of them, and faults that strike at the moments at which
    // votes, names and leaders change: what is rare elsewhere is found soon.
    bool aimed = false;

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
    // Every host has a device. Where it is used, agents also hang for a while beside a living
    // PostgreSQL, and processes do not die.
    core::WatchdogUse watchdog;
    std::vector<int> without_watchdog;  // hosts that have none after all
    bool wal_log_hints = true;
    double drift = 0;  // fraction by which clocks run fast or slow, at most
    double loss = 0;   // of messages to and from the DCS
    Duration latency_max = std::chrono::milliseconds(2);
    Duration disk_max{};       // of a flush; 0: at once
    Duration restore_takes{};  // a bootstrap's recovery before it is a primary; 0: initdb has none
    Duration write_every = std::chrono::milliseconds(250);
    // As with use_slots: a standby connects only once the walsender that has its slot has ended.
    bool slots_hold = false;
    Duration receiver_timeout = std::chrono::seconds(60);
    Duration receiver_retry = std::chrono::seconds(5);
    Duration expiry_late =
        std::chrono::milliseconds(500);  // etcd looks for expired leases twice a second
    Duration fault_every = std::chrono::seconds(20);
    bool in_place = false;  // operators restore the cluster in place, and think better of it
    bool disks = false;     // disks fill, by themselves and by what is written, and are emptied
    bool rots = false;      // pages rot, and operators say that data is good
    bool rebuilds = false;  // the same, and damaged replicas are made anew by themselves
    int slow = 1;           // times that PostgreSQL's actions take longer
    double failures = 0;    // of PostgreSQL's actions while faults are on
};

// The config key's text for these settings.
std::string config_of(const cluster::Settings& settings);

// The plan of one seed: settings, sizes and the mix of faults.
Plan plan_for(std::uint64_t seed, int members, Duration faults_for);

// Pages rot, and in most schedules damaged replicas are made anew by themselves: drawn by dice of
// its own.
void let_rebuild(Plan& plan);

// The same for an aimed run of synchronous replication.
Plan aimed_plan(std::uint64_t seed, int members);

}  // namespace relevo::sim
