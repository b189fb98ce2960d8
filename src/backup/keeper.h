// The rules of the backup job (docs/adr/0016-backup-jobs.md): who asks for a backup, who runs it,
// when the runner must end it, when another may begin. Every member's agent asks the same function;
// what it may do follows from what it knows. Two things hold whatever is lost, late or restarted:
//
//  - never are two runs alive at once, and
//  - a job ends: it is done, or failed and made again.
//
// Pure: decide() is told the time and what is known, remembers a little in Mind, and says what to
// do. The shell is agent/backups.h; model_test.cpp runs many of them against each other.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "backup/choose.h"
#include "backup/look.h"
#include "backup/proof.h"
#include "backup/schedule.h"

namespace relevo::backup {

// How long a run goes on without a fresh sight of its record.
constexpr Duration patience(std::chrono::seconds ttl) { return Duration(ttl) / 2; }
// From being told to end until pgBackRest and all that it started are surely dead.
constexpr Duration dying = std::chrono::seconds(3);
// How long after a runner's member key was seen to be gone another run may begin.
constexpr Duration grave(std::chrono::seconds ttl) {
    return std::max(Duration(ttl), patience(ttl) + dying);
}

struct Policy {
    Schedule schedule;
    From from = From::prefer_standby;
    bool standbys_reach_primary = false;
    ProofPolicy proof;
    std::chrono::seconds ttl{30};
};

// What was found in the repository, and when the look at it began.
struct Listing {
    Instant at;
    Revision job_revision = 0;  // the newest sight of the job's key before it
    std::vector<Kept> backups;
    bool usable = false;  // there is a stanza, of this cluster
    // A backup holds pgBackRest's lock on this host, or what a proof of an earlier life started may
    // still be there.
    bool running_here = false;
};

// How a run of this agent ended.
struct Outcome {
    bool ok = false;
    bool interrupted = false;  // not by pgBackRest's verdict
    std::string label, text;
    std::optional<cluster::ProofRecord> proof{};  // the verdict of one
};

// pgBackRest as this agent started it. No outcome: it is alive.
struct Run {
    std::string token;
    std::optional<Outcome> outcome;
    cluster::JobProgress progress;
};

// WAL is missing in the archive behind that backup, and only a full one makes that good.
struct HoleBehind {
    std::string backup;  // its label
    Instant found{};
    bool operator==(const HoleBehind&) const = default;
};

// All that is known at one moment.
struct Facts {
    Instant now{};
    WallTime wall{};
    MemberName self;
    bool leads = false;   // its lease is in force now
    Revision term = 0;    // under which
    bool paused = false;  // maintenance mode: nothing is begun by itself
    bool stopping = false;
    Policy policy;
    Look look;  // the newest
    std::optional<Run> run;
    std::optional<Listing> listing;  // the newest
    std::optional<HoleBehind> hole;  // that is to be closed by a full backup, whatever the calendar
    std::string fresh_token;         // that was never used before, by anybody
};

// What an agent remembers beside it. A new one is right after a restart.
struct Mind {
    std::string token;             // of the run it wrote into the key last
    bool begun = false;            // and it was started
    std::optional<Instant> heard;  // when the last read began that showed this run in force
    struct Since {
        std::string what;
        Instant at{};
    };
    std::optional<Since> gone;    // that run's runner
    std::optional<Since> failed;  // that job
    std::optional<Since> chosen;  // that job's member, and not begun
    std::optional<Since> shown;   // that run's progress was written
};

// A read that began then showed this. What the watch tells is never counted: it may be late.
void heard(Mind& mind, const Look& look, const MemberName& self, Instant began);

struct Decision {
    struct Write {
        cluster::BackupJob job;
        Revision known = 0;            // of the key as it must still be
        std::optional<Revision> term;  // of the leader that writes
        // Added to the proofs in the same moment, or nothing is written.
        std::optional<cluster::ProofRecord> proof{};
    };
    struct Begin {
        std::string token, id;
        cluster::JobWhat what = cluster::JobWhat::full;
        bool from_standby = false;
        MemberName primary;
        std::optional<WallTime> due;
    };
    std::optional<Write> write;
    std::optional<Begin> begin;
    std::optional<std::string> end;  // the run, at once, and why
    bool forget_run = false;         // its outcome is in the key, or nobody waits for it
    bool list = false;               // look into the repository
    bool read = false;               // read the DCS often: a run depends on it
    std::string waits;               // why a job that is wanted is not begun; for people
    std::optional<Instant> wake_at;  // look again then, at the latest
};
Decision decide(Mind& mind, const Facts& facts);

// What an operator's request writes; an error (conflict): a job is active, the key cannot be read,
// or nobody can make the proof that is asked for.
Result<cluster::BackupJob> request(const Look& look, cluster::JobWhat what,
                                   const ProofPolicy& proofs, WallTime wall);

// What ends the proof that is asked for, goes on, or is to be made again; an error (not_found):
// none is.
Result<cluster::BackupJob> cancel_proof(const Look& look, WallTime wall);

// How long a job that failed so often is not made again.
Duration backoff(const cluster::BackupJob& failed);

}  // namespace relevo::backup
