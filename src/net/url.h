// The texts that name a place: URLs, host:port, query strings. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace relevo::net {

struct QueryItem {
    std::string name, value;  // decoded
    bool operator==(const QueryItem&) const = default;
};

// "a=1&b=x%20y": items in order; an item without '=' has an empty value, an escape that is none is
// kept as it stands. Never fails: a health check with an odd query is still answered.
std::vector<QueryItem> parse_query(std::string_view text);
// The first value of that name, or null.
const std::string* find_query(const std::vector<QueryItem>& query, std::string_view name);
std::string percent_decode(std::string_view text);

struct HostPort {
    std::string host;  // without brackets; empty: none was given
    std::uint16_t port = 0;
    bool operator==(const HostPort&) const = default;
};

// "10.0.0.1:8008", "[::1]:8008", ":8008", "*:8008", "name". Without a port: default_port, or an
// error where there is none. "::1" without brackets is a host alone.
Result<HostPort> parse_host_port(std::string_view text, std::optional<std::uint16_t> default_port);

struct Url {
    bool tls = false;
    std::string host;  // without brackets
    std::uint16_t port = 0;
    std::string target;  // "/patroni?x=1", at least "/"
    bool operator==(const Url&) const = default;
};

// http:// and https:// only. Credentials in a URL are refused: they would end up in logs.
Result<Url> parse_url(std::string_view text);

// "host:port", with brackets around an IPv6 address.
std::string to_string(const HostPort& place);

}  // namespace relevo::net
