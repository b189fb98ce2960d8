// The backup repository of the cluster, and the program that fills it. Real: pgbackrest/. One
// thread; nothing here blocks it, and nothing that keeps a lease, fences or elects ever waits for a
// call of this port: a repository may hang for minutes.
//
// Whoever has the cluster's permission may make, expire or verify backups (one job at a time in the
// whole cluster is the caller's to see to). What only reads may be asked by every member at any
// time.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "cluster/backup.h"
#include "ports/backup_config.h"
#include "ports/pooler.h"
#include "ports/task.h"

namespace relevo::ports {

class Backup {
public:
    virtual ~Backup() = default;

    // Whether the configuration has a `backup` section now. When not, all below is `invalid`.
    virtual bool configured() const = 0;
    virtual BackupConfig config() const = 0;  // as it is in force

    // The configuration may have changed: renders the file (0600) that pgBackRest and PostgreSQL's
    // archive_command use. Cheap when nothing did; does not look into the repository.
    virtual Task<Status> apply() = 0;
    // Whether this member's recovery may wait for the repository to get WAL (its restore_command).
    // Only for a standby that cannot stream what it lacks, under a leader: where somebody may have
    // to be promoted, a repository that hangs would hold him up.
    virtual Task<Status> let_fetch(bool on) = 0;

    // What is in the repository. conflict: the repository belongs to another cluster (system id).
    // denied: key, certificate or passphrase. unavailable: it did not answer within the deadline.
    virtual Task<Result<cluster::Repository>> info(Duration deadline) = 0;

    // Makes the stanza; nothing happens when it is there. Only on a primary. conflict: there is one
    // of another system identifier.
    virtual Task<Status> create_stanza(Duration deadline) = 0;
    // Whether archiving works from end to end: a segment is switched and waited for. Only on a
    // primary.
    virtual Task<Status> check(Duration deadline) = 0;

    // The segments that the archive has, of the database that its id names ("15-1", as info() tells
    // it), and how large this member's are.
    struct Archived {
        std::vector<std::string> segments;
        std::uint64_t segment_bytes = 0;
    };
    virtual Task<Result<Archived>> archived(std::string archive_id, Duration deadline) = 0;
    // Archives every complete segment of earlier timelines that this member's pg_wal still has:
    // what the last primary streamed and did not archive is missing in the repository. What is
    // there already is compared; conflict: with something else in it. How many were looked at.
    virtual Task<Result<int>> fill_archive(cluster::Timeline current) = 0;

    // A backup is cut short by a failover, and never by a deadline of ours: it ends, or end_job()
    // ends it.
    struct Plan {
        cluster::BackupType type = cluster::BackupType::full;
        // Absent: this member is the primary. Else it is a standby, and that is the primary.
        std::optional<Endpoint> primary;
        // A part is done; on the loop, a few times a second at most. May be empty.
        std::function<void(const cluster::BackupProgress&)> progress;
    };
    // Why this member, as a standby, cannot make backups (the primary's host cannot be reached by
    // pgBackRest: BackupConfig::primary_host); empty: it can.
    virtual std::string why_not_from_standby() const = 0;
    // The new backup's label. pgBackRest resumes by itself what an interrupted full or differential
    // backup left, where it can use it. It does not expire: expire() does, so that nothing is
    // removed while somebody else makes a backup. cancelled: by end_job().
    virtual Task<Result<std::string>> run(Plan plan) = 0;
    // Removes what retention no longer wants. The lines that say what was (dry run: would be)
    // removed.
    virtual Task<Result<std::vector<std::string>>> expire(bool dry_run) = 0;
    // Reads all of the repository and compares its checksums. Its report, as pgBackRest words it;
    // failed: with what is wrong.
    virtual Task<Result<std::string>> verify() = 0;
    // The job that runs here (run, expire, verify) is told to end: SIGTERM to pgBackRest and all it
    // started, SIGKILL after 2 s. It answers `cancelled`. Nothing happens when none runs.
    virtual void end_job() = 0;
    // For good: all that runs here ends as by end_job(), and calls to come answer `cancelled`.
    virtual void stop() = 0;
};

}  // namespace relevo::ports
