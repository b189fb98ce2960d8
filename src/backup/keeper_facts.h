// What the tests of the keeper (keeper.h) begin with: a cluster of three, its repository and jobs.
#pragma once

#include <string>
#include <string_view>

#include "backup/keeper.h"

namespace relevo::backup {

using cluster::BackupJob;
using cluster::JobAsker;
using cluster::JobState;
using cluster::JobWhat;
using std::chrono::minutes;
using std::chrono::seconds;

inline constexpr Instant start{std::chrono::hours(1)};
inline const WallTime noon = parse_iso("2026-05-14T12:00:00Z")->time;

// pg-0 leads, pg-1 and pg-2 stream from it.
inline Look three() {
    Look look;
    look.leader = "pg-0";
    look.term = 70;
    look.members["pg-0"] = {.created = 10, .standby = false, .synchronous = false, .lag = 0};
    look.members["pg-1"] = {.created = 11, .standby = true, .synchronous = true, .lag = 0};
    look.members["pg-2"] = {.created = 12, .standby = true, .synchronous = false, .lag = 500};
    return look;
}

inline Kept full_backup(std::string_view started) {
    return {std::string(started), cluster::BackupType::full, parse_iso(started)->time};
}

inline Facts facts_of(const MemberName& self) {
    Facts facts;
    facts.now = start;
    facts.wall = noon;
    facts.self = self;
    facts.leads = self == "pg-0";
    facts.term = 70;
    facts.policy.schedule.full = *cluster::Cron::parse("0 1 * * *");
    facts.policy.standbys_reach_primary = true;
    facts.look = three();
    facts.fresh_token = self + "/1";
    facts.listing = Listing{start, 0, {}, true, false};
    return facts;
}

inline BackupJob requested(const MemberName& member) {
    BackupJob job;
    job.id = "j1";
    job.requested = noon;
    job.member = member;
    return job;
}

inline void set_job(Facts& facts, BackupJob job, Revision revision = 100) {
    job.revision = revision;
    facts.look.job = std::move(job);
    facts.look.job_revision = revision;
    if (facts.listing) facts.listing->job_revision = revision;
}

inline BackupJob running(const MemberName& member, const std::string& run, Revision under) {
    auto job = requested(member);
    job.state = JobState::running;
    job.run = run;
    job.under = under;
    job.ttl_s = 30;
    job.primary = "pg-0";
    job.attempts = 1;
    job.begun = noon;
    return job;
}

// pg-2 runs it, and read the DCS just now.
struct Runner {
    Mind mind;
    Facts facts = facts_of("pg-2");
    Runner() {
        set_job(facts, running("pg-2", "pg-2/1", 12));
        mind.token = "pg-2/1";
        mind.begun = true;
        facts.run = Run{"pg-2/1", std::nullopt, {}};
        heard(mind, facts.look, "pg-2", start);
    }
    Decision decide() { return backup::decide(mind, facts); }
};

}  // namespace relevo::backup
