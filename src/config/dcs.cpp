// The section of the DCS: etcd3 is what we speak; the others are refused by name.
#include <fmt/format.h>

#include "base/text.h"
#include "config/reader.h"
#include "config/sections.h"

namespace relevo::config {
namespace {

constexpr int etcd_port = 2379;

std::optional<int> hex(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return std::nullopt;
}

std::string decoded(std::string_view text) {  // %40 -> @
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto high = i + 2 < text.size() && text[i] == '%' ? hex(text[i + 1]) : std::nullopt;
        const auto low = high ? hex(text[i + 2]) : std::nullopt;
        if (low) {
            out += static_cast<char>(*high * 16 + *low);
            i += 2;
        } else {
            out += text[i];
        }
    }
    return out;
}

struct Url {
    std::string scheme, username, password, path;
    Address address;
};

// [scheme://][user:password@]host[:port][/path]
std::optional<Url> parse_url(std::string_view text, int default_port) {
    Url out;
    if (const auto end = text.find("://"); end != std::string_view::npos) {
        out.scheme = lower(text.substr(0, end));
        text.remove_prefix(end + 3);
    }
    if (const auto slash = text.find('/'); slash != std::string_view::npos) {
        out.path = text.substr(slash);
        text = text.substr(0, slash);
    }
    if (const auto at = text.rfind('@'); at != std::string_view::npos) {
        const std::string_view account = text.substr(0, at);
        const auto colon = account.find(':');
        out.username = decoded(account.substr(0, colon));
        if (colon != std::string_view::npos) out.password = decoded(account.substr(colon + 1));
        text.remove_prefix(at + 1);
    }
    const auto address = parse_address(text, default_port);
    if (!address || address->host.empty()) return std::nullopt;
    out.address = *address;
    return out;
}

// host, hosts: the scheme stands in `protocol`, but who writes http:// before each is understood
// too.
void read_hosts(Reader& section, const char* key, Etcd3Config& out) {
    std::vector<std::string> texts;
    section.texts(key, texts, true);
    if (section.has(key) && texts.empty()) return section.wrong(key, "at least one host:port");
    for (const std::string& text : texts) {
        const auto url = parse_url(trim(text), etcd_port);
        if (!url || (url->path != "" && url->path != "/") || !url->username.empty() ||
            (url->scheme != "" && url->scheme != "http" && url->scheme != "https")) {
            section.problem(key, fmt::format("found \"{}\", expected host:port",
                                             text.contains('@') ? "..." : text));
            continue;
        }
        if (url->scheme == "https") out.https = true;
        out.hosts.push_back(url->address);
    }
}

void read_url(Reader& section, const char* key, Etcd3Config& out) {
    std::string text;
    section.text(key, text);
    const auto url = parse_url(trim(text), etcd_port);
    if (!url || (url->scheme != "http" && url->scheme != "https"))
        return section.wrong(key, "http(s)://[user:password@]host:port");
    out.hosts = {url->address};
    out.https = url->scheme == "https";
    if (!url->username.empty()) {
        out.username = url->username;
        out.password = url->password;
    }
}

void read_etcd3(Reader section, Etcd3Config& out) {
    std::string protocol = "http";
    section.word("protocol", protocol, {"http", "https"});
    out.https = protocol == "https";
    section.text("username", out.username);
    section.text("password", out.password);
    section.text("cacert", out.cacert);
    section.text("cert", out.cert);
    section.text("key", out.key);
    section.boolean("use_proxies", out.use_proxies);
    for (const char* key : {"srv_domain", "discovery_srv", "srv"}) section.text(key, out.srv);
    section.text("srv_suffix", out.srv_suffix);
    // Patroni's precedence.
    if (section.has("proxy")) {
        out.use_proxies = true;
        read_url(section, "proxy", out);
    } else if (section.has("url")) {
        read_url(section, "url", out);
    } else if (section.has("hosts")) {
        read_hosts(section, "hosts", out);
    } else if (section.has("host")) {
        read_hosts(section, "host", out);
        int port = 0;
        section.integer("port", port, 1, 65535);
        if (port != 0 && out.hosts.size() == 1) {
            std::string host;
            section.text("host", host);
            if (!host.contains(':')) out.hosts[0].port = port;
        }
    } else if (out.srv.empty()) {
        section.problem("", "expected one of hosts, host, url, proxy, srv");
    }
}

constexpr const char* unsupported[] = {"consul", "exhibitor", "kubernetes", "raft", "zookeeper"};

}  // namespace

void read_dcs(const Node& tree, For whom, Etcd3Config& out, std::vector<Problem>& problems) {
    const Node* etcd3 = tree.find("etcd3");
    bool refused = false;
    const auto refuse = [&](const char* section, std::string why) {
        const Node* node = tree.find(section);
        if (node == nullptr) return;
        refused = true;
        problems.push_back({node->where(), section, std::move(why)});
    };
    refuse("etcd",
           "the etcd v2 protocol is not supported, expected etcd3: rename the section to `etcd3` "
           "(etcd 3.4 and "
           "later serves it at the same addresses; v2 data is not visible there, so move all "
           "members at once)");
    for (const char* section : unsupported)
        refuse(section,
               fmt::format("{} as the DCS is not supported, expected an `etcd3` section", section));
    refuse("citus",
           "Citus clusters keep other keys and are not supported; expected no `citus` section");
    if (etcd3 != nullptr) {
        read_etcd3(Reader(etcd3, "etcd3", problems), out);
    } else if (!refused && whom == For::agent) {
        problems.push_back({tree.where(), "etcd3",
                            "found nothing, expected the section of the DCS, as in "
                            "`etcd3: {hosts: [etcd-1:2379]}`"});
    }
}

void apply_dcs_url(Node& tree, const std::string& text, std::vector<Problem>& problems) {
    const auto url = parse_url(trim(text), 0);
    const auto wrong = [&](std::string message) {
        problems.push_back({"--dcs-url", "", std::move(message)});
    };
    if (!url) return wrong("expected etcd3://host:port[/namespace]");
    std::string scheme = url->scheme;
    // Patroni guesses from the port; its last guess, etcd v2, is answered by the same servers in
    // v3.
    if (scheme.empty() && url->address.port == 8500) scheme = "consul";
    if (scheme.empty() && url->address.port == 2181) scheme = "zookeeper";
    if (scheme.empty() && url->address.port == 8181) scheme = "exhibitor";
    if (scheme == "etcd")
        return wrong("the etcd v2 protocol is not supported, use etcd3://host:port");
    if (scheme != "etcd3" && !scheme.empty())
        return wrong(fmt::format("the DCS {} is not supported, use etcd3://host:port", scheme));
    for (const char* section : unsupported) tree.erase(section);
    tree.erase("etcd");
    Node etcd3 = Node::map();
    etcd3.set("host", Node::string(to_text(url->address)));
    if (!url->username.empty()) {
        etcd3.set("username", Node::string(url->username));
        etcd3.set("password", Node::string(url->password));
    }
    tree.set("etcd3", std::move(etcd3));
    if (url->path.size() > 1) tree.set("namespace", Node::string(url->path));
}

}  // namespace relevo::config
