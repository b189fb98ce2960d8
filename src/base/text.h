// Small text helpers, and Patroni's literals ("10MB", "on", "0x10") which are PostgreSQL's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace relevo {

std::string_view trim(std::string_view text);
std::string lower(std::string_view text);                               // ASCII
std::vector<std::string> split(std::string_view text, char separator);  // keeps empty parts
std::string join(const std::vector<std::string>& parts, std::string_view separator);
bool iequals(std::string_view a, std::string_view b);
bool icontains(std::string_view text, std::string_view part);

// For a log, a table, a terminal: whatever is a control character in ASCII becomes `instead`.
std::string one_line(std::string text, char instead = ' ');
// What stands beside a directory under its name: "/pg/data/" and ".mark" make "/pg/data.mark".
std::string path_beside(std::string directory, std::string_view ending);

std::optional<std::int64_t> parse_decimal(std::string_view text);  // the whole text, optional sign

// on/true/yes/1, off/false/no/0, case-insensitive.
std::optional<bool> parse_bool(std::string_view text);

// Decimal, 0x.., leading-0 octal, or a float (rounded); with a unit only where base_unit is not
// empty. base_unit is one of: "" B kB MB GB TB, or with a count ("8kB", "16MB"), or us ms s min h
// d. The result is in base units. nullopt: not a number, or an unknown or unexpected unit.
std::optional<std::int64_t> parse_int(std::string_view text, std::string_view base_unit = "");
std::optional<double> parse_real(std::string_view text, std::string_view base_unit = "");

// A word for /bin/sh inside of one of PostgreSQL's settings that hold a command, where % is
// expanded: quoted where it must be, %% for %.
std::string word_in_setting(std::string_view text);

// Compares without telling by its duration where the texts differ.
bool equal_in_constant_time(std::string_view a, std::string_view b);

// How deep arrays and objects stand in each other. Reading a value recurses: what comes from
// outside is bounded by this before it is parsed. Bounded itself, and says something of any text.
std::size_t json_nesting(std::string_view json_text);

}  // namespace relevo
