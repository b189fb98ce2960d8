// What it takes to know that a server has taken a new synchronous_standby_names, and not only its
// file. A reload is a signal to the postmaster, which reads the files, signals its children one
// after the other, and tells nobody; each child reads the files when it comes to it. Who matters:
//  - a walsender decides, by its own reading, whether a standby's report lets commits go. That it
//    has read shows by its sending WAL from beyond the marker, which is written after the signals.
//  - the checkpointer keeps the flag by which a commit waits at all. Commits between an empty
//    value and the checkpointer's reading wait for nobody, and a checkpoint may keep it busy for
//    long. That it has read shows by a commit that is seen waiting.
#pragma once

#include <string>

#include "base/result.h"
#include "base/time.h"
#include "cluster/lsn.h"
#include "ports/task.h"

namespace relevo::postgres {

class Connection;

struct NamesSeen {  // by one session
    std::string value;
    bool in_recovery = true;
    std::string started;     // which postmaster it is
    std::string configured;  // what the files say; only when asked for
    std::string source;      // the file that says it; only when asked for
};
Task<Result<NamesSeen>> see_names(Connection& connection, bool with_files);

// A record that is flushed here, and the position after it. Waits for no standby.
Task<Result<cluster::Lsn>> write_marker(Connection& connection);

// Whether commits wait for standbys: `committing` commits something that waits, `watching` sees it
// and ends its wait. False: none was seen within the patience, as when the checkpointer has not
// come to it.
Task<Result<bool>> commits_wait(Connection& committing, Connection& watching, Duration patience);

// The same as well as a standby, which has nothing to commit, can tell: the checkpointer sleeps
// again, which it does not from the signal until it has read the files.
Task<Result<bool>> checkpointer_idle(Connection& connection, Duration patience);

// A walsender of a base backup has sent nothing and is none that could hang.
Task<Status> end_walsenders(Connection& connection, cluster::Lsn sent_below);

}  // namespace relevo::postgres
