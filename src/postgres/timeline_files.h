// PostgreSQL begins, at a promotion, the first timeline above its own that has no history file.
// Where the number was given by the DCS, the ones between are kept free by placeholders: files
// without a line, which recovery takes for timelines that are no children of its own
// (docs/adr/0005).
#pragma once

#include <string>

#include "base/result.h"
#include "cluster/lsn.h"

namespace relevo::postgres {

// Blocks. Afterwards a promotion of a server on timeline `from` begins `to`. conflict: there is a
// history file of `to` already, so it would begin a later one; nothing was written then. invalid:
// `to` is absurdly far away. The placeholders stay when the promotion succeeds: a standby that
// follows asks for every history file between its timeline and ours.
Status keep_timelines_free(const std::string& data_dir, cluster::Timeline from,
                           cluster::Timeline to);

// Blocks. Before a start, and after a promotion that came to nothing: removes the placeholders
// above the newest real history file. A server that starts takes the newest file for where to go,
// finds that it is not there, and would not even replay what it has.
Status remove_idle_placeholders(const std::string& data_dir);

}  // namespace relevo::postgres
