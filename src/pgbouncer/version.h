// Which PgBouncer it is, and what that one can: Debian 12 has 1.18, and newer ones have verbs and
// settings that an older one refuses (docs/adr/0011-gateway.md has which are used, and why). Pure.
#pragma once

#include <compare>
#include <string>
#include <string_view>

namespace relevo::pgbouncer {

// 0.0.0: not known. It can nothing that is new then.
struct Version {
    int major = 0, minor = 0, patch = 0;
    auto operator<=>(const Version&) const = default;
    explicit operator bool() const { return *this != Version{}; }
};

// Out of what SHOW VERSION or `pgbouncer --version` says: "PgBouncer 1.18.0", also with more
// behind it. Whatever is no version of at least two numbers is not known.
Version parse_version(std::string_view text);
std::string to_string(const Version& version);

// Processes that share a port pass on cancel requests to the one that is meant ([peers]).
inline bool knows_peers(const Version& version) { return version >= Version{1, 19, 0}; }
// SHOW STATE: whether somebody paused or suspended all of it.
inline bool shows_state(const Version& version) { return version >= Version{1, 19, 0}; }
// SIGTERM waits for every client to leave; SIGQUIT does what SIGTERM did. (Before, SIGQUIT is not
// handled.)
inline bool sigterm_waits(const Version& version) { return version >= Version{1, 23, 0}; }
// KILL_CLIENT ends one client with its server connection.
inline bool kills_clients(const Version& version) { return version >= Version{1, 24, 0}; }

}  // namespace relevo::pgbouncer
