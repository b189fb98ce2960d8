// `relevoctl restore`: what can be reached, and a restore into a directory on a member's host. A
// member plans and does it, which has the key to the repository; the operator's machine has none.
#pragma once

#include <string>

#include "cluster/recovery_target.h"
#include "ctl/context.h"

namespace relevo::ctl {

struct RestoreCommand {
    std::string cluster;
    cluster::TargetWords target;
    std::string backup;     // its label; empty: the newest that reaches the target
    std::string into;       // a directory on the member's host; empty: it is only planned
    std::string member;     // who does it; empty: a replica that can, else the leader
    bool in_place = false;  // replaces the cluster's own data
    bool force = false;     // without asking
    bool dry_run = false, no_wait = false;
    bool status = false, cancel = false;  // of one that goes on
    std::string format = "pretty";        // or json
};

Outcome restore(Context& context, const RestoreCommand& command);

}  // namespace relevo::ctl
