// The old, damaged data directory of a replica that is made anew by itself (docs/adr/0022). It may
// have the only good copy of a page that is damaged elsewhere, so it is kept beside the new one,
// under a name that nothing here removes: <data_dir>.damaged-<when> (and the targets of its links
// likewise). A mark beside the data directory (<data_dir>.rebuild) holds that name while the copy
// goes on, so that whoever comes after a crash puts the old data back, or keeps it, and never takes
// it for what a copy only had to make room for. Blocking; durable when they return.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cluster/disk.h"

namespace relevo::postgres {

Status begin_keeping(const std::string& data_dir, const std::string& suffix);
// What a copy that goes on keeps the old data as, behind its name; empty: nothing is kept. An
// error: the mark cannot be read, and nothing may be removed.
Result<std::string> keeping(const std::string& data_dir);
// The copy is complete, and the old data stays where it is, as <data_dir><suffix>: what is known of
// its damage goes with it.
Status kept_for_good(const std::string& data_dir, const std::string& suffix);
// The old data is back in its place, with what is known of its damage, or was never moved.
Status end_keeping(const std::string& data_dir, const std::string& suffix);

// The directories that are kept from earlier.
std::vector<std::string> kept_damaged(const std::string& data_dir);
// ok: nothing is kept from earlier, and each file system that has some of this data has room for as
// much again, without coming to where writes are held. conflict, failed: why not.
Status check_room_for_two(const std::string& data_dir, const cluster::DiskSettings& settings);

}  // namespace relevo::postgres
