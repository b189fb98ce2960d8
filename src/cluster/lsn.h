// PostgreSQL's positions and timelines.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace relevo::cluster {

// A byte position in the WAL. Zero means "none" (PostgreSQL's InvalidXLogRecPtr).
struct Lsn {
    std::uint64_t value = 0;
    auto operator<=>(const Lsn&) const = default;
    explicit operator bool() const { return value != 0; }
};

std::string to_string(Lsn lsn);                       // "0/4000060", PostgreSQL's %X/%X
std::optional<Lsn> parse_lsn(std::string_view text);  // "0/4000060"; the whole text
// a - b, or 0 when b is ahead.
inline std::uint64_t distance(Lsn a, Lsn b) { return a.value > b.value ? a.value - b.value : 0; }

using Timeline = std::uint32_t;  // 0: unknown

}  // namespace relevo::cluster
