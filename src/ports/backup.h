// The backup repository of the cluster, and the program that fills it. Real: pgbackrest/. One
// thread; nothing here blocks it, and nothing that keeps a lease, fences or elects ever waits for a
// call of this port: a repository may hang for minutes.
//
// Whoever has the cluster's permission may make, expire or verify backups (one job at a time in the
// whole cluster is the caller's to see to). What only reads may be asked by every member at any
// time.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "cluster/backup.h"
#include "ports/pooler.h"
#include "ports/task.h"

namespace relevo::ports {

// The `backup` section of the local YAML as the config room makes it. docs/adr/0015-backups.md.
struct BackupConfig {
    enum class From { primary, prefer_standby, standby };
    // A value of pgBackRest's, or several where the option may be given more than once.
    using Values = std::vector<std::string>;
    using Options = std::map<std::string, Values>;

    bool present = false;                // without the section nothing of this exists
    std::string stanza;                  // the scope unless given
    std::string program = "pgbackrest";  // a path, or looked for in PATH
    std::string config;                  // the operator's own file: nothing is rendered then
    Options options;                     // pgBackRest's own, without dashes; secrets among them
    std::map<std::string, Options> command_options;  // "archive-push" -> what holds for it alone
    Options primary_host;  // how a standby reaches the primary's host: host-type, host-port, ...
    // Cron expressions, as given; empty: never.
    std::string full = "0 1 * * *", differential, incremental;
    From from = From::prefer_standby;
    std::chrono::seconds archive_timeout{60};
    bool operator==(const BackupConfig&) const = default;
};

class Backup {
public:
    virtual ~Backup() = default;

    // Whether the configuration has a `backup` section now. When not, all below is `invalid`.
    virtual bool configured() const = 0;
    virtual const BackupConfig& config() const = 0;  // as it is in force

    // The configuration may have changed: renders the file (0600) that pgBackRest and PostgreSQL's
    // archive_command use. Cheap when nothing did; does not look into the repository.
    virtual Task<Status> apply() = 0;

    // What is in the repository. conflict: the repository belongs to another cluster (system id).
    // denied: key, certificate or passphrase. unavailable: it did not answer within the deadline.
    virtual Task<Result<cluster::Repository>> info(Duration deadline) = 0;

    // Makes the stanza; nothing happens when it is there. Only on a primary. conflict: there is one
    // of another system identifier.
    virtual Task<Status> create_stanza(Duration deadline) = 0;
    // Whether archiving works from end to end: on a primary a segment is switched and waited for;
    // on a standby the repository is looked at only.
    virtual Task<Status> check(Duration deadline) = 0;

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
};

}  // namespace relevo::ports
