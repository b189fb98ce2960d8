// A repository as GET /backup shows it (docs/adr/0015-backups.md).
#pragma once

#include <optional>
#include <string>

#include "cluster/backup.h"

namespace relevo::cluster {

// Keys in English, sizes in bytes, times as Patroni writes them; what is not known is left out.
// With how far the archive is behind, where who is asked knows it, as of `now`.
std::string to_json(const Repository& repository,
                    const std::optional<ArchiveStatus>& archive = std::nullopt, WallTime now = {});

}  // namespace relevo::cluster
