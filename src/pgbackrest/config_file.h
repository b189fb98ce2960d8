// pgBackRest's configuration file, and the password file beside it. Pure.
#pragma once

#include <string>

#include "pgbackrest/settings.h"

namespace relevo::pgbackrest {

// The operator's options, our defaults where he gave none, and what is ours: where the server is.
// With secrets: for a file of mode 0600, and nowhere else.
std::string render(const Settings& settings);

// libpq's password file for pgBackRest's connection to this member's server; empty: none is needed.
std::string pgpass(const Settings& settings);

}  // namespace relevo::pgbackrest
