#include "base/text.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <limits>

namespace relevo {
namespace {

bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}
char lower_char(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

// A number at the start of a text, and what follows it.
struct Number {
    long double value = 0;
    bool whole = false;  // written as an integer
    std::string_view rest;
};

std::optional<Number> integer_prefix(std::string_view text) {
    std::string_view digits = text;
    bool negative = false;
    if (!digits.empty() && (digits[0] == '+' || digits[0] == '-')) {
        negative = digits[0] == '-';
        digits.remove_prefix(1);
    }
    int base = 10;
    if (digits.size() > 2 && digits[0] == '0' && lower_char(digits[1]) == 'x') {
        base = 16;
        digits.remove_prefix(2);
    } else if (digits.size() > 1 && digits[0] == '0' && is_digit(digits[1])) {
        base = 8;
    }
    std::uint64_t magnitude = 0;
    const char* const end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, magnitude, base);
    if (error != std::errc{}) return std::nullopt;
    const auto value = static_cast<long double>(magnitude);
    return Number{negative ? -value : value, true, {stop, static_cast<std::size_t>(end - stop)}};
}

std::optional<Number> float_prefix(std::string_view text) {
    std::string_view digits = text;
    std::string_view unsigned_part = digits;
    if (!digits.empty() && (digits[0] == '+' || digits[0] == '-')) unsigned_part.remove_prefix(1);
    if (!digits.empty() && digits[0] == '+') digits.remove_prefix(1);  // from_chars knows only '-'
    // Neither "inf" nor "nan": a number begins with a digit or a point.
    if (unsigned_part.empty() || (!is_digit(unsigned_part[0]) && unsigned_part[0] != '.'))
        return std::nullopt;
    double value = 0;
    const char* const end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, value);
    if (error != std::errc{}) return std::nullopt;
    return Number{
        static_cast<long double>(value), false, {stop, static_cast<std::size_t>(end - stop)}};
}

// As PostgreSQL: what looks like an integer is one, unless a point or exponent follows.
std::optional<Number> number_prefix(std::string_view text) {
    const auto integer = integer_prefix(text);
    if (!integer) return float_prefix(text);
    if (!integer->rest.empty() &&
        (integer->rest[0] == '.' || lower_char(integer->rest[0]) == 'e')) {
        if (const auto real = float_prefix(text)) return real;
    }
    return integer;
}

struct Unit {
    std::string_view name;
    bool time = false;
    double size = 0;          // in bytes or microseconds
    double next_smaller = 0;  // 0: there is none
};
constexpr double kilo = 1024;
constexpr Unit units[] = {
    {"B", false, 1, 0},
    {"kB", false, kilo, 1},
    {"MB", false, kilo* kilo, kilo},
    {"GB", false, kilo* kilo* kilo, kilo* kilo},
    {"TB", false, kilo* kilo* kilo* kilo, kilo* kilo* kilo},
    {"us", true, 1, 0},
    {"ms", true, 1e3, 1},
    {"s", true, 1e6, 1e3},
    {"min", true, 60e6, 1e6},
    {"h", true, 3600e6, 60e6},
    {"d", true, 86400e6, 3600e6},
};

const Unit* find_unit(std::string_view name) {
    for (const Unit& unit : units) {
        if (unit.name == name) return &unit;
    }
    return nullptr;
}

struct BaseUnit {
    const Unit* unit;
    double size;  // of one base unit, in bytes or microseconds
};

std::optional<BaseUnit> parse_base_unit(std::string_view text) {
    std::size_t digits = 0;
    while (digits < text.size() && is_digit(text[digits])) ++digits;
    double count = 1;
    if (digits > 0) {
        const auto number = parse_decimal(text.substr(0, digits));
        if (!number || *number < 1) return std::nullopt;
        count = static_cast<double>(*number);
    }
    const Unit* const unit = find_unit(text.substr(digits));
    if (unit == nullptr) return std::nullopt;
    return BaseUnit{unit, unit->size * count};
}

// The value in base units. PostgreSQL: a fraction of a unit is rounded to a whole number of the
// next smaller unit first ("1.1GB" is 1126MB), if that is not below the base unit.
std::optional<long double> in_base_units(const Number& number, std::string_view base_unit) {
    const std::string_view unit_text = trim(number.rest);
    if (unit_text.empty()) return number.value;
    const auto base = parse_base_unit(base_unit);
    const Unit* const unit = find_unit(unit_text);
    if (!base || unit == nullptr || unit->time != base->unit->time) return std::nullopt;
    const auto base_size = static_cast<long double>(base->size);
    long double value = number.value * static_cast<long double>(unit->size) / base_size;
    if (number.whole || unit->next_smaller < base->size) return value;
    const auto step = static_cast<long double>(unit->next_smaller) / base_size;
    return std::nearbyint(value / step) * step;
}

}  // namespace

