#include "cluster/disk.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <iterator>

namespace relevo::cluster {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

// PostgreSQL makes WAL in segments of 16 MB, one ahead of the one that it writes.
constexpr std::uint64_t segment = std::uint64_t{16} << 20U;
constexpr std::uint64_t hold_least = 3 * segment;
constexpr std::uint64_t warning_least = 2 * hold_least;

// The trend's window: three times the default checkpoint_timeout, so that one third of it holds a
// whole cycle of recycling. Judged from one of them on: until a first checkpoint a young server's
// pg_wal only grows.
constexpr Duration window = minutes(15);
constexpr Duration bucket_width = seconds(10);
constexpr Duration trend_needs = minutes(5);
// The pace: long enough for a segment or two to come and go, short enough to act on.
constexpr Duration pace_window = seconds(10);
constexpr Duration pace_needs = seconds(2);
// Below a byte in this many a second nobody needs a forecast.
constexpr double negligible = 1.0;

// What is left of a limit, in bytes; 0: it is switched off.
std::uint64_t limit(std::uint64_t bytes, int percent, std::uint64_t total, std::uint64_t least) {
    if (bytes == 0 || percent == 0) return 0;
    const auto share = total / 100 * static_cast<std::uint64_t>(percent);
    return std::max(std::min(bytes, share), least);
}

std::optional<seconds> time_left(std::uint64_t free, double rate) {
    if (rate < negligible) return std::nullopt;
    constexpr double longest = 100.0 * 365 * 24 * 3600;
    const double left = std::min(static_cast<double>(free) / rate, longest);
    return seconds(static_cast<std::int64_t>(left));
}

// More than what the state began at, by so much.
std::uint64_t beyond(std::uint64_t limit, int percent_more) {
    return limit + limit / 100 * static_cast<std::uint64_t>(percent_more);
}
constexpr int hold_ends = 25, warning_ends = 10;  // percent above the limit

bool within(const std::optional<seconds>& left, Duration limit) {
    return left && limit > Duration::zero() && *left < limit;
}

}  // namespace

const char* to_string(DiskState state) {
    switch (state) {
        case DiskState::ok: return "ok";
        case DiskState::warning: return "warning";
        case DiskState::hold: return "hold";
        case DiskState::failed: return "failed";
    }
    return "?";
}

std::optional<DiskState> parse_disk_state(std::string_view text) {
    for (const auto state : {DiskState::ok, DiskState::warning, DiskState::hold, DiskState::failed})
        if (text == to_string(state)) return state;
    return std::nullopt;
}

DiskLimits limits(const DiskSettings& s, std::uint64_t total) {
    return {.warning = limit(s.warning_free, s.warning_percent, total, warning_least),
            .hold = limit(s.hold_free, s.hold_percent, total, hold_least)};
}

void DiskForecast::forget() {
    lows_.clear();
    latest_.clear();
}

void DiskForecast::add(Instant at, std::uint64_t free) {
    if (lows_.empty() || at - bucket_ >= bucket_width) {
        lows_.push_back({at, free});
        bucket_ = at;
    } else if (free <= lows_.back().free) {
        lows_.back() = {at, free};
    }
    while (at - lows_.front().at > window) lows_.pop_front();
    latest_.push_back({at, free});
    // The one at the window's edge stays: the pace is of a whole window.
    while (latest_.size() > 2 && at - latest_[1].at >= pace_window) latest_.pop_front();
}

double DiskForecast::trend() const {
    if (latest_.empty()) return 0;
    const Sample& now = latest_.back();
    const Instant begin = lows_.front().at;
    if (now.at - begin < trend_needs) return 0;
    const Duration third = (now.at - begin) / 3;
    const Sample* before = &lows_.front();
    const Sample* lately = &now;
    for (const Sample& low : lows_) {
        // The latest of equals: it went on since then.
        if (low.at - begin <= third && low.free <= before->free) before = &low;
        if (now.at - low.at <= third && low.free < lately->free) lately = &low;
    }
    if (now.free >= before->free || lately->free >= before->free) return 0;
    return static_cast<double>(before->free - lately->free) / to_s(lately->at - before->at);
}

double DiskForecast::pace() const {
    if (latest_.empty()) return 0;
    const Sample& from = latest_.front();
    const Sample& now = latest_.back();
    if (now.at - from.at < pace_needs || from.free <= now.free) return 0;
    return static_cast<double>(from.free - now.free) / to_s(now.at - from.at);
}

DiskJudgement judge(const DiskSettings& s, DiskState before, std::uint64_t total,
                    std::uint64_t free, const DiskForecast& forecast) {
    const auto limit = limits(s, total);
    // Where much is free a burst is only a burst; where little is, it is what counts.
    const bool little = free < beyond(limit.warning, warning_ends);
    const double rate = little ? std::max(forecast.trend(), forecast.pace()) : forecast.trend();
    DiskJudgement out;
    out.left = time_left(free, rate);
    const bool soon = free < limit.warning && within(out.left, s.hold_left);
    const bool still_soon =
        before == DiskState::hold && little && within(out.left, 2 * s.hold_left);
    const bool holds =
        before == DiskState::hold ? free < beyond(limit.hold, hold_ends) : free < limit.hold;
    if ((holds && limit.hold > 0) || soon || still_soon) {
        out.state = DiskState::hold;
        return out;
    }
    const bool was = before != DiskState::ok;
    const bool warns = was ? little : free < limit.warning;
    const Duration patience = was ? Duration(s.warning_left) * 3 / 2 : Duration(s.warning_left);
    if ((warns && limit.warning > 0) || within(out.left, patience)) out.state = DiskState::warning;
    return out;
}

Duration look_again_after(const DiskSettings& s, std::uint64_t total, std::uint64_t free) {
    // No disk that a PostgreSQL is likely to have takes more than this; its cache may, for a
    // moment. The upper bound is how old what people see may be; at the lower one, 50 MB/s fill
    // less than a segment between two looks.
    constexpr std::uint64_t bytes_a_ms = 2'000'000;
    const auto hold = limits(s, total).hold;
    const auto ms = free > hold ? (free - hold) / bytes_a_ms : 0;
    return milliseconds(std::clamp<std::uint64_t>(ms, 250, 5000));
}

std::string size_text(std::uint64_t bytes) {
    constexpr std::uint64_t step = 1024;
    if (bytes < step) return fmt::format("{} B", bytes);
    auto value = static_cast<double>(bytes);
    const char* const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    std::size_t unit = 0;
    while (value >= 1024.0 && unit + 1 < std::size(units)) {
        value /= 1024.0;
        ++unit;
    }
    return fmt::format("{:.1f} {}", value, units[unit]);
}

std::string left_text(seconds left) {
    constexpr std::int64_t a_minute = 60, an_hour = 3600, a_day = 86400;
    const auto s = left.count();
    if (s < 2 * a_minute) return fmt::format("{} s", s);
    if (s < 2 * an_hour) return fmt::format("{} min", s / a_minute);
    if (s < 2 * a_day) return fmt::format("{} h", s / an_hour);
    return fmt::format("{} days", s / a_day);
}

std::string describe(const DiskPlace& place) {
    auto out =
        fmt::format("{}: {} of {} free", place.what, size_text(place.free), size_text(place.total));
    if (place.left) out += ", full in about " + left_text(*place.left);
    return out;
}

}  // namespace relevo::cluster
