// A finding as the mark keeps it and GET /patroni shows it. For this room alone.
#pragma once

#include <vector>

#include "cluster/corruption.h"
#include "cluster/json.h"

namespace relevo::cluster {

// [{"what", "where", "count", "first", "last"}]
json::Ordered findings_json(const std::vector<CorruptionFinding>& list);

}  // namespace relevo::cluster
