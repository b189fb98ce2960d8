// Files of PgBouncer's: the user's own, and its log. Everything here blocks: on the pool.
#pragma once

#include <string>

#include "base/result.h"
#include "pgbouncer/ini.h"

namespace relevo::pgbouncer {

// The user's file with what it includes; relative paths are beside it. An empty path: nothing.
Result<UserIni> read_user_ini(const std::string& path, int depth = 0);
// Whether the process that this log is of has an address for clients: without one PgBouncer only
// warns and goes on with its socket. Empty: it has; else why not.
std::string deaf(const std::string& log_path);
// What PgBouncer said last, for who must know why it did not come up.
std::string last_words(const std::string& log_path);

}  // namespace relevo::pgbouncer
