// The gateway as it shows itself: /health, /status, /metrics. Pure.
#pragma once

#include <optional>
#include <string>

#include "gateway/router.h"

namespace relevo::gateway {

struct StatusInput {
    std::string name, version;
    const State& state;
    bool pooler_runs = false;
    std::optional<ports::PoolerStats> pooler;  // absent: it did not say
    Instant now{};
};

// Clients that connect now are served: the pooler runs, and writes are not held.
bool healthy(const StatusInput& input);
std::string status_json(const StatusInput& input);
std::string metrics_text(const StatusInput& input);

}  // namespace relevo::gateway
