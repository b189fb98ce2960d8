// What pgBackRest is started with. Pure. No secret ever stands in an argument: those are in the
// file that --config names.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "cluster/backup.h"
#include "cluster/snapshot.h"
#include "pgbackrest/settings.h"
#include "ports/backup.h"
#include "ports/pooler.h"

namespace relevo::pgbackrest {

using Arguments = std::vector<std::string>;

// It tries each file of the repository for io-timeout (60 s), and a failing command has several: so
// that it can say why before `deadline` ends it, it gets less where that is short.
Arguments with_patience(Arguments arguments, const Settings& settings, Duration deadline);

// console: the level of what it says on standard output; errors and warnings go to standard error.
Arguments arguments(const Settings& settings, const std::string& command,
                    const char* console = "off");

Arguments info_arguments(const Settings& settings);
Arguments expire_arguments(const Settings& settings, bool dry_run);
// The gate's lines: what restore_command does not ask the repository for, as basic regular
// expressions. segment_bytes 0: there is none yet, they are taken to be of the usual 16 MB.
std::string refused_files(const std::vector<cluster::HistoryLine>& left,
                          std::uint64_t segment_bytes);

// The segments among the names in pg_wal that lie wholly on an earlier timeline, before the point
// at which it was left, in their order. segment_bytes: as above.
std::vector<std::string> earlier_segments(const std::vector<std::string>& names,
                                          const std::vector<cluster::HistoryLine>& left,
                                          std::uint64_t segment_bytes);

// primary: absent on the primary itself.
Arguments backup_arguments(const Settings& settings, cluster::BackupType type,
                           const std::optional<ports::Endpoint>& primary);

Arguments list_archive_arguments(const Settings& settings, const cluster::ArchiveRange& archive);
Arguments history_arguments(const Settings& settings, const cluster::ArchiveRange& archive,
                            cluster::Timeline timeline);

// invalid: a path that is not absolute or has control characters, no backup's label.
Result<Arguments> restore_arguments(const Settings& settings,
                                    const ports::Backup::RestorePlan& plan);
// PostgreSQL's restore_command for a restored server: asks the repository for %f. Where that cannot
// be told whether it has the file it is asked again, and then recovery is ended by a fatal error
// instead of at what looks like the end of the archive.
std::string restore_command(const Settings& settings, const std::string& data_dir);

}  // namespace relevo::pgbackrest
