// synchronous_standby_names as a value: for which standbys' flush a commit waits.
// Source: PostgreSQL's grammar of the setting; the texts as the contract's 7.12 has them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cluster/member.h"

namespace relevo::cluster {

struct SyncNames {
    enum class Method {
        first,  // the first `count` of the names that are connected, in their order
        any     // any `count` of them
    } method = Method::any;
    int count = 0;                  // how many flushes a commit waits for; 0: none
    std::vector<MemberName> names;  // application_name of the standbys; compared without case
    bool everybody = false;         // "*" is among them
    bool operator==(const SyncNames&) const = default;
};

// Nobody is connected and a commit must wait all the same (synchronous_mode_strict). Patroni's own
// word, so that its agents know it for what it is.
inline constexpr const char* strict_placeholder = "__patroni_strict_sync_replica_placeholder__";

std::string to_text(const SyncNames& names);  // "" when the count is 0
// Empty text: count 0. Error: not what PostgreSQL would take.
Result<SyncNames> parse_sync_names(std::string_view text);

}  // namespace relevo::cluster
