// One input through everything that reads untrusted text here. Aborts when a promise does not hold.
#pragma once

#include <string>
#include <string_view>

#include "base/assert.h"
#include "config/dynamic.h"
#include "config/local.h"
#include "config/node.h"
#include "config/yaml.h"

namespace relevo::config {

inline void load_once(std::string_view text) {
    const Environment environment{{"PATRONI_CONFIGURATION", std::string(text)}, {"HOME", "/"}};
    for (const For whom : {For::agent, For::ctl}) {
        const auto config = load({.path = std::nullopt, .environment = environment}, whom);
        RLV_ASSERT(config || !config.error().message.empty());
        if (config) {
            RLV_ASSERT(parse_json(config->merged_json).has_value());
            const auto meant = effective(*config, default_dynamic_json(*config));
            RLV_ASSERT(meant || !meant.error().message.empty());
        }
    }
    if (const auto tree = parse_yaml(text, "fuzz")) {
        const auto again = parse_yaml(to_yaml(*tree), "again");
        // Printing writes aliases out, which may be more text than is read.
        RLV_ASSERT(again ? to_json(*again) == to_json(*tree) : text.size() > 1000);
    }
    LocalConfig local;
    (void)effective(local, text);
}

}  // namespace relevo::config
