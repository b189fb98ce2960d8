// The `backup` section of the local YAML (docs/adr/0015-backups.md), as the config room makes it
// and the pgbackrest room and the agent use it. Plain values.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace relevo::ports {

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
    Options primary_host;  // how a standby reaches the primary's host: host-type, path, ...
    // Cron expressions, as given; empty: never.
    std::string full = "0 1 * * *", differential, incremental;
    std::string timezone = "UTC";  // that they are meant in, an IANA name
    From from = From::prefer_standby;
    std::chrono::seconds archive_timeout{60};
    // What becomes of WAL that waits for a repository that is away: it stays until the disk is full
    // (docs/adr/0018), or, once so much waits, the oldest of it is dropped: a hole in the archive,
    // which a full backup closes that is made by itself.
    enum class Queue { keep, drop };
    Queue archive_queue = Queue::keep;
    std::uint64_t archive_queue_max_bytes = 0;  // with drop alone
    // Proving that backups restore. By its schedule only with a section of its own: a restore of
    // everything needs room and traffic of which only the operator knows.
    struct Proof {
        std::string schedule;         // a cron expression; empty: only when somebody asks
        std::string on;               // a member's name; empty: a standby's host
        bool on_only_member = false;  // where there is no other, beside the primary
        std::string directory;        // to restore in a directory below it; empty: beside the data
        std::string check, check_file;      // SQL of the operator's whose last row must be true
        std::string database = "postgres";  // that it is run in
        bool amcheck = true;
        std::chrono::seconds timeout{43'200};  // for all of one proof
        bool operator==(const Proof&) const = default;
    } proof;
    bool operator==(const BackupConfig&) const = default;
};

}  // namespace relevo::ports
