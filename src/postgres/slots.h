// Replication slots brought to a plan (contract 7.13), in one statement to read and one to change
// them.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cluster/postgres_plan.h"
#include "cluster/postgres_state.h"
#include "ports/task.h"

namespace relevo::postgres {

class Connection;

struct SlotChange {
    enum class Kind { create, advance, drop, recreate } kind = Kind::create;
    std::string name;
    cluster::Lsn advance_to;
    bool logical = false;
    std::string database, plugin;
    std::string why;
    bool operator==(const SlotChange&) const = default;
};

// Pure. `primary`: a real primary (a slot whose xmin stays behind is only dropped there).
// `slots` as pg_replication_slots has them.
std::vector<SlotChange> plan_slots(const cluster::SlotPlan& plan,
                                   const std::vector<cluster::Slot>& slots, bool primary);

// Each change stands alone: one that fails is logged and tried again with the next call, the others
// are made. The error tells of the first that failed.
Task<Status> sync_slots(Connection& connection, const cluster::SlotPlan& plan);

}  // namespace relevo::postgres
