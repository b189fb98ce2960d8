// What `pgbackrest info --output=json` says. Pure; takes any bytes.
#pragma once

#include <string_view>

#include "base/result.h"
#include "cluster/backup.h"
#include "ports/backup.h"

namespace relevo::pgbackrest {

// Of that stanza. A repository without the stanza is an answer, not an error. invalid: this is not
// what pgBackRest writes; single values that are missing or odd are left at their defaults.
Result<cluster::Repository> parse_info(std::string_view json, std::string_view stanza);

// The segments and history files among what `repo-ls --recurse --output=json` of an archive lists,
// by their names alone. segment_bytes is left 0.
Result<ports::Backup::Archived> parse_archive(std::string_view json);

}  // namespace relevo::pgbackrest
