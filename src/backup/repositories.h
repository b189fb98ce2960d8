// What of a listing of the repositories counts, and whether it tells all that does: a stanza may
// have several, one that cannot be read lists nothing, and what was there before pg_upgrade stays
// listed. Pure.
#pragma once

#include <string>
#include <string_view>

#include "cluster/backup.h"

namespace relevo::backup {

// Why it cannot be said which backups there are; empty: it can. Backups go to the first repository
// (pgBackRest's rule, without an option `repo`): another one that cannot be read holds up none as
// long as the first one has a full backup.
std::string why_unknown(const cluster::Repository& repository);

// What is of another database system than that is of no use to this cluster, and left out; what
// does not say of which it is stays. Empty: all stays.
void leave_out_others(cluster::Repository& repository, std::string_view system_id);

// The WAL that goes with the backup: each repository, and each system in it, has its own.
bool is_of(const cluster::ArchiveRange& archive, const cluster::BackupRecord& backup);
const cluster::ArchiveRange* archive_of(
    const cluster::Repository& repository,
    const cluster::BackupRecord& backup);  // null: there is none

// A sentence that says that there is no backup, and which repository may have one all the same.
std::string or_unread(std::string sentence, const cluster::Repository& repository);

}  // namespace relevo::backup
