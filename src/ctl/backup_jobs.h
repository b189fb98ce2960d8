// Backups that are made: asked for, waited for, scheduled; and what retention would remove.
#pragma once

#include <string>

#include "ctl/context.h"

namespace relevo::ctl {

struct BackupCommand {
    std::string cluster;
    std::string format = "pretty";  // or json
};

struct BackupRunCommand : BackupCommand {
    std::string type = "full";  // full, diff, incr
    bool wait = false;
};
Outcome backup_run(Context& context, const BackupRunCommand& command);
// `verify` is a job like a backup: type is "verify".

struct BackupProveCommand : BackupCommand {
    bool wait = false, cancel = false;
};
Outcome backup_prove(Context& context, const BackupProveCommand& command);
// What came of the proofs of restore, newest first.
Outcome backup_proofs(Context& context, const BackupCommand& command);

Outcome backup_schedule(Context& context, const BackupCommand& command);

struct BackupExpireCommand : BackupCommand {
    bool dry_run = false;
};
Outcome backup_expire(Context& context, const BackupExpireCommand& command);

}  // namespace relevo::ctl
