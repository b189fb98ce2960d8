// The marker that says "what stands here is not finished": made before bootstrap, clone and rewind
// touch a data directory, removed after they succeeded. It stands beside the directory
// (<data_dir>.half_made), since pg_basebackup and initdb want theirs empty; what a copy sets aside
// takes its own along. Blocking; durable when they return.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"

namespace relevo::postgres {

inline constexpr const char* by_bootstrap = "bootstrap";

std::string half_made_marker(const std::string& data_dir);
Status mark_half_made(const std::string& data_dir,
                      const std::string& by);  // "clone", "rewind", "bootstrap"
Status clear_half_made(const std::string& data_dir);
// An error: it cannot be read, and nothing may be removed or unmarked as if there were none.
Result<std::optional<std::string>> read_half_made(const std::string& data_dir);
// To tell of it: nullopt also when it cannot be read.
std::optional<std::string> half_made_by(const std::string& data_dir);

}  // namespace relevo::postgres
