#pragma once

namespace relevo::agent {
// What members say in the DCS and the API, so that Patroni's agents and tools treat us as one of
// theirs (contract 4.9); our own version stands beside it.
inline constexpr const char* compatible_version = "4.1.4";
inline constexpr const char* product_version = "0.1.0";
}  // namespace relevo::agent
