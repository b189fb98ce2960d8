// How much room a file system has, and a file that keeps some. Everything here blocks, for ever
// where the disk is dead: call it through os/aside.h.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace relevo::os {

struct DiskSpace {
    std::uint64_t device = 0;  // equal: the same file system
    std::uint64_t total = 0;   // bytes
    std::uint64_t free = 0;    // bytes that a user without privileges may still use
};

// Of the file system that holds path, through symbolic links; of the nearest directory above it
// where path does not exist yet.
Result<DiskSpace> disk_space(const std::string& path);

// The file has this many bytes on disk afterwards, allocated and not only promised. When that does
// not fit, it is removed again.
Status reserve_file(const std::string& path, std::uint64_t bytes);
// What it has allocated; 0 when it is not there.
std::uint64_t reserved_bytes(const std::string& path);

// A directory through its symbolic links; empty when it is none.
std::string real_path(const std::string& path);

}  // namespace relevo::os
