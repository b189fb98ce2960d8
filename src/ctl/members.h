// What is asked of single members: restart, reload, reinit, amcheck, and flush of what was
// scheduled or was found.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ctl/access.h"
#include "ctl/context.h"

namespace relevo::ctl {

struct MembersCommand {  // what they share
    std::string cluster;
    std::vector<std::string> members;
    RoleFilter role = RoleFilter::any;
    bool force = false;
};

struct RestartCommand : MembersCommand {
    bool any = false;      // one of them, at random
    bool pending = false;  // only those that need it
    std::optional<std::string> scheduled, pg_version, timeout;
};
Outcome restart(Context& context, const RestartCommand& command);

Outcome reload(Context& context, const MembersCommand& command);

struct ReinitCommand : MembersCommand {
    bool from_leader = false, wait = false;
};
Outcome reinit(Context& context, const ReinitCommand& command);

struct AmcheckCommand : MembersCommand {
    bool cancel = false;
};
Outcome amcheck(Context& context, const AmcheckCommand& command);

enum class FlushTarget { restart, switchover, corruption };
Outcome flush(Context& context, const MembersCommand& command, FlushTarget target);

}  // namespace relevo::ctl
