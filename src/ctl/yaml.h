// How configuration trees are shown: YAML for people, JSON in Python's spacing for programs that
// read Patroni's output. Reading and block YAML are config's (config/node.h, config/yaml.h). Pure.
#pragma once

#include <string>
#include <string_view>

#include "config/node.h"

namespace relevo::ctl {

// Maps sorted by key, at every level.
config::Node sorted(config::Node node);

// On one line: {a: 1, b: [x, y]}.
std::string to_flow_yaml(const config::Node& node);

// A blank after ':' and ',', as Python prints it.
std::string to_spaced_json(const config::Node& node);

// A JSON text (a tag, the config key) as a tree; what is no JSON becomes a text node, so that a
// value written by somebody else's hand is still shown.
config::Node node_of_json(std::string_view json);

std::string quoted(std::string_view text);  // as a JSON string

}  // namespace relevo::ctl
