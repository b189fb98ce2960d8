// What a member's REST API says of the cluster (GET /cluster, as Patroni spells it). Pure.
//
// All of it is a hint: where it leads to is asked what it is before anything is believed.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "client/session.h"

namespace relevo::client {

struct Member {
    std::string name;
    Endpoint endpoint;                   // PostgreSQL's; address "": the host is to be looked up
    bool leads = false;                  // holds the leader key, runs, and is no standby cluster's
    bool streams = false;                // a replica whose replication state is "streaming"
    bool balanced = true;                // its tags do not say noloadbalance
    std::uint32_t timeline = 0;          // 0: not said
    std::optional<std::uint64_t> lag{};  // bytes; nullopt: not known
};
using Members = std::vector<Member>;

// Members without a usable address are left out. The error says what is wrong with the text.
std::expected<Members, std::string> parse_members(std::string_view text);

// nullptr: nobody leads, or one of an older timeline than one already seen.
const Member* leader_of(const Members& members, std::uint32_t timeline_at_least);

// A replica that may be read from: it streams, on the leader's timeline, and is at most that far
// behind.
bool readable(const Members& members, const Member& member, std::uint64_t lag_max);

// The same by the name; false where there is none of that name.
bool readable(const Members& members, std::string_view name, std::uint64_t lag_max);

}  // namespace relevo::client
