// The cluster's dynamic configuration: show-config, edit-config, and what is a setting underneath:
// pause, resume, demote-cluster, promote-cluster.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ctl/context.h"

namespace relevo::ctl {

Outcome show_config(Context& context, const std::string& cluster);

struct EditConfigCommand {
    std::string cluster;
    bool quiet = false, force = false;
    std::vector<std::string> set, pg;           // K=V, in their order
    std::optional<std::string> apply, replace;  // files; "-" is standard input
};
Outcome edit_config(Context& context, const EditConfigCommand& command);

// Automation off (true) or on again.
Outcome pause(Context& context, const std::string& cluster, bool on, bool wait);

struct DemoteClusterCommand {
    std::string cluster;
    std::string host, port, restore_command, primary_slot_name;
    bool force = false;
};
Outcome demote_cluster(Context& context, const DemoteClusterCommand& command);
Outcome promote_cluster(Context& context, const std::string& cluster, bool force);

}  // namespace relevo::ctl
