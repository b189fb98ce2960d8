#pragma once

namespace relevo::agent {
// Our own; what Patroni's agents and tools take us for is cluster::compatible_version.
inline constexpr const char* product_version = "0.1.0";
}  // namespace relevo::agent
