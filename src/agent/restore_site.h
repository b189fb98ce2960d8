// The directory that something is restored into: judged before, marked while it is half made,
// finished or cleared away afterwards. Everything here blocks.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace relevo::agent {

struct RestoreSite {
    std::string into;         // as it was asked for, without what says nothing (a/./b/ -> a/b)
    std::string tablespaces;  // beside it
};
// conflict: it is, holds or lies in a data directory (data_dir is this member's), or is not empty.
// not_found: the directory above is missing; failed: there is not enough room. Nothing was changed.
// A directory that an unfinished restore of ours left counts as empty.
Result<RestoreSite> judge_site(const std::string& into, const std::string& data_dir,
                               std::uint64_t needed_bytes);

// From here on what stands there is half made, whatever becomes of us; empties what is left of an
// earlier one.
Status begin_site(const RestoreSite& site);
// It stands alone (backup/stand_alone.h), and is whole.
Status finish_site(const RestoreSite& site);
// What was made of it is removed, then the mark.
Status clear_site(const RestoreSite& site);

}  // namespace relevo::agent
