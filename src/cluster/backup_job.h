// The one job on the backup repository that the cluster has at a time, as the key `backup` in the
// DCS tells it: who asked for what, who runs it, how far it is, what came of it. Ours alone; the
// rules by which it is written are those of docs/adr/0016-backup-jobs.md. No secrets: `result` is a
// sentence that the log has too.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "cluster/member.h"
#include "cluster/tree.h"

namespace relevo::cluster {

enum class JobWhat { full, differential, incremental, expire, verify, proof };
const char* to_string(JobWhat what);
// It only reads: any member may do it, whoever leads.
bool reads_only(JobWhat what);
// "full backup", "verify", "proof of restore": as a sentence calls it.
std::string name_of(JobWhat what);
// pgBackRest's short words too: diff, incr.
std::optional<JobWhat> parse_job_what(std::string_view text);

enum class JobState { requested, running, done, failed };
const char* to_string(JobState state);

enum class JobAsker { schedule, operator_ };
const char* to_string(JobAsker asker);  // schedule, operator

struct JobProgress {
    std::uint64_t done_bytes = 0;
    std::uint64_t total_bytes = 0;  // 0: not known
    int percent_x100 = -1;          // of the bytes to be read; below 0: not known
    std::optional<WallTime> at;     // by the runner's clock
    bool operator==(const JobProgress&) const = default;
};

struct BackupJob {
    std::string id;  // never used twice in one cluster
    JobWhat what = JobWhat::full;
    JobState state = JobState::requested;
    JobAsker asker = JobAsker::schedule;
    WallTime requested{};
    std::optional<WallTime> due;  // the instant of the schedule that it is for
    // Who is to run it, or runs or ran it; empty: nobody is chosen yet.
    MemberName member;
    std::vector<MemberName> declined;  // were chosen, and cannot or did not begin

    // Of the run, once there is one. A run is one start of pgBackRest by one life of one agent.
    std::string run;
    Revision under = 0;  // create revision of the runner's member key when it began
    int ttl_s = 0;       // the runner ends it when it has not read this for half as long
    MemberName primary;  // who led when it began; the runner itself, or whom it copies for
    // Runs that were begun since one ended well, this one included. A proof that nobody could begin
    // counts as one.
    int attempts = 0;
    std::optional<WallTime> begun, ended;
    JobProgress progress;
    std::string stop;  // why its runner is to end it; empty: it is to go on

    // Of its end.
    bool interrupted = false;  // failed, and not by pgBackRest's verdict: by a failover, a restart
    std::string label;         // of the backup that was made
    std::string result;        // a sentence for people
    // The schedule's proof of restore that was last ended for a backup: it is not ended again for
    // anything but a full one. Carried on from job to job.
    std::optional<WallTime> made_way;

    Revision revision = 0;  // mod revision of the key, as read; not in the text

    bool active() const { return state == JobState::requested || state == JobState::running; }
    bool operator==(const BackupJob&) const = default;
};

std::string to_json(const BackupJob& job);  // compact, one line, at most a few KiB
Result<BackupJob> parse_backup_job(std::string_view text);

// A sentence that is fit for the key: printable, of bounded length.
std::string job_sentence(std::string_view text);

}  // namespace relevo::cluster
