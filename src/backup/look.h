// The cluster as the backup job's rules see it: the job's key, the members and the leader, all at
// one revision of the DCS. Pure.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "cluster/backup_job.h"
#include "cluster/backup_proof.h"
#include "cluster/snapshot.h"

namespace relevo::backup {

using cluster::MemberName;
using cluster::Revision;

struct MemberSeen {
    Revision created =
        0;  // create revision of its key: another one, and its lease was lost between
    bool standby = false;  // a standby that streams, on the leader's timeline
    bool synchronous = false;
    std::uint64_t lag = 0;  // bytes behind the leader
    bool operator==(const MemberSeen&) const = default;
};

struct Look {
    std::optional<cluster::BackupJob> job;  // absent: there is none, or it cannot be read
    Revision job_revision = 0;              // mod revision of the key; 0: there is none
    bool unreadable = false;                // somebody wrote what this version does not understand
    std::vector<cluster::ProofRecord> proofs;  // oldest first; what cannot be read counts as none
    std::map<MemberName, MemberSeen> members;
    MemberName leader;  // empty: nobody leads
    Revision term = 0;

    // The member's key is not the one under which the run began, or is gone. Once true of a run,
    // true for ever: a revision does not come again.
    bool runner_gone() const;
};

// snapshot: of the same tree.
Look look_at(const cluster::KeyTree& tree, const cluster::Snapshot& snapshot);

}  // namespace relevo::backup
