// What the health checks answer (contract 5.3, 5.4), from the View alone. Pure.
//
// Stricter than Patroni on purpose (docs/adr/0010): nobody is primary, leader or ready whose
// PostgreSQL is not known to run, and "lock valid" is judged at the moment of answering.
#pragma once

#include <string_view>
#include <vector>

#include "base/time.h"
#include "net/url.h"
#include "ports/control.h"

namespace relevo::rest {

using Query = std::vector<net::QueryItem>;

// 200 or 503 for GET, HEAD or OPTIONS on any path that has no endpoint of its own.
int health_code(std::string_view path, const Query& query, const ports::View& view, Instant now);
int liveness_code(const ports::View& view, Instant now);
int readiness_code(const Query& query, const ports::View& view, Instant now);

}  // namespace relevo::rest
