// Files of PgBouncer's: the user's own, and its log. Everything here blocks: on the pool.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"
#include "pgbouncer/ini.h"

namespace relevo::pgbouncer {

// The user's file with what it includes; relative paths are beside it. An empty path: nothing.
Result<UserIni> read_user_ini(const std::string& path, int depth = 0);
// Whether that process, whose log this is, has an address for clients: before 1.19 PgBouncer only
// warns without one, and goes on with its socket. Empty: it has; else why not.
std::string deaf(const std::string& log_path, pid_t pid);
// What it warned of last, for who must know why it did not come up. pid 0: whichever wrote there.
// Empty: of nothing.
std::string last_words(const std::string& log_path, pid_t pid);

}  // namespace relevo::pgbouncer
