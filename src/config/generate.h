// --generate-sample-config: a configuration to start from (contract 1.2). Values come from the
// PATRONI_* environment, else from defaults and this host, else they are the marker #FIXME, which
// does not load.
#pragma once

#include <string>

#include "base/result.h"
#include "config/yaml.h"

namespace relevo::config {

struct ThisHost {
    std::string name, address;
};
ThisHost this_host();  // address: the one the name resolves to, else the name

Result<std::string> sample_config(const Environment& environment, const ThisHost& host);

// Makes the parent directory where it is missing; the file is readable by its owner only, for it is
// to hold passwords. Replaces what is there.
Status write_config(const std::string& path, const std::string& text);

}  // namespace relevo::config
