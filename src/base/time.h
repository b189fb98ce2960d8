// Time as the program thinks of it. Nothing here can read a clock: an Instant comes in from outside
// (ports/clock.h in the daemon, the world's clock in the simulator).
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace relevo {

using Duration = std::chrono::nanoseconds;

// A clock type without now(): it only gives time points a type of their own. In the daemon it is
// CLOCK_BOOTTIME, so that a suspended machine sees the time it slept.
struct Monotonic {
    using duration = Duration;
    using rep = duration::rep;
    using period = duration::period;
    using time_point = std::chrono::time_point<Monotonic, duration>;
    static constexpr bool is_steady = true;
};
using Instant = Monotonic::time_point;

// Calendar time: only shown to people, or compared with what they scheduled.
using WallTime = std::chrono::sys_time<std::chrono::microseconds>;

// "2026-01-02T03:04:05.678901+00:00" (Python's isoformat, which Patroni writes; microseconds are
// left out when they are zero).
std::string to_iso(WallTime time);
// Accepts a trailing Z, +hh:mm, +hhmm, +hh or no zone (has_zone false, read as UTC), a 'T' or blank
// between.
struct ParsedTime {
    WallTime time;
    bool has_zone = false;
};
std::optional<ParsedTime> parse_iso(std::string_view text);

inline std::int64_t to_ms(Duration d) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(d).count();
}
inline double to_s(Duration d) { return std::chrono::duration<double>(d).count(); }

}  // namespace relevo
