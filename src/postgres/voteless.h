// The marker that says "WAL that was acknowledged may have been thrown away here": made before a
// copy or a rewind changes anything, removed once this member has all of it again (restore_vote).
// It stands beside the data directory (<data_dir>.voteless), so that it outlives the directory's
// content and what is moved aside or copied over it. Blocking; durable when they return.
#pragma once

#include <string>

#include "base/result.h"

namespace relevo::postgres {

Status mark_voteless(const std::string& data_dir);
Status clear_voteless(const std::string& data_dir);
bool is_voteless(const std::string& data_dir);  // in doubt it is

}  // namespace relevo::postgres
