// Files, as the disk keeps them. Everything here blocks: call it in the thread pool
// (os/blocking.h). Errors: not_found, denied (with who we are), failed otherwise; each names the
// path.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace relevo::os {

// The whole content; invalid when it is longer than `limit` bytes.
Result<std::string> read_file(const std::string& path, std::size_t limit = 16 << 20);

// Atomic and durable: a temporary file beside it (same directory), fsync, rename, fsync of the
// directory. Whoever reads sees the old or the new content, also after a power loss. Owner and
// symbolic link at path are replaced.
Status write_file(const std::string& path, std::string_view content, mode_t mode);

// The same without waiting for a disk: for what is written anew before it is needed after a power
// loss.
Status replace_file(const std::string& path, std::string_view content, mode_t mode);

// Over what stands there in a file that exists, from that byte on. Durable; not atomic.
Status write_at(const std::string& path, std::uint64_t offset, std::string_view content);

// Adds to the file's end, and makes it when it is missing; its size then. Not durable: for what may
// lack its last lines after a power loss.
Result<std::uint64_t> append_file(const std::string& path, std::string_view content, mode_t mode);

// Ok when it is not there. Durable.
Status remove_file(const std::string& path);

// Durable rename within a file system; the target is replaced when it is a file.
Status rename_path(const std::string& from, const std::string& to);

// Makes what is missing of the path (mode for each new directory).
Status make_directory(const std::string& path, mode_t mode);

// The directory with all it holds. Symbolic links are removed, not followed. Ok when it is not
// there.
Status remove_tree(const std::string& path);

// Everything written so far to the file system that holds path: one call instead of an fsync for
// each of a data directory's thousand files. Errors of single files are only reported by Linux 5.8
// and later.
Status sync_file_system(const std::string& path);

// Makes the directory's entries durable.
Status sync_directory(const std::string& path);

enum class DirectoryState { absent, empty, filled, not_a_directory };
Result<DirectoryState> directory_state(const std::string& path);

// Names in it without . and .., sorted.
Result<std::vector<std::string>> list_directory(const std::string& path);

// Where a symbolic link points (made absolute); nothing when path is none.
std::optional<std::string> link_target(const std::string& path);

bool exists(const std::string& path);  // false also when it cannot be told

// Replaces the link at path by one to target, atomically.
Status replace_link(const std::string& path, const std::string& target);

// A new private directory or file; the caller removes it.
Result<std::string> make_temporary_directory(const std::string& prefix);

}  // namespace relevo::os
