// The parts of a member's JSON that /cluster and the status show too. For this room's .cpp files
// only (it includes nlohmann's header).
#pragma once

#include <map>
#include <string>

#include "cluster/json.h"
#include "cluster/member.h"

namespace relevo::cluster {

json::Ordered tags_json(const Tags& tags);
json::Ordered pending_restart_reason_json(
    const std::map<std::string, PendingRestartReason>& reasons);
json::Ordered scheduled_restart_json(const ScheduledRestart& restart, bool with_start_time);

}  // namespace relevo::cluster
