// The mark that says "this data is known to be damaged" (docs/adr/0022): it stands beside the data
// directory (<data_dir>.corruption), so that it outlives crashes, and goes when the directory is
// made anew. Blocking; durable when they return.
#pragma once

#include <string>

#include "base/result.h"
#include "cluster/corruption.h"

namespace relevo::postgres {

std::string corruption_marker(const std::string& data_dir);
// No mark: nothing is found. One that cannot be read is itself a finding.
cluster::Corruption read_corruption(const std::string& data_dir, WallTime now);
Status write_corruption(const std::string& data_dir, const cluster::Corruption& mark);
// What stands in the directory is new: all that was known of the old content means nothing.
Status clear_corruption(const std::string& data_dir);

}  // namespace relevo::postgres
