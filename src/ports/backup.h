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
#include "cluster/recovery_target.h"
#include "cluster/snapshot.h"
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
    // to be promoted, a repository that hangs would hold him up. `left`: where the leader's line
    // left its earlier timelines. The segment in which it left one is not fetched of the old
    // timeline (a former primary may have archived what it alone wrote there); the next one has it
    // too. Absent: it may not.
    virtual Task<Status> let_fetch(std::optional<std::vector<cluster::HistoryLine>> left) = 0;

    // What is in the repository. conflict: the repository belongs to another cluster (system id).
    // denied: key, certificate or passphrase. unavailable: it did not answer within the deadline.
    virtual Task<Result<cluster::Repository>> info(Duration deadline) = 0;

    // Makes the stanza; nothing happens when it is there. Only on a primary. conflict: there is one
    // of another system identifier.
    virtual Task<Status> create_stanza(Duration deadline) = 0;
    // Whether archiving works from end to end: a segment is switched and waited for. Only on a
    // primary.
    virtual Task<Status> check(Duration deadline) = 0;

    // What the archive has of one database (as info() tells it), and how large this member's
    // segments are (0: it has no data directory).
    struct Archived {
        std::vector<std::string> segments;
        std::vector<WallTime> stored;  // when each of them was, by the repository's clock
        std::vector<cluster::Timeline> histories;  // timelines whose history file is there
        std::uint64_t segment_bytes = 0;
    };
    virtual Task<Result<Archived>> archived(cluster::ArchiveRange archive, Duration deadline) = 0;
    // The history file of that timeline: which others lead to it. not_found: it is not there.
    virtual Task<Result<std::vector<cluster::HistoryLine>>> history(cluster::ArchiveRange archive,
                                                                    cluster::Timeline timeline,
                                                                    Duration deadline) = 0;
    // Archives every complete segment of the timelines in the history that this member's pg_wal
    // still has: what the last primary streamed and did not archive is missing in the repository.
    // What is there already is compared; conflict: with something else in it. How many were looked
    // at.
    virtual Task<Result<int>> fill_archive(std::vector<cluster::HistoryLine> left) = 0;

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
    // Reads all of the repository and compares its checksums: what it read, in one sentence.
    // failed: the damaged files, named.
    virtual Task<Result<std::string>> verify() = 0;
    // The job that runs here (run, expire, verify) is told to end: SIGTERM to pgBackRest and all it
    // started, SIGKILL after 2 s. It answers `cancelled`. Nothing happens when none runs.
    virtual void end_job() = 0;

    // A restore only reads the repository: any member may at any time, beside the cluster's job,
    // and several beside each other, into directories of their own.
    struct RestorePlan {
        // An absolute path. Absent or empty, unless `delta`: then what is there and is not as in
        // the backup is replaced, and what the backup has not is removed. No server runs on it.
        std::string into;
        bool delta = false;
        // Its label. Absent: pgBackRest picks the newest that stopped before a time or an LSN, and
        // else the newest of all, which for a transaction is only right by luck.
        std::optional<std::string> backup;
        int repository = 0;  // repo1, repo2, ...; 0: the first that has it
        cluster::RecoveryTarget target;
        // Instead: the server becomes a standby, and takes from its leader what the archive has
        // not. The target's timeline counts, and nothing else of it.
        bool as_standby = false;
        // Where tablespaces go, each as a directory of its own name (OID); then nothing else is
        // written outside `into` either, links are restored as what they led to. Empty: where they
        // were when the backup was made, which on this host is perhaps another server's.
        std::string tablespaces;
        bool gentle = false;  // others on this host go first
        // A part is done; on the loop, a few times a second at most. May be empty.
        std::function<void(const cluster::BackupProgress&)> progress;
    };
    // What is in `into` afterwards starts by itself and recovers to the target: its restore_command
    // asks the repository, always (no gate), and a repository that does not answer is no end of
    // recovery. Like a backup without a deadline of ours. The caller marks the directory as half
    // made before, and sees to it that no server is started on one: after anything but success
    // what is there is of no use, but for a restore with `delta`.
    // not_found: the backup, or a file of it, is not in the repository. conflict: `into` is not
    // empty, a server runs on it, or somebody restores into it now. denied, unavailable: as info().
    // cancelled: by end_restore(), by stop(), or with the task that awaits it.
    virtual Task<Status> restore(RestorePlan plan) = 0;
    // The restore that goes on into that directory is told to end, as by end_job(). Nothing happens
    // when there is none.
    virtual void end_restore(const std::string& into) = 0;

    // For good: all that runs here ends as by end_job(), and calls to come answer `cancelled`.
    virtual void stop() = 0;
};

}  // namespace relevo::ports
