#include "postgres/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <optional>

#include "base/text.h"
#include "postgres/parameter_catalog.h"

namespace relevo::postgres {

namespace {

struct Unit {
    std::string_view name;
    std::int64_t size;
};
// Largest first; the smallest ones are what sizes and times are counted in.
constexpr std::array sizes{Unit{.name = "TB", .size = 1LL << 40},
                           Unit{.name = "GB", .size = 1LL << 30},
                           Unit{.name = "MB", .size = 1LL << 20},
                           Unit{.name = "kB", .size = 1LL << 10}, Unit{.name = "B", .size = 1}};
constexpr std::array times{
    Unit{.name = "d", .size = 86'400'000'000LL}, Unit{.name = "h", .size = 3'600'000'000LL},
    Unit{.name = "min", .size = 60'000'000LL},   Unit{.name = "s", .size = 1'000'000LL},
    Unit{.name = "ms", .size = 1'000LL},         Unit{.name = "us", .size = 1}};

template <std::size_t n>
std::optional<std::string> in_largest_unit(const std::array<Unit, n>& units, std::int64_t value,
                                           std::string_view unit) {
    std::int64_t count = 1;  // "8kB": eight of kB
    std::size_t digits = 0;
    while (digits < unit.size() && unit[digits] >= '0' && unit[digits] <= '9') ++digits;
    if (digits > 0) count = parse_decimal(unit.substr(0, digits)).value_or(1);
    const auto base = std::ranges::find(units, unit.substr(digits), &Unit::name);
    if (base == units.end()) return std::nullopt;
    const std::int64_t small = value * count * base->size;
    for (const Unit& larger : units)
        if (small % larger.size == 0) return fmt::format("{}{}", small / larger.size, larger.name);
    return std::nullopt;
}

std::optional<bool> boolean(std::string_view text) {
    if (const auto known = parse_bool(text)) return known;
    const std::string word = lower(text);
    if (word.empty()) return std::nullopt;
    if (std::string_view("true").starts_with(word) || std::string_view("yes").starts_with(word))
        return true;
    if (std::string_view("false").starts_with(word) || std::string_view("no").starts_with(word) ||
        word == "of")
        return false;
    return std::nullopt;
}

// -1 is a 32nd of shared_buffers, between 64kB and one segment; the server shows what it became.
bool is_automatic_wal_buffers(const Settings& settings, const Setting& wal_buffers) {
    const auto shared = settings.find("shared_buffers");
    const auto segment = settings.find("wal_segment_size");
    if (shared == settings.end() || wal_buffers.unit != "8kB") return false;
    const auto blocks = parse_int(shared->second.value);
    if (!blocks) return false;
    std::int64_t most = 2048;
    if (segment != settings.end())
        if (const auto bytes = parse_int(segment->second.value, ""))
            most = std::max<std::int64_t>(*bytes / 8192, 8);
    return parse_int(wal_buffers.value) == std::clamp<std::int64_t>(*blocks / 32, 8, most);
}

}  // namespace

bool same_value(const Setting& setting, std::string_view text) {
    if (setting.type == "bool") return boolean(setting.value) == boolean(text);
    if (setting.type == "integer") {
        const auto wanted = parse_int(text, setting.unit);
        return wanted && wanted == parse_int(setting.value);
    }
    if (setting.type == "real") {
        const auto wanted = parse_real(text, setting.unit);
        const auto actual = parse_real(setting.value);
        return wanted && actual &&
               std::abs(*wanted - *actual) <= 1e-9 * std::max(1.0, std::abs(*actual));
    }
    if (setting.type == "enum") {
        if (iequals(setting.value, text)) return true;
        const auto wanted = boolean(text);
        return wanted && wanted == boolean(setting.value);
    }
    return setting.value == text;
}

std::string humanise(std::string_view value, std::string_view unit, std::string_view type) {
    if (type == "bool") {
        const auto known = boolean(value);
        return known ? (*known ? "on" : "off") : std::string(value);
    }
    if (type != "integer") return std::string(value);
    const auto number = parse_int(value, unit);
    if (!number) return std::string(value);
    if (unit.empty() || *number <= 0) return std::to_string(*number);
    if (auto size = in_largest_unit(sizes, *number, unit)) return *std::move(size);
    if (auto time = in_largest_unit(times, *number, unit)) return *std::move(time);
    return std::string(value);
}

std::vector<std::string> changed_parameters(const Settings& settings,
                                            const std::map<std::string, std::string>& wanted) {
    std::vector<std::string> names;
    for (const auto& [name, value] : wanted) {
        if (name == "hot_standby" || is_recovery_parameter(name)) continue;
        const auto found = settings.find(name);
        if (found == settings.end() || same_value(found->second, value)) continue;
        if (name == "wal_buffers" && trim(value) == "-1" &&
            is_automatic_wal_buffers(settings, found->second))
            continue;
        names.push_back(name);
    }
    return names;
}

}  // namespace relevo::postgres
