// The effective `postgresql` section (local over dynamic, contract 2.4, 3.2, 3.3), as the config
// room makes it and the postgres room uses it. Plain values.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cluster/recovery_target.h"

namespace relevo::ports {

// One account, with the libpq options that go with it.
struct Account {
    std::string username, password;
    // sslmode sslcert sslkey sslpassword sslrootcert sslcrl sslcrldir gssencmode channel_binding
    // sslnegotiation, as given
    std::map<std::string, std::string> options;
    bool operator==(const Account&) const = default;
};

// "--key=value" pairs (empty value: "--key"), in the order of the configuration.
using CommandOptions = std::vector<std::pair<std::string, std::string>>;

struct ReplicaMethod {  // `postgresql.<method>`
    std::string name, command;
    bool keep_data = false, no_params = false, no_leader = false;
    CommandOptions
        options;  // all other pairs (without no_params also no_leader, keep_data, as given)
    // Without a command: the newest backup of the section `backup` is restored. delta: over the old
    // data, of which only what differs is replaced, instead of beside it.
    bool from_repository = false, delta = false;
    bool operator==(const ReplicaMethod&) const = default;
};

struct BootstrapMethod {  // `bootstrap.<method>`
    std::string name, command;
    bool no_params = false, keep_existing_recovery_conf = false;
    std::map<std::string, std::string> recovery_conf;
    CommandOptions options;
    bool operator==(const BootstrapMethod&) const = default;
};

// `bootstrap.pgbackrest` without a command of its own: a new cluster out of a backup repository.
struct BootstrapOrigin {
    cluster::RecoveryTarget target;
    std::optional<std::string> backup;  // a label; absent: the newest that reaches the target
    std::string stanza;                 // it was made in; empty: the section `backup` says
    std::string config;  // pgBackRest's own file that tells the repository; empty: as above
    // The old cluster is gone for good: this one goes on archiving into its stanza.
    bool take_over_stanza = false;
    bool operator==(const BootstrapOrigin&) const = default;
};

struct Bootstrap {         // only what concerns PostgreSQL
    bool present = false;  // a member without a bootstrap section never initialises a cluster
    std::string method = "initdb";
    CommandOptions initdb;
    std::optional<BootstrapMethod> custom;
    std::optional<BootstrapOrigin> origin;  // method is pgbackrest, and there is no command
    std::vector<std::string> pg_hba;
    std::string post_bootstrap;
    bool operator==(const Bootstrap&) const = default;
};

template <class T>
struct ByRole {  // base, and what replaces (hba, ident) or overlays (parameters) it for a role
    T base;
    std::optional<T> primary, replica, standby_leader;
    bool operator==(const ByRole&) const = default;
};

struct PostgresConfig {
    std::string scope, name;       // cluster_name; application_name and slot name
    std::string listen_addresses;  // "0.0.0.0", "a,b"
    int port = 5432;
    std::string connect_host;  // connect_address
    int connect_port = 5432;
    std::string proxy_address;
    std::string data_dir, config_dir;  // config_dir: data_dir unless given
    std::string config_base_name = "postgresql";
    std::string bin_dir;                          // empty: PATH
    std::map<std::string, std::string> bin_name;  // pg_ctl, initdb, ... -> name
    std::string database = "postgres";
    std::string pgpass;
    Account superuser, replication;
    std::optional<Account> rewind;  // absent: superuser
    std::string krbsrvname;
    bool use_unix_socket = false, use_unix_socket_repl = false;
    // Effective parameters, all lower case, text values: the controlled ones (3.2) already checked
    // and defaulted, max_connections and friends included; not synchronous_standby_names in sync
    // mode.
    ByRole<std::map<std::string, std::string>> parameters;
    // synchronous_mode is on: the agent says what synchronous_standby_names is. Else what it said
    // before counts no longer.
    bool agent_owns_names = true;
    ByRole<std::vector<std::string>> pg_hba, pg_ident;  // empty: not managed
    std::string custom_conf;
    std::map<std::string, std::string> recovery_conf;
    // How a rewind gets WAL that this member lacks, where restore_command is not meant for that:
    // it answers only while a standby of the running cluster may wait for the repository. Empty: it
    // is.
    std::string fetch_command;
    // How long a shutdown whose checkpoint is on disk goes on waiting for the archiver. Absent: as
    // long as that takes. What it leaves is archived by whoever becomes the primary.
    std::optional<std::chrono::seconds> archiver_patience;
    std::map<std::string, std::string> callbacks;  // on_start, ... -> command
    std::vector<std::string> create_replica_methods{"basebackup"};
    CommandOptions basebackup;
    std::map<std::string, ReplicaMethod> replica_methods;
    std::chrono::seconds pg_ctl_timeout{60};
    bool use_pg_rewind = false;
    std::vector<std::string> rewind_options;  // extra pg_rewind arguments, forbidden ones gone
    bool remove_data_directory_on_rewind_failure = false;
    bool remove_data_directory_on_diverged_timelines = false;
    std::string pre_promote, before_stop;
    bool use_slots = true;
    Bootstrap bootstrap;
    bool operator==(const PostgresConfig&) const = default;
};

}  // namespace relevo::ports
