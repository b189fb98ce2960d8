#include "etcd/url.h"

#include <charconv>
#include <string>

namespace relevo::etcd {

namespace {
constexpr std::uint16_t default_port = 2379;

std::optional<std::uint16_t> parse_port(std::string_view text) {
    std::uint16_t port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (error != std::errc{} || end != text.data() + text.size() || port == 0) return std::nullopt;
    return port;
}
}  // namespace

std::optional<EtcdEndpoint> parse_url(std::string_view url) {
    EtcdEndpoint endpoint;
    if (url.starts_with("https://"))
        endpoint.https = true;
    else if (!url.starts_with("http://"))
        return std::nullopt;
    url.remove_prefix(endpoint.https ? 8 : 7);
    url = url.substr(0, url.find('/'));
    if (const auto at = url.rfind('@'); at != url.npos) url.remove_prefix(at + 1);

    std::string_view port;
    if (url.starts_with('[')) {
        const auto close = url.find(']');
        if (close == url.npos) return std::nullopt;
        endpoint.host = url.substr(1, close - 1);
        url.remove_prefix(close + 1);
        if (!url.empty() && !url.starts_with(':')) return std::nullopt;
        port = url.empty() ? url : url.substr(1);
    } else {
        const auto colon = url.rfind(':');
        endpoint.host = url.substr(0, colon);
        port = colon == url.npos ? std::string_view{} : url.substr(colon + 1);
    }
    if (endpoint.host.empty()) return std::nullopt;
    const auto number = port.empty() ? default_port : parse_port(port);
    if (!number) return std::nullopt;
    endpoint.port = *number;
    return endpoint;
}

}  // namespace relevo::etcd