std::string_view trim(std::string_view text) {
    while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
    while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
    return text;
}

std::string lower(std::string_view text) {
    std::string out(text);
    std::transform(out.begin(), out.end(), out.begin(), lower_char);
    return out;
}

std::vector<std::string> split(std::string_view text, char separator) {
    std::vector<std::string> parts;
    for (;;) {
        const std::size_t at = text.find(separator);
        parts.emplace_back(text.substr(0, at));
        if (at == std::string_view::npos) return parts;
        text.remove_prefix(at + 1);
    }
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
    std::string out;
    for (const std::string& part : parts) {
        if (&part != &parts.front()) out += separator;
        out += part;
    }
    return out;
}

bool iequals(std::string_view a, std::string_view b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](char x, char y) { return lower_char(x) == lower_char(y); });
}

bool icontains(std::string_view text, std::string_view part) {
    return std::search(text.begin(), text.end(), part.begin(), part.end(),
                       [](char x, char y) { return lower_char(x) == lower_char(y); }) !=
               text.end() ||
           part.empty();
}

std::string one_line(std::string text, char instead) {
    std::ranges::replace_if(text, [](unsigned char c) { return c < 0x20 || c == 0x7F; }, instead);
    return text;
}

std::string path_beside(std::string directory, std::string_view ending) {
    while (directory.size() > 1 && directory.back() == '/') directory.pop_back();
    return directory.append(ending);
}

std::optional<std::int64_t> parse_decimal(std::string_view text) {
    if (text.size() > 1 && text[0] == '+' && is_digit(text[1])) text.remove_prefix(1);
    std::int64_t value = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc{} || stop != end) return std::nullopt;
    return value;
}

std::optional<bool> parse_bool(std::string_view text) {
    const std::string word = lower(trim(text));
    if (word == "on" || word == "true" || word == "yes" || word == "1") return true;
    if (word == "off" || word == "false" || word == "no" || word == "0") return false;
    return std::nullopt;
}

std::optional<std::int64_t> parse_int(std::string_view text, std::string_view base_unit) {
    const auto number = number_prefix(trim(text));
    if (!number) return std::nullopt;
    const auto value = in_base_units(*number, base_unit);
    if (!value) return std::nullopt;
    const long double rounded = std::nearbyint(*value);
    // 2^63 is exact in every floating type; int64's largest value is not.
    constexpr long double limit = 9223372036854775808.0L;
    if (!(rounded >= -limit && rounded < limit)) return std::nullopt;
    return static_cast<std::int64_t>(rounded);
}

std::optional<double> parse_real(std::string_view text, std::string_view base_unit) {
    const auto number = number_prefix(trim(text));
    if (!number) return std::nullopt;
    const auto value = in_base_units(*number, base_unit);
    if (!value || !std::isfinite(static_cast<double>(*value))) return std::nullopt;
    return static_cast<double>(*value);
}

std::string word_in_setting(std::string_view text) {
    const bool plain = !text.empty() && std::ranges::all_of(text, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               std::string_view("/._-=:,+@").contains(c);
    });
    std::string out = plain ? "" : "'";
    for (const char c : text) {
        if (c == '\'')
            out += "'\\''";
        else if (c == '%')
            out += "%%";
        else
            out += c;
    }
    return plain ? out : out + "'";
}

bool equal_in_constant_time(std::string_view a, std::string_view b) {
    // The length may show; the content may not.
    if (a.size() != b.size()) return false;
    unsigned char difference = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        difference = static_cast<unsigned char>(
            difference | (static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i])));
    }
    const volatile unsigned char seen = difference;
    return seen == 0;
}

std::size_t json_nesting(std::string_view json_text) {
    std::size_t depth = 0;
    std::size_t deepest = 0;
    bool in_string = false;
    for (std::size_t i = 0; i < json_text.size(); ++i) {
        const char c = json_text[i];
        if (in_string) {
            if (c == '\\') ++i;
            if (c == '"') in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            deepest = std::max(deepest, ++depth);
        } else if ((c == ']' || c == '}') && depth > 0) {
            --depth;
        }
    }
    return deepest;
}

}  // namespace relevo
