#include "pgbouncer/version.h"

#include <fmt/format.h>

#include <charconv>

namespace relevo::pgbouncer {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The number at the front, which is taken off; -1: there is none, or none that a version has.
int take_number(std::string_view& text) {
    int number = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (text.empty() || !is_digit(text.front()) || error != std::errc{}) return -1;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return number;
}

}  // namespace

Version parse_version(std::string_view text) {
    // The first word that begins as one: the lines behind it are of libraries.
    while (!text.empty() && !is_digit(text.front())) {
        if (text.front() == '\n') return {};
        text.remove_prefix(1);
    }
    Version out;
    out.major = take_number(text);
    if (out.major < 0 || !text.starts_with('.')) return {};
    text.remove_prefix(1);
    out.minor = take_number(text);
    if (out.minor < 0) return {};
    if (text.starts_with('.')) {
        text.remove_prefix(1);
        // "1.25.dev": one that is not released yet.
        const int patch = take_number(text);
        out.patch = patch < 0 ? 0 : patch;
    }
    return out;
}

std::string to_string(const Version& version) {
    return fmt::format("{}.{}.{}", version.major, version.minor, version.patch);
}

}  // namespace relevo::pgbouncer
