// Whether a listing of the repositories tells all that counts: a stanza may have several, and one
// that cannot be read lists nothing. Pure.
#pragma once

#include <string>

#include "cluster/backup.h"

namespace relevo::backup {

// Why it cannot be said which backups there are; empty: it can. Backups go to the first repository
// (pgBackRest's rule, without an option `repo`): another one that cannot be read holds up none as
// long as the first one has a full backup.
std::string why_unknown(const cluster::Repository& repository);

// A sentence that says that there is no backup, and which repository may have one all the same.
std::string or_unread(std::string sentence, const cluster::Repository& repository);

}  // namespace relevo::backup
