// A data directory as a whole, with what lies outside it behind symbolic links (pg_wal,
// tablespaces): moved aside, put back, emptied, removed, measured. Blocking: call in the thread
// pool. A data directory that is itself a link is followed, so that nothing ends up on another
// disk.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace relevo::postgres {

// Something is in it besides "lost+found". A missing directory is empty. An error: it cannot be
// told, and nothing may be removed for what it has.
Result<bool> holds_content(const std::string& data_dir);
// What cannot be read may hold anything.
bool has_content(const std::string& data_dir);

// Old path -> new path of everything that was renamed, the data directory last.
using Moved = std::vector<std::pair<std::string, std::string>>;

// What stands under the new names: removed first, or (conflict) kept.
enum class Older { removed, kept };

// Renames <data_dir> to <data_dir><suffix> and the links' targets likewise. Afterwards data_dir
// does not exist. On an error all is as before. Each rename here and below is on the disk when it
// is done.
Result<Moved> move_aside(const std::string& data_dir, const std::string& suffix,
                         Older older = Older::removed);
// Where it really is: what a link as data_dir leads to.
std::string real_data_dir(const std::string& data_dir);
// Where something stands where a link's target is to go back to: conflict, or that one stays away.
enum class Taken { refused, left };
// Targets of its links that were renamed with this suffix before whoever did it died, back.
Status put_links_back(const std::string& data_dir, const std::string& suffix,
                      Taken taken = Taken::refused);
// What an earlier process moved aside with this suffix; empty when there is nothing.
Result<Moved> moved_earlier(const std::string& data_dir, const std::string& suffix);
// The other way, over whatever stands there now (which is removed). Broken off, it can be done
// again with what moved_earlier() says then. What is not under its new name is left as it is: a
// target inside the data directory comes back with that, and then by put_links_back().
Status put_back(const Moved& moved);
Status remove_moved(const Moved& moved);

// Empties it (and the links' targets); the directories themselves stay, with their owner and mode.
Status wipe(const std::string& data_dir);
// The same without the links' targets.
Status wipe_itself(const std::string& data_dir);
// Makes it when it is missing, 0700.
Status ensure_directory(const std::string& data_dir);

// All that was written below it is on disk afterwards (syncfs, as PostgreSQL 17's
// --sync-method=syncfs): one call instead of an fsync for each of a thousand small files.
Status sync_content(const std::string& data_dir);

// Bytes in regular files, the links' targets included.
std::uint64_t directory_size(const std::string& data_dir);
// The same for the directory itself and each of its links' targets.
std::vector<std::pair<std::string, std::uint64_t>> directory_sizes(const std::string& data_dir);

}  // namespace relevo::postgres
