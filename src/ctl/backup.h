// `relevoctl backup`: what the cluster's repository holds, and whether WAL reaches it. Members are
// asked, who have the keys to the repository; the operator's machine has none.
#pragma once

#include <string>

#include "ctl/access.h"
#include "ctl/context.h"
#include "ctl/records.h"

namespace relevo::ctl {

struct BackupListCommand {
    std::string cluster;
    Format format = Format::pretty;
};
// From the first member that knows, the leader before all others.
Outcome backup_list(Context& context, const BackupListCommand& command);

// Every member checks its own way to the repository; the primary that a segment arrives there. An
// error when one of them cannot use it.
Outcome backup_check(Context& context, const std::string& cluster);

}  // namespace relevo::ctl
