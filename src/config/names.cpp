// The section `dns`: names that follow the primary. It is not Patroni's, whose agents ignore it.
#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "config/reader.h"
#include "config/sections.h"

namespace relevo::config {
namespace {

constexpr int name_server_port = 53;

bool is_host_name(std::string_view text) {
    if (text.empty() || text.size() > 253 || text.front() == '.' || text.front() == '-')
        return false;
    const bool known = std::ranges::all_of(text, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '-' || c == '_' || c == '.';
    });
    return known && text.find("..") == std::string_view::npos;
}

void read_name(Reader& section, const char* key, std::string& out) {
    section.text(key, out);
    if (out.ends_with('.')) out.pop_back();
    if (section.has(key) && !is_host_name(out))
        section.wrong(key, "a host name, as in pg-primary.internal");
}

void read_update(Reader section, DnsConfig& out) {
    std::vector<std::string> servers;
    section.texts("servers", servers, true);
    for (const auto& text : servers) {
        const auto address = parse_address(text, name_server_port);
        if (address && !address->host.empty())
            out.servers.push_back(*address);
        else
            section.wrong("servers", "addresses of name servers, as in 10.0.0.53 or [fd00::1]:53");
    }
    section.text("key_file", out.key_file);
    if (out.servers.empty() && section.has("key_file"))
        section.wrong("servers", "the name servers that take updates of the zone");
    if (!out.servers.empty() && out.key_file.empty())
        section.wrong("key_file", "the file with the TSIG key, as `tsig-keygen relevo` prints it");
}

void read_responder(Reader section, DnsConfig& out) {
    if (!section.has("listen")) return;
    std::string text;
    section.text("listen", text);
    out.responder = parse_address(text, name_server_port);
    if (!out.responder) section.wrong("listen", "address:port, as in 10.0.0.1:53");
}

}  // namespace

void read_dns(const Node& tree, DnsConfig& out, std::vector<Problem>& problems) {
    if (tree.find("dns") == nullptr) return;
    Reader section(tree.find("dns"), "dns", problems);
    read_name(section, "primary", out.primary);
    if (out.primary.empty()) section.wrong("primary", "the name that follows the primary");
    read_name(section, "replica", out.replica);
    section.integer("ttl", out.ttl_s, 1, 60);
    section.texts("addresses", out.addresses, true);
    section.integer("maximum_lag", out.replica_lag_bytes_max, 0, INT64_MAX, "B");
    const auto dot = out.primary.find('.');
    out.zone = dot == std::string::npos ? "" : out.primary.substr(dot + 1);
    read_name(section, "zone", out.zone);
    const auto outside = [&](const std::string& name) {
        return !name.empty() && !lower(name).ends_with("." + lower(out.zone));
    };
    if (out.zone.empty() || outside(out.primary))
        section.wrong("primary", "a name inside the zone");
    if (outside(out.replica)) section.wrong("replica", "a name inside the zone");
    if (!out.replica.empty() && lower(out.replica) == lower(out.primary))
        section.wrong("replica", "another name than primary");
    read_update(section.section("update"), out);
    read_responder(section.section("responder"), out);
    if (out.servers.empty() && !out.responder)
        section.problem("update",
                        "neither update.servers nor responder.listen is given, so nobody "
                        "would learn the name: give one of them");
}

}  // namespace relevo::config
