// What the names should say, from the agent's view alone. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "ports/control.h"

namespace relevo::dns {

struct Names {
    std::string primary;  // "pg-primary.internal"
    std::string replica;  // "": not kept
    std::uint32_t ttl_s = 2;
    // This member's own; empty: the host of its connect_address.
    std::vector<std::string> addresses;
    // A replica that is further behind is left out.
    std::uint64_t replica_lag_bytes_max = 16 * 1024 * 1024;
    bool operator==(const Names&) const = default;
};

// Hosts, as members publish them: addresses, or names that are still to be looked up.
struct Wanted {
    std::uint64_t term = 0;
    std::string member;
    std::vector<std::string> primary;
    std::vector<std::string> replicas;  // never empty: the primary where no replica is fit
    bool operator==(const Wanted&) const = default;
};

// What this member is to write: nothing unless it holds the lease at this moment and its
// PostgreSQL is known to be a running primary.
std::optional<Wanted> to_publish(const ports::View& view, Instant now, const Names& names);

// What any member may answer: nothing when in doubt. A leader's own lease must hold; another
// member must have seen the leader's key within loop_wait + retry_timeout.
std::optional<Wanted> to_answer(const ports::View& view, Instant now, WallTime wall,
                                const Names& names);

}  // namespace relevo::dns
