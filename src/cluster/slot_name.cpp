#include <fmt/core.h>

#include "cluster/member.h"

namespace relevo::cluster {
namespace {

// The next character of a UTF-8 text; bytes that are none count as one unknown character each.
char32_t take_code_point(std::string_view& text) {
    constexpr char32_t unknown = 0xFFFD;
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char first = byte(0);
    std::size_t length = 1;
    char32_t value = first;
    if (first >= 0xF0 && first < 0xF8) {
        length = 4;
        value = first & 0x07U;
    } else if (first >= 0xE0 && first < 0xF0) {
        length = 3;
        value = first & 0x0FU;
    } else if (first >= 0xC0 && first < 0xE0) {
        length = 2;
        value = first & 0x1FU;
    } else if (first >= 0x80) {
        text.remove_prefix(1);
        return unknown;
    }
    for (std::size_t i = 1; i < length; ++i) {
        if (i >= text.size() || (byte(i) & 0xC0U) != 0x80U) {
            text.remove_prefix(1);
            return unknown;
        }
        value = value << 6U | (byte(i) & 0x3FU);
    }
    text.remove_prefix(length);
    return value;
}

// Lower case of ASCII, Latin-1, Greek and Cyrillic capitals, as Python's str.lower() has it,
// without a locale. Other scripts keep their case.
char32_t lower(char32_t c) {
    if (c >= U'A' && c <= U'Z') return c + 0x20;
    if (c >= 0xC0 && c <= 0xDE && c != 0xD7) return c + 0x20;
    if (c >= 0x391 && c <= 0x3A9 && c != 0x3A2) return c + 0x20;
    if (c >= 0x410 && c <= 0x42F) return c + 0x20;
    if (c >= 0x400 && c <= 0x40F) return c + 0x50;
    return c;
}

}  // namespace

std::string slot_name(std::string_view member_name) {
    constexpr std::size_t length_max = 63;
    std::string out;
    while (!member_name.empty() && out.size() < length_max) {
        const char plain = member_name.front();  // nearly every one
        if ((plain >= 'a' && plain <= 'z') || (plain >= '0' && plain <= '9') || plain == '-') {
            out += plain == '-' ? '_' : plain;
            member_name.remove_prefix(1);
            continue;
        }
        const char32_t c = lower(take_code_point(member_name));
        if ((c >= U'a' && c <= U'z') || (c >= U'0' && c <= U'9') || c == U'_') {
            out += static_cast<char>(c);
        } else if (c == U'-' || c == U'.') {
            out += '_';
        } else {
            out += fmt::format("u{:04}", static_cast<std::uint32_t>(c));
        }
    }
    if (out.size() > length_max) out.resize(length_max);
    return out;
}

}  // namespace relevo::cluster
