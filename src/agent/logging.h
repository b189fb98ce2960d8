// Where the agent's lines go: stderr or a rotated file, plain or JSON, with Patroni's `log` options
// (contract 2.1). May be called again at a reload.
#pragma once

#include "base/result.h"
#include "base/time.h"
#include "config/local.h"

namespace relevo::agent {
Status set_up_logging(const config::LogConfig& config);
// Lines are written by a thread of their own: until all are, or nobody takes them.
void drain_logging(Duration patience);
}  // namespace relevo::agent
