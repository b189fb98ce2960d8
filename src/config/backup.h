// What the section `backup` makes of PostgreSQL's configuration: archive_command and
// restore_command (docs/adr/0015-backups.md).
#pragma once

#include <string>
#include <vector>

#include "config/local.h"
#include "ports/backup_config.h"
#include "ports/postgres_config.h"

namespace relevo::config {

// Beside the data directory, which may be thrown away: /srv/data.pgbackrest. Ours alone.
std::string backup_directory(const LocalConfig& local);
// The file that pgBackRest reads: the operator's own, or ours in the directory.
std::string backup_file(const LocalConfig& local);
// A standby's PostgreSQL fetches WAL from the repository only while this file is there, and no file
// that a line of it matches: at all other times its restore_command says within milliseconds that
// there is none.
std::string backup_gate(const LocalConfig& local);

// Into the effective configuration, except where the operator has set the same himself; what of
// his keeps backups from working is a note.
void archive_with(const LocalConfig& local, ports::PostgresConfig& out,
                  std::vector<std::string>& notes);

}  // namespace relevo::config
