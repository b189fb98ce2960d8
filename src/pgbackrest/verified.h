// What `pgbackrest verify` says of a repository. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace relevo::pgbackrest {

struct Verified {
    bool ok = false;
    std::vector<std::string> damaged;        // each names a file: "file missing '...'"
    std::uint64_t files = 0, wal_files = 0;  // that were looked at
};
// It ends well also where it found damage: what it says counts. Which files are damaged stands in
// its log (--log-level-console=info), how many there were in its report (--output=text --verbose).
Verified verified(std::string_view output);

// One sentence. The first few of the damaged files are named.
std::string describe(const Verified& found);

}  // namespace relevo::pgbackrest
