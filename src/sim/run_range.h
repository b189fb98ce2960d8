// For tests: whole schedules of consecutive seeds, with all their faults.
#pragma once

#include <fmt/core.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "sim/run.h"

namespace relevo::sim {

// -> a line for each failure. `change`: what the plan is to have beside what its seed drew; from
// two threads. `seen`: each outcome, one at a time.
inline std::string run_range(std::uint64_t first, std::uint64_t count, int members,
                             const std::function<void(Plan&)>& change = {},
                             const std::function<void(const Outcome&)>& seen = {}) {
    std::atomic<std::uint64_t> next{0};
    std::mutex lock;
    std::string failures;
    const auto work = [&] {
        for (std::uint64_t i = next++; i < count; i = next++) {
            auto plan = plan_for(first + i, members, std::chrono::minutes(10));
            if (change) change(plan);
            const auto outcome = run(plan);
            const std::lock_guard guard(lock);
            if (seen) seen(outcome);
            for (const auto& failure : outcome.findings.failures)
                failures += fmt::format("seed {} ({} members): {}\n", first + i, members, failure);
        }
    };
    std::jthread other(work);
    work();
    other.join();
    return failures;
}

}  // namespace relevo::sim
