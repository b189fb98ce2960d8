// Values of PostgreSQL's parameters as the server has them and as people write them. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace relevo::postgres {

// One row of pg_settings.
struct Setting {
    std::string value, unit, type, context, boot_value;
    bool pending_restart = false;
};
using Settings = std::map<std::string, Setting, std::less<>>;  // by lower-case name

// Whether the server's value is the configured text, units and spellings aside ("1GB" is 131072 of
// 8kB).
bool same_value(const Setting& setting, std::string_view text);

// "131072" of 8kB is "1GB": as SHOW has it. Texts that are no number come back as they are.
std::string humanise(std::string_view value, std::string_view unit, std::string_view type);

// Names of `wanted` whose value differs from the server's, sorted. Recovery parameters and
// hot_standby are skipped; a name the server does not have is no change.
std::vector<std::string> changed_parameters(const Settings& settings,
                                            const std::map<std::string, std::string>& wanted);

}  // namespace relevo::postgres
