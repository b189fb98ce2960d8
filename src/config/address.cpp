#include "config/address.h"

#include "base/text.h"

namespace relevo::config {
namespace {

std::optional<std::string> bare(std::string_view host) {
    host = trim(host);
    if (host.starts_with('[') != host.ends_with(']')) return std::nullopt;
    if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
    if (host.find_first_of("[]/@ \t'\"\\") != std::string_view::npos) return std::nullopt;
    return std::string(host);
}

}  // namespace

std::optional<Address> parse_listen(std::string_view text, int default_port) {
    text = trim(text);
    Address out;
    const auto colon = text.rfind(':');
    std::string_view hosts = text;
    if (colon == std::string_view::npos || text.ends_with(']')) {
        if (default_port == 0) return std::nullopt;
        out.port = default_port;
    } else {
        const std::string_view digits = text.substr(colon + 1);
        const auto port = parse_decimal(digits);
        if (!port || *port < 1 || *port > 65535 ||
            !(digits.front() >= '0' && digits.front() <= '9'))
            return std::nullopt;
        out.port = static_cast<int>(*port);
        hosts = text.substr(0, colon);
        // "::1": the last part of a bare IPv6 address is no port.
        if (hosts.ends_with(':')) return std::nullopt;
    }
    for (const std::string& each : split(hosts, ',')) {
        const auto host = bare(each);
        if (!host || (host->empty() && hosts.contains(','))) return std::nullopt;
        if (!out.host.empty()) out.host += ',';
        out.host += *host;
    }
    return out;
}

std::optional<Address> parse_address(std::string_view text, int default_port) {
    auto address = parse_listen(text, default_port);
    if (!address || address->host.contains(',')) return std::nullopt;
    return address;
}

std::string to_text(const Address& address) {
    if (address.host.contains(':')) return "[" + address.host + "]:" + std::to_string(address.port);
    return address.host + ":" + std::to_string(address.port);
}

std::string local_host(std::string_view listen_addresses) {
    const auto hosts = split(listen_addresses, ',');
    for (const std::string& each : hosts) {
        const auto host = trim(each);
        if (host.empty() || host == "*" || host == "localhost" || host == "0.0.0.0" ||
            host == "127.0.0.1")
            return "localhost";
    }
    const std::string first(trim(hosts.front()));
    return first == "::" ? "::1" : first;
}

}  // namespace relevo::config
