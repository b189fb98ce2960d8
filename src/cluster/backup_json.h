// A repository as GET /backup shows it (docs/adr/0015-backups.md).
#pragma once

#include <string>

#include "cluster/backup.h"

namespace relevo::cluster {

// Keys in English, sizes in bytes, times as Patroni writes them; what is not known is left out.
std::string to_json(const Repository& repository);

}  // namespace relevo::cluster
