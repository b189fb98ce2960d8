// A leader hands over, or another member takes the lead: the dialogue of contract 6.5.
#pragma once

#include <string>

#include "ctl/context.h"

namespace relevo::ctl {

struct SwitchoverCommand {
    bool failover = false;
    std::string cluster;
    std::string leader, candidate, scheduled;  // empty: asked for, or its default under force
    bool force = false;
};

Outcome switchover(Context& context, const SwitchoverCommand& command);

}  // namespace relevo::ctl
