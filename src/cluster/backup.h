// What a backup repository holds, as pgBackRest tells it, and the words for it. Plain values; who
// parses pgBackRest's answer is pgbackrest/info.h, who shows it rest/ and ctl/.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "cluster/lsn.h"

namespace relevo::cluster {

enum class BackupType { full, differential, incremental };

const char* to_string(BackupType type);  // full, differential, incremental
// Also pgBackRest's short words, diff and incr.
std::optional<BackupType> parse_backup_type(std::string_view text);

// A backup that is complete; what was interrupted is not listed.
struct BackupRecord {
    std::string label;  // 20260514-010000F_20260515-010000I
    BackupType type = BackupType::full;
    std::string prior;                 // the backup that it is made on; empty for a full one
    std::vector<std::string> needs;    // every backup that must stay for this one to be of use
    WallTime started, stopped;         // whole seconds, by the clock of the host that made it
    std::string wal_start, wal_stop;   // segments: without the WAL between them it is of no use
    Lsn lsn_start, lsn_stop;           // 0: the pgBackRest that made it did not say
    std::string system_id;             // of the database; empty: not said
    std::string postgres_version;      // "15"
    std::string pgbackrest_version;    // of the program that made it
    std::uint64_t database_bytes = 0;  // what it restores to
    std::uint64_t copied_bytes = 0;    // what had changed and was read for it
    std::uint64_t stored_bytes = 0;    // what it added to the repository
    std::optional<bool> page_errors;   // page checksums that did not hold; nothing: not looked at
    int repository = 1;                // repo1, repo2, ...

    Timeline timeline() const;  // on which it was made, out of wal_stop; 0: not known
};

// The WAL that a repository has of one database (of one system id and version). What lies between
// the two is not looked at here: this is not a proof that nothing is missing.
struct ArchiveRange {
    int repository = 1;
    std::string id;  // "15-1": version and number in the repository
    std::string system_id;
    std::string wal_min, wal_max;  // segments; empty: there are none
};

// How one repository is, in pgBackRest's words.
struct RepositoryStatus {
    int repository = 1;
    int code = 0;         // 0: ok; pgBackRest's numbers
    std::string message;  // "ok", "no valid backups", "missing stanza path", ...
    std::string cipher;   // "none", "aes-256-cbc"
};

// A backup that is running now, as far as pgBackRest can tell (its lock, on the host that asks).
struct BackupProgress {
    std::uint64_t done_bytes = 0;
    std::uint64_t total_bytes = 0;  // 0: not known
    std::optional<double> percent;  // of the bytes to be read, 0 to 100; nothing: not known yet
};

// What PostgreSQL's archiver has done, and what is left to do (pg_stat_archiver and pg_wal), at one
// moment on a primary.
struct ArchiverState {
    std::string last_archived;  // a file's name, not always a segment's; empty: nothing yet
    std::optional<WallTime> archived_at;
    std::string last_failed;  // empty: nothing yet
    std::optional<WallTime> failed_at;
    Lsn written;              // the end of all WAL
    std::uint64_t ended = 0;  // grows with each transaction with an xid that ends, and only then
    std::uint64_t segment_bytes = 0;
    int waiting = 0;                          // segments that are complete and not archived
    std::chrono::seconds archive_timeout{0};  // as it is in force; 0: none
};

// WAL that is missing in the archive behind the newest backup. What came after it can be restored
// only from a backup that is yet to be made.
struct ArchiveHole {
    std::string after;           // that backup's label
    std::string first, last;     // the first segment that is missing, and the last one
    std::uint64_t segments = 0;  // that are missing, perhaps in several holes
    // When the one before the first was stored, by the repository's clock; nothing: not known.
    std::optional<WallTime> since;
    bool operator==(const ArchiveHole&) const = default;
};

// How far the archive is behind its primary.
struct ArchiveStatus {
    // No transaction before it is missing in the repository: its age is what a loss of all members
    // would cost. Nothing: the repository has every transaction.
    std::optional<WallTime> missing_since;
    int waiting = 0;
    std::string last_archived;
    std::optional<WallTime> archived_at;
    std::string failing;  // the file that archive_command failed for last, if nothing went since
    // As much waits as may (backup.archive_queue_max): the oldest of it is dropped.
    bool queue_full = false;
    std::optional<ArchiveHole> hole;  // as the last look into the repository found it
    bool operator==(const ArchiveStatus&) const = default;
};

// When the newest backups in the repository ended.
struct BackupTimes {
    std::optional<WallTime> newest, newest_full;  // nothing: there is none
    bool operator==(const BackupTimes&) const = default;
};

// A replica that is being made, as far as it is.
struct CopyProgress {
    std::string method;  // basebackup, pgbackrest, or the operator's own
    std::uint64_t done_bytes = 0;
    std::uint64_t total_bytes = 0;  // 0: not known
    std::optional<double> percent;  // 0 to 100; nothing: not known
    bool operator==(const CopyProgress&) const = default;
};

struct Repository {
    std::string stanza;
    int code = 0;         // of the stanza over all its repositories; 0: ok
    std::string message;  // "ok", "no valid backups", ...
    std::vector<RepositoryStatus> repositories;
    std::vector<BackupRecord> backups;  // oldest first
    std::vector<ArchiveRange> archives;
    bool backup_running = false;  // on the host that asked
    std::optional<BackupProgress> progress;

    bool has_stanza() const;  // false: stanza-create has not been there
    BackupTimes times() const;
    // The newest backup; of that type or of one that holds more (a full one serves where a
    // differential was wanted).
    const BackupRecord* newest() const;
    const BackupRecord* newest_at_least(BackupType type) const;
};

}  // namespace relevo::cluster
