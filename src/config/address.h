// "host:port" as Patroni writes it: the port is what follows the last colon, IPv6 may stand in
// brackets.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace relevo::config {

struct Address {
    std::string
        host;  // without brackets; may be empty or "*" (all addresses) and, for listen, "a,b"
    int port = 0;
    bool operator==(const Address&) const = default;
};

// "pg-1:5432", "0.0.0.0:5432", "*:5432", ":5432", "[::1]:5432", "pg-1" (default port), "[::1]".
// nullopt: no port where none is allowed to miss (default_port 0), or not a port of 1..65535.
std::optional<Address> parse_address(std::string_view text, int default_port);

// The same for `listen`: "127.0.0.1,pg-1:5432"; host is the list as PostgreSQL's listen_addresses
// takes it.
std::optional<Address> parse_listen(std::string_view text, int default_port);

std::string to_text(const Address& address);  // IPv6 in brackets

// Where this host reaches a server that listens there (contract 2.4): localhost when it may, else
// the first address.
std::string local_host(std::string_view listen_addresses);

}  // namespace relevo::config
