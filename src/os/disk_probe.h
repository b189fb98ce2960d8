// Whether a disk takes writes: one page, written and synced. Blocks, for ever where the disk is
// dead: call it through os/aside.h.
#pragma once

#include <string>

#include "base/result.h"
#include "base/time.h"

namespace relevo::os {

struct DiskProbe {
    bool written = false;  // false: there is no room for it, or a quota forbids it; not synced then
    Duration took{};       // all of it
};

// Overwrites the first page (8 kB) of the file at `path` in place and makes it durable. A missing
// file is made (mode 0600) and stays: one that is made and removed each time would be traffic in
// the journal of the file system, and a page in place needs room and allocation only once. It is
// opened anew each time: so it is in nobody's way who unmounts or remounts.
//
// Errors, each with the operation: not_found (a directory of the path is missing); denied (we may
// not write this file, it is somebody else's, or its file system knows no sync); unavailable (no
// descriptor or no memory for it: our own trouble); failed for all else, which is the disk's or its
// file system's: EIO, EROFS, ENODEV and their kin.
Result<DiskProbe> probe_disk(const std::string& path);

}  // namespace relevo::os
