// Where relevoctl finds its configuration (contract 6.1).
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "config/local.h"

namespace relevo::config {

// -c, else PATRONICTL_CONFIG_FILE, else ~/.config/patroni/patronictl.yaml ($XDG_CONFIG_HOME) when
// it is there. nullopt: none, the environment alone counts. Error: the one that was named is not
// there.
Result<std::optional<std::string>> ctl_config_path(const std::optional<std::string>& given,
                                                   const Environment& environment);

struct CtlOptions {
    std::optional<std::string> config_file;  // -c
    std::optional<std::string> dcs_url;      // -d, else DCS_URL
    bool insecure = false;                   // -k
};

// The whole: path, load, -d and -k applied.
Result<LocalConfig> load_for_ctl(const CtlOptions& options, const Environment& environment);

}  // namespace relevo::config
