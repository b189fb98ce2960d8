// relevo-sim: many members of the decision core in virtual time, with faults. Exit code 1: a
// promise was broken; the failing seeds replay exactly with --seed S --trace.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <mutex>
#include <thread>
#include <vector>

#include "sim/run.h"

namespace {

using namespace relevo;

struct Options {
    std::uint64_t first = 1, seeds = 100;
    std::uint64_t seed = 0;
    int members = 3, minutes = 10;
    unsigned jobs = 1;
    bool trace = false, aimed = false, disks = false, rots = false, rebuild = false,
         in_place = false;
    std::string bug;
};

sim::Plan plan_of(const Options& options, std::uint64_t seed, sim::Bug bug) {
    auto plan = options.aimed
                    ? sim::aimed_plan(seed, options.members)
                    : sim::plan_for(seed, options.members, std::chrono::minutes(options.minutes));
    plan.bug = bug;
    plan.disks = options.disks;
    plan.rots = options.rots;
    if (options.rebuild) sim::let_rebuild(plan);
    plan.in_place = options.in_place;
    return plan;
}

int replay(const Options& options, sim::Bug bug) {
    auto plan = plan_of(options, options.seed, bug);
    plan.trace = options.trace;
    const auto outcome = sim::run(plan, [](const std::string& line) { fmt::print("{}\n", line); });
    fmt::print(
        "seed {} ({} members, {}, ttl {} s): {} promotions, {} commits of {} lost, {} excused "
        "overlaps, {} steps, hash {:016x}\n",
        options.seed, options.members, to_string(plan.profile), plan.settings.ttl.count(),
        outcome.findings.promotions, outcome.findings.lost, outcome.findings.commits,
        outcome.findings.overlaps, outcome.findings.steps, outcome.hash);
    for (const auto& failure : outcome.findings.failures) fmt::print("FAILED {}\n", failure);
    return outcome.findings.failures.empty() ? 0 : 1;
}

struct Totals {
    std::mutex lock;
    std::uint64_t done = 0, failed = 0, promotions = 0, lost = 0, commits = 0, overlaps = 0,
                  steps = 0, restored = 0, cancelled = 0, remade = 0;
};

int many(const Options& options, sim::Bug bug) {
    Totals totals;
    std::atomic<std::uint64_t> next{0};
    const auto begun = std::chrono::steady_clock::now();
    const auto seconds = [&] {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    };
    const auto work = [&] {
        for (std::uint64_t i = next++; i < options.seeds; i = next++) {
            const auto outcome = sim::run(plan_of(options, options.first + i, bug));
            const std::lock_guard guard(totals.lock);
            ++totals.done;
            totals.promotions += static_cast<std::uint64_t>(outcome.findings.promotions);
            totals.lost += outcome.findings.lost;
            totals.commits += outcome.findings.commits;
            totals.overlaps += static_cast<std::uint64_t>(outcome.findings.overlaps);
            totals.steps += outcome.findings.steps;
            totals.remade += static_cast<std::uint64_t>(outcome.findings.remade);
            totals.restored += static_cast<std::uint64_t>(outcome.findings.restored);
            totals.cancelled += static_cast<std::uint64_t>(outcome.findings.cancelled);
            if (!outcome.findings.failures.empty()) {
                ++totals.failed;
                fmt::print("seed {} FAILED {}\n", outcome.seed, outcome.findings.failures.front());
            }
            if (totals.done % 1000 == 0)
                fmt::print("{} schedules, {} failed, {:.0f} a second\n", totals.done, totals.failed,
                           static_cast<double>(totals.done) / seconds());
            std::fflush(stdout);
        }
    };
    std::vector<std::jthread> threads;
    for (unsigned j = 1; j < options.jobs; ++j) threads.emplace_back(work);
    work();
    threads.clear();
    const double took = seconds();
    // Of the processor's time: what else the machine does is not our speed.
    const double worked = static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
    fmt::print(
        "{} schedules of {} members x {} min in {:.1f} s: {:.1f} a second ({:.0f} a core-minute), "
        "{} failed\n"
        "{} promotions, {} of {} acknowledged commits lost to asynchronous replication, {} excused "
        "overlaps, {} steps\n",
        totals.done, options.members, options.minutes, took,
        static_cast<double>(totals.done) / took, 60 * static_cast<double>(totals.done) / worked,
        totals.failed, totals.promotions, totals.lost, totals.commits, totals.overlaps,
        totals.steps);
    if (options.rebuild) fmt::print("{} damaged replicas made anew\n", totals.remade);
    if (options.in_place)
        fmt::print("{} restores in place, {} cancelled\n", totals.restored, totals.cancelled);
    return totals.failed == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app{
        "Simulates a cluster's decisions in virtual time, with faults, and checks what was "
        "promised"};
    Options options;
    app.add_option("--seeds", options.seeds, "how many schedules to run")->capture_default_str();
    app.add_option("--first", options.first, "the first seed")->capture_default_str();
    app.add_option("--seed", options.seed, "run this one only");
    app.add_flag("--trace", options.trace, "with --seed: print what happens");
    app.add_option("--members", options.members, "members of the cluster")
        ->check(CLI::Range(1, 9))
        ->capture_default_str();
    app.add_flag("--aimed", options.aimed,
                 "short runs of synchronous replication whose faults strike where leaders change");
    app.add_flag("--disks", options.disks, "disks fill and are emptied, beside all other faults");
    app.add_flag("--rots", options.rots, "pages rot, beside all other faults");
    app.add_flag("--rebuild", options.rebuild,
                 "the same, and damaged replicas are made anew by themselves");
    app.add_flag("--in-place", options.in_place,
                 "operators restore the cluster in place, beside all other faults");
    app.add_option("--minutes", options.minutes, "simulated minutes with faults")
        ->check(CLI::Range(1, 10000))
        ->capture_default_str();
    app.add_option("--jobs", options.jobs, "threads")
        ->check(CLI::Range(1, 256))
        ->capture_default_str();
    app.add_option("--bug", options.bug, "put in a deliberate bug (list: what there are)");
    CLI11_PARSE(app, argc, argv);
    auto bug = sim::Bug::none;
    if (options.bug == "list") {
        for (const auto& known : sim::bug_names())
            fmt::print("{:<26} {:<6}  {}\n", known.name, known.rule, known.what);
        return 0;
    }
    if (!options.bug.empty()) {
        const auto named = sim::parse_bug(options.bug);
        if (!named) {
            fmt::print(stderr, "relevo-sim: there is no bug named {}; --bug list shows them\n",
                       options.bug);
            return 2;
        }
        bug = *named;
    }
    return options.seed != 0 ? replay(options, bug) : many(options, bug);
}
