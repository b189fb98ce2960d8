// What a reload of the local file may change (contract 1.9): everything except who the member is
// and where its cluster and its data live. Those keep their running values until the agent starts
// again.
#pragma once

#include <string>
#include <vector>

#include "config/local.h"

namespace relevo::config {

struct Reloaded {
    LocalConfig config;  // fresh, with what cannot change put back
    std::vector<std::string>
        notes;  // a line for each that differs and waits for a restart of the agent
};

// Kept: name, scope, namespace; the etcd3 section but username and password; postgresql's data_dir,
// config_dir, bin_dir, bin_name and pgpass.
Reloaded reload_over(const LocalConfig& running, LocalConfig fresh);

}  // namespace relevo::config
