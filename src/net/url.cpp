#include "net/url.h"

#include <fmt/core.h>

#include "base/text.h"

namespace relevo::net {
namespace {

int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

std::string decode(std::string_view text, bool plus_is_blank) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (c == '%' && i + 2 < text.size()) {
            const int high = hex_digit(text[i + 1]);
            const int low = hex_digit(text[i + 2]);
            if (high >= 0 && low >= 0) {
                out += static_cast<char>(high * 16 + low);
                i += 2;
                continue;
            }
        }
        out += plus_is_blank && c == '+' ? ' ' : c;
    }
    return out;
}

Result<std::uint16_t> parse_port(std::string_view text) {
    const bool digits = !text.empty() && text.find_first_not_of("0123456789") == text.npos;
    const auto number = digits && text.size() <= 5 ? parse_decimal(text) : std::nullopt;
    if (!number || *number > 65535) {
        return fail(ErrorCode::invalid,
                    fmt::format("'{}' is not a port: give a number up to 65535", text));
    }
    return static_cast<std::uint16_t>(*number);
}

}  // namespace

std::string percent_decode(std::string_view text) { return decode(text, false); }

std::vector<QueryItem> parse_query(std::string_view text) {
    std::vector<QueryItem> items;
    while (!text.empty()) {
        const auto end = text.find('&');
        const auto item = text.substr(0, end);
        text = end == text.npos ? std::string_view{} : text.substr(end + 1);
        if (item.empty()) continue;
        const auto equals = item.find('=');
        const auto value = equals == item.npos ? std::string_view{} : item.substr(equals + 1);
        items.push_back({decode(item.substr(0, equals), true), decode(value, true)});
    }
    return items;
}

const std::string* find_query(const std::vector<QueryItem>& query, std::string_view name) {
    for (const auto& item : query) {
        if (item.name == name) return &item.value;
    }
    return nullptr;
}

Result<HostPort> parse_host_port(std::string_view text, std::optional<std::uint16_t> default_port) {
    text = trim(text);
    HostPort place;
    std::string_view port;
    bool has_port = false;
    if (text.starts_with('[')) {
        const auto close = text.find(']');
        const auto rest = close == text.npos ? std::string_view{} : text.substr(close + 1);
        if (close == text.npos || (!rest.empty() && !rest.starts_with(':'))) {
            return fail(
                ErrorCode::invalid,
                fmt::format("'{}' is not host:port: write an IPv6 address as [::1]:8008", text));
        }
        place.host = text.substr(1, close - 1);
        has_port = !rest.empty();
        if (has_port) port = rest.substr(1);
    } else {
        const auto colon = text.rfind(':');
        // More than one colon and no brackets: an IPv6 address without a port.
        has_port = colon != text.npos && text.find(':') == colon;
        place.host = has_port ? text.substr(0, colon) : text;
        if (has_port) port = text.substr(colon + 1);
    }
    if (!has_port) {
        if (!default_port) {
            return fail(ErrorCode::invalid, fmt::format("'{}' has no port: write host:port", text));
        }
        place.port = *default_port;
        return place;
    }
    RLV_TRY(place.port, parse_port(port));
    return place;
}

Result<Url> parse_url(std::string_view text) {
    Url url;
    const auto scheme_end = text.find("://");
    const auto scheme = lower(text.substr(0, scheme_end == text.npos ? 0 : scheme_end));
    if (scheme != "http" && scheme != "https") {
        return fail(ErrorCode::invalid, "not a URL: it must start with http:// or https://");
    }
    url.tls = scheme == "https";
    text.remove_prefix(scheme_end + 3);
    const auto target_at = text.find_first_of("/?#");
    const auto authority = text.substr(0, target_at);
    if (authority.find('@') != authority.npos) {
        return fail(ErrorCode::invalid, "not a URL we take: credentials do not belong in it");
    }
    RLV_TRY(auto place,
            parse_host_port(authority, url.tls ? std::uint16_t{443} : std::uint16_t{80}));
    if (place.host.empty() || place.port == 0) {
        return fail(ErrorCode::invalid, fmt::format("'{}' names no host and port", authority));
    }
    url.host = std::move(place.host);
    url.port = place.port;
    auto target = target_at == text.npos ? std::string_view{} : text.substr(target_at);
    target = target.substr(0, target.find('#'));
    for (const char c : target) {
        if (static_cast<unsigned char>(c) <= ' ' || c == 0x7f) {
            return fail(ErrorCode::invalid,
                        "not a URL: blanks and control characters must be escaped");
        }
    }
    if (!target.starts_with('/')) url.target = "/";
    url.target += target;
    return url;
}

std::string to_string(const HostPort& place) {
    const bool v6 = place.host.find(':') != place.host.npos;
    return v6 ? fmt::format("[{}]:{}", place.host, place.port)
              : fmt::format("{}:{}", place.host, place.port);
}

}  // namespace relevo::net
