// Showing that one knows a secret without telling it: for what only members may read, who share the
// replication account. Pure.
#pragma once

#include <string>
#include <string_view>

namespace relevo::net {

// The secret made costly to guess from what is proved with it, as SCRAM does: some milliseconds,
// so keep it. `purpose` and `of` keep it apart from every other key of that secret.
std::string proof_key(std::string_view secret, std::string_view purpose, std::string_view of);
// Of this message, in hexadecimal digits. Compare with equal_in_constant_time().
std::string proof_of(std::string_view key, std::string_view message);

}  // namespace relevo::net
