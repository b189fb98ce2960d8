// The server that a proof of restore starts: how it is configured so that it can touch nothing of
// the cluster that its data came from, and what its programs say. Pure: texts in, texts out.
//
// Nothing of the cluster's own configuration is taken over, neither postgresql.conf nor what ALTER
// SYSTEM wrote: libraries would start workers (pg_cron's jobs would run twice), connections would
// lead to the primary, archiving into the repository. What recovery needs is in pg_control.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"
#include "cluster/lsn.h"

namespace relevo::backup {

// Out of pg_controldata.
struct ControlData {
    std::uint64_t segment_bytes = 16U << 20U;
    int max_connections = 100, max_worker_processes = 8, max_wal_senders = 10,
        max_prepared_transactions = 0, max_locks_per_transaction = 64;
};
// invalid: it has not one of these.
Result<ControlData> parse_control_data(std::string_view text);

// "15" -> 15, "9.6" -> 9: of a data directory's PG_VERSION. invalid: none, or before 12, whose
// recovery is configured in another way.
Result<int> parse_data_version(std::string_view text);

struct ProofServer {
    int version = 15;
    ControlData control;
    std::string data, socket_directory, hba_file, ident_file;  // absolute
};
inline constexpr int proof_port = 54329;  // names the socket; nothing listens on TCP

// The whole of its postgresql.conf.
std::string proof_config(const ProofServer& server);
// The whole of its postgresql.auto.conf: of what pgBackRest wrote there only how recovery gets WAL
// and where it ends. invalid: there is no restore_command.
Result<std::string> proof_recovery(std::string_view auto_conf);
// For the only socket that there is, in a directory of the agent's own user alone.
inline constexpr const char* proof_hba = "local all all trust\n";

// How far it got, as this asks (psql -At).
inline constexpr const char* recovered_query =
    "SELECT coalesce(pg_catalog.pg_last_wal_replay_lsn()::text, ''), "
    "coalesce(extract(epoch FROM pg_catalog.pg_last_xact_replay_timestamp())::text, ''), "
    "(SELECT count(*) FROM pg_catalog.pg_available_extensions WHERE name = 'amcheck')";
struct Recovered {
    cluster::Lsn end;                // 0: nothing was replayed
    std::optional<WallTime> newest;  // absent: no transaction was
    bool has_amcheck = false;
};
Result<Recovered> parse_recovered(std::string_view line);

// Follows the server's log as it comes, for what is waited for and for what to tell.
class ServerLog {
public:
    void read(std::string_view piece);
    bool ready() const { return ready_; }
    // The last thing that it complained of; empty: nothing.
    const std::string& complaint() const { return complaint_; }

private:
    void read_line(std::string_view line);
    std::string rest_, complaint_;
    bool ready_ = false;
    bool in_complaint_ = false;  // its DETAIL and HINT belong to it
};

// Whether the operator's check is content: its last row is one column that is true. Else why not.
Status judge_check(std::string_view output);

}  // namespace relevo::backup
