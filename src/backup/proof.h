// When a proof of restore is due, and on whose host it is made (docs/adr/0016-backup-jobs.md).
// Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "backup/choose.h"
#include "backup/schedule.h"
#include "cluster/backup_proof.h"

namespace relevo::backup {

struct ProofPolicy {
    std::optional<cluster::Cron> when;  // absent: only when somebody asks
    MemberName on;                      // empty: on a standby's host
    bool on_only_member = false;        // where there is no other: beside the primary too
};

// Its schedule's instant that is later than the last proof's. Where none was ever made one is due
// at once; what failed is due again after an hour, two, ... a day: why it did may have gone.
std::optional<WallTime> proof_due(const ProofPolicy& policy, const cluster::Zone& zone,
                                  const std::vector<cluster::ProofRecord>& proofs, WallTime now);
// When that can change by the calendar alone.
std::optional<WallTime> next_proof(const ProofPolicy& policy, const cluster::Zone& zone,
                                   const std::vector<cluster::ProofRecord>& proofs, WallTime now);

// Never who leads, but for the only member of a cluster whose configuration says so.
bool may_prove(const Look& look, const ProofPolicy& policy, const MemberName& member);
Choice choose_for_proof(const Look& look, const ProofPolicy& policy, const cluster::BackupJob& job);

// The widest backup of which an instant has come since then.
std::optional<cluster::JobWhat> fell_due(const Schedule& schedule, WallTime since, WallTime now);

}  // namespace relevo::backup
