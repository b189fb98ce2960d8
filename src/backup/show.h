// The schedule and the job as GET /backup/schedule shows them. Pure: values in, JSON out.
#pragma once

#include <string>

#include "backup/proof.h"
#include "backup/schedule.h"

namespace relevo::backup {

struct Shown {
    std::string scope;
    Schedule schedule;
    std::string from;  // the configuration's word: primary, prefer-standby, standby
    std::optional<cluster::BackupJob> job;
    std::string waits;  // why a job that is wanted is not begun; empty: it is not known here
    WallTime now{};
};

// {"cluster": ..., "now": ..., "timezone": ..., "schedule": [{"type", "cron", "last", "next"}],
// "job": {as in the DCS, and "percent", "eta_s", "elapsed_s"}}
std::string schedule_json(const Shown& shown);

// {"cluster", "now", "schedule", "next", "proofs": [{as in the DCS, and "newest_age_s",
// "took_ms"}]}, the newest first. schedule and next: only where proofs are made by a schedule.
std::string proofs_json(const std::string& scope, const ProofPolicy& policy,
                        const cluster::Zone& zone, const std::vector<cluster::ProofRecord>& proofs,
                        WallTime now);

// How long a run that goes on as it did will take. nullopt: it is too early to say.
std::optional<std::chrono::seconds> left_to_run(const cluster::BackupJob& job, WallTime now);

}  // namespace relevo::backup
