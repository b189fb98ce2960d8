// For tests, and for libFuzzer: what must hold of any text that says it is GET /cluster's answer.
#pragma once

#include <cstdlib>
#include <string>
#include <string_view>

#include "client/members.h"
#include "client/rest.h"

namespace relevo::client::testing {

inline void must(bool holds) {
    if (!holds) std::abort();
}

// What comes of it goes into libpq's parameters: one host, one port, no directory.
inline void fuzz_members(std::string_view text) {
    const auto members = parse_members(text);
    if (!members) return must(!members.error().empty());
    for (const auto& member : *members) {
        must(!member.name.empty() && !member.endpoint.host.empty());
        constexpr std::string_view never(",/@ '\\=\n\0", 9);
        must(member.endpoint.host.find_first_of(never) == std::string::npos);
        const long port = std::stol(member.endpoint.port);
        must(port > 0 && port < 65536);
        if (readable(*members, member, 1000)) must(member.streams && member.lag.value() <= 1000);
    }
    if (const auto* leader = leader_of(*members, 7))
        must(leader->leads && (leader->timeline == 0 || leader->timeline >= 7));
}

inline void fuzz_rest_url(std::string_view text) {
    const auto url = parse_rest_url(std::string(text));
    if (!url) return;
    const auto again = parse_rest_url(url->text());
    must(again && again->text() == url->text());
    must(url->text().find_first_of(" \r\n@?#") == std::string::npos);
}

}  // namespace relevo::client::testing
