// The files that make a server ours: <stem>.conf with its include, pg_hba.conf, pg_ident.conf,
// standby.signal, postgresql.auto.conf, the *.backup copies (contract 3.4). Every write is atomic
// and on disk before the call returns; a file whose content would not change is left alone.
//
// ConfigFiles is a plain value of the adapter's: one thread changes it, its const functions are
// blocking and belong in the thread pool (copy it there).
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cluster/member.h"
#include "ports/postgres_config.h"
#include "postgres/parameter_catalog.h"
#include "postgres/recovery_settings.h"

namespace relevo::postgres {

using Parameters = std::map<std::string, std::string>;

// While a custom bootstrap's server recovers and until post_bootstrap is done.
struct BootstrapOverrides {
    bool keep_recovery_files = false;  // neither recovery block nor signal files are touched
    Parameters recovery;               // recovery_conf of the method, written with recovery.signal
    bool trust_local_only = false;     // pg_hba: local socket and local address only
    bool hot_standby_off = false;
    // A restore in place: on which timeline it recovers, and which it begins then. 0: it is none.
    struct Begins {
        cluster::Timeline from = 0, to = 0;
    } begins;
    bool in_place() const { return begins.to != 0; }
};

struct FilesRequest {
    cluster::Role role = cluster::Role::replica;
    int version = 0;  // server_version_num, or PG_VERSION's major * 10000
    // Standby: what to follow. Absent: no recovery block, and with as_primary no signal file
    // either.
    std::optional<RecoverySettings> recovery;
    bool touch_signal_file =
        false;  // before a start: standby.signal there (standby) or gone (primary)
    bool server_running = false;  // then postgresql.auto.conf is left alone
    // max_connections and the like of pg_control: a standby must not start with less (3.5).
    std::map<std::string, int> control_minimums;
    // Agent's value in synchronous mode; absent: the configured one.
    std::optional<std::string> synchronous_standby_names;
    bool refuse_writes = false;  // default_transaction_read_only is on, whatever is configured
    // config_file of a server that was running before we came; its settings stay in force by
    // include.
    std::string adopted_config_file;
    BootstrapOverrides bootstrap;
};

struct FilesWritten {
    bool config = false, hba = false, ident = false, signal = false;
    std::string hba_file;             // the server's; known before a start (touch_signal_file)
    Parameters effective;             // as written, for the command line and comparisons
    std::vector<std::string> raised;  // names that control_minimums raised above the configuration
    std::vector<std::string> warnings;  // for the log, one sentence each
    bool any() const { return config || hba || ident; }
};

class ConfigFiles {
public:
    explicit ConfigFiles(ports::PostgresConfig config) : config_(std::move(config)) {}

    const ports::PostgresConfig& config() const { return config_; }

    // All effective GUCs for the request, by name; catalog may be null (then nothing is dropped).
    Parameters effective(const FilesRequest& request, const ParameterCatalog* catalog,
                         FilesWritten& notes) const;

    // Before a start (touch_signal_file) the server's own parser is asked too: a value that would
    // keep it from starting, in a file of ours, is dropped with a warning.
    Result<FilesWritten> write(const FilesRequest& request) const;

    std::string config_path() const;       // <config_dir>/<stem>.conf
    std::string base_config_path() const;  // <config_dir>/<stem>.base.conf
    std::string hba_path() const;
    std::string ident_path() const;

    Status back_up() const;      // after every successful start: copies to <data_dir>/<file>.backup
    Status restore() const;      // after a clone: whatever is missing comes from there
    Status restore_hba() const;  // after trust_local_only: what that took the place of
    Status append_hba(const std::vector<std::string>& lines) const;  // after initdb

private:
    ports::PostgresConfig config_;

    std::string main_text(const FilesRequest& request, const Parameters& parameters) const;
    std::string hba_text(const FilesRequest& request) const;
    void drop_refused(const FilesRequest& request, FilesWritten& done) const;
    Status ensure_base_config(const FilesRequest& request) const;
    Status write_hba(const FilesRequest& request, const Parameters& parameters,
                     FilesWritten& done) const;
};

// "-D", data dir, "--config-file=...", "--listen_addresses=..." ... in the contract's order (1.6);
// without the program's name. effective is FilesWritten::effective.
std::vector<std::string> postmaster_arguments(const ConfigFiles& files, const Parameters& effective,
                                              int version);

// bin_dir and bin_name applied: "postgres" -> "/usr/lib/postgresql/15/bin/postgres".
std::string program_path(const ports::PostgresConfig& config, const std::string& program);

// Blocking, durable. The data directory can only start as a standby from here on.
Status write_standby_signal(const std::string& data_dir);
Status remove_signal_files(const std::string& data_dir);  // standby.signal and recovery.signal

// 'it''s' as postgresql.conf wants it, with the quotes.
std::string quote_guc(std::string_view value);
// The names and values that a configuration text sets; the last one of a name wins, includes are
// not read.
Parameters parse_config_text(std::string_view text);

}  // namespace relevo::postgres
