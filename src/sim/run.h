// One schedule from beginning to end.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sim/checkers.h"
#include "sim/faults.h"
#include "sim/plan.h"

namespace relevo::sim {

// A world with its members, for scenarios too.
class Cluster {
public:
    explicit Cluster(const Plan& plan);
    Cluster(const Cluster&) = delete;
    Cluster& operator=(const Cluster&) = delete;

    Plan plan;
    World world;
    SimDcs dcs;
    Postgreses postgres;
    std::vector<SimWatchdog> watchdogs;
    std::vector<std::unique_ptr<Member>> members;
    Watchers watchers;
    Checkers checkers;
    Faults faults;

    void start();  // agents and writers
    // Runs until the condition holds; false when it did not within the time.
    bool run_until(const std::function<bool()>& condition, Duration within);
    bool settled() const { return checkers.unrest().empty(); }
    int leader();  // -1: none

private:
    Parts parts() { return {world, dcs, postgres, watchdogs, members, watchers}; }
    void write_on();
};

struct Outcome {
    std::uint64_t seed = 0;
    Findings findings;
    std::uint64_t hash = 0;
    std::vector<std::string> trace;
};

Outcome run(const Plan& plan, std::function<void(const std::string&)> trace_to = nullptr);

}  // namespace relevo::sim
