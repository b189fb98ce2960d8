// Changes to the dynamic configuration as edit-config makes them (contract 6.2). Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "config/node.h"

namespace relevo::ctl {

// What the operator wrote as a configuration: a YAML map (an empty document is an empty map).
// invalid: not YAML, or not a map; source is named in the message.
Result<config::Node> parse_settings(std::string_view yaml, std::string_view source);

// "ttl=20", "postgresql.parameters.auto_explain.log_min_duration=1s", "synchronous_mode=null": the
// path is dotted, except that all behind "postgresql.parameters." is one GUC's name; the value is
// YAML; null removes, with parents that become empty. invalid: no '=', or a part of the path holds
// a value and no map.
Status apply_setting(config::Node& settings, std::string_view assignment);

// "max_connections=200": the same below postgresql.parameters.
Status apply_parameter(config::Node& settings, std::string_view assignment);

}  // namespace relevo::ctl
