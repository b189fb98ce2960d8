// Which keys exist, and which of them have no effect here. An operator who misspells a key should
// read it in the log, and one who relies on something that is missing too.
#include <fmt/format.h>

#include <set>
#include <string>

#include "config/sections.h"

namespace relevo::config {
namespace {

using Keys = std::set<std::string_view>;

const Keys top_keys = {
    "name", "scope", "namespace", "log", "restapi", "ctl", "etcd", "etcd3", "consul", "zookeeper",
    "exhibitor", "kubernetes", "raft", "citus", "bootstrap", "postgresql", "watchdog", "tags",
    "backup", "dns", "thread_pool_size", "thread_stack_size",
    // Patroni ignores them here; they belong in bootstrap.dcs and are often left here.
    "ttl", "loop_wait", "retry_timeout", "standby_cluster"};
const Keys log_keys = {"type",
                       "level",
                       "traceback_level",
                       "format",
                       "dateformat",
                       "static_fields",
                       "loggers",
                       "max_queue_size",
                       "dir",
                       "file_size",
                       "file_num",
                       "mode",
                       "deduplicate_heartbeat_logs"};
const Keys restapi_keys = {"listen",
                           "connect_address",
                           "authentication",
                           "certfile",
                           "keyfile",
                           "keyfile_password",
                           "cafile",
                           "ciphers",
                           "verify_client",
                           "allowlist",
                           "allowlist_include_members",
                           "http_extra_headers",
                           "https_extra_headers",
                           "request_queue_size",
                           "server_tokens",
                           "thread_pool_size"};
const Keys ctl_keys = {"authentication", "insecure", "cacert",
                       "certfile",       "keyfile",  "keyfile_password"};
const Keys etcd3_keys = {"host",        "hosts",         "url",        "proxy",
                         "srv",         "discovery_srv", "srv_domain", "srv_suffix",
                         "use_proxies", "protocol",      "port",       "username",
                         "password",    "cacert",        "cert",       "key"};
const Keys dns_keys = {"primary",     "replica", "ttl",    "addresses",
                       "maximum_lag", "zone",    "update", "responder"};
const Keys dns_update_keys = {"servers", "key_file"};
const Keys dns_responder_keys = {"listen"};
const Keys backup_keys = {
    "stanza", "program",         "config", "options",       "primary_host",     "schedule",
    "from",   "archive_timeout", "proof",  "archive_queue", "archive_queue_max"};
const Keys backup_proof_keys = {"schedule",   "on",       "on_only_member", "directory", "check",
                                "check_file", "database", "amcheck",        "timeout"};
const Keys backup_schedule_keys = {"full", "differential", "incremental", "timezone"};
const Keys watchdog_keys = {"mode", "device", "safety_margin", "driver"};
const Keys postgresql_keys = {"listen",
                              "connect_address",
                              "proxy_address",
                              "data_dir",
                              "config_dir",
                              "config_base_name",
                              "bin_dir",
                              "bin_name",
                              "database",
                              "pgpass",
                              "authentication",
                              "krbsrvname",
                              "use_unix_socket",
                              "use_unix_socket_repl",
                              "parameters",
                              "parameters_primary",
                              "parameters_replica",
                              "parameters_standby_leader",
                              "pg_hba",
                              "pg_hba_primary",
                              "pg_hba_replica",
                              "pg_hba_standby_leader",
                              "pg_ident",
                              "pg_ident_primary",
                              "pg_ident_replica",
                              "pg_ident_standby_leader",
                              "custom_conf",
                              "recovery_conf",
                              "callbacks",
                              "create_replica_methods",
                              "create_replica_method",
                              "basebackup",
                              "pg_ctl_timeout",
                              "use_pg_rewind",
                              "rewind",
                              "remove_data_directory_on_rewind_failure",
                              "remove_data_directory_on_diverged_timelines",
                              "pre_promote",
                              "before_stop",
                              "use_slots"};
const Keys authentication_keys = {"superuser", "replication", "rewind"};
const Keys callback_keys = {"on_start", "on_stop", "on_restart", "on_reload", "on_role_change"};

struct Section {
    const char* path;
    const Keys* keys;
};
const Section sections[] = {{"", &top_keys},
                            {"log", &log_keys},
                            {"restapi", &restapi_keys},
                            {"ctl", &ctl_keys},
                            {"etcd3", &etcd3_keys},
                            {"watchdog", &watchdog_keys},
                            {"dns", &dns_keys},
                            {"dns.update", &dns_update_keys},
                            {"dns.responder", &dns_responder_keys},
                            {"backup", &backup_keys},
                            {"backup.schedule", &backup_schedule_keys},
                            {"backup.proof", &backup_proof_keys},
                            {"postgresql", &postgresql_keys},
                            {"postgresql.authentication", &authentication_keys},
                            {"postgresql.callbacks", &callback_keys}};

// Accepted, without effect. Take a line out when what it names is built.
struct Without {
    const char* path;
    const char* why;
};
const Without without_effect[] = {
    {"thread_pool_size", "one thread serves; a pool of its own size does what blocks"},
    {"thread_stack_size", "one thread serves; a pool of its own size does what blocks"},
    {"restapi.thread_pool_size", "one thread serves all connections"},
    {"log.traceback_level", "there are no tracebacks"},
    {"bootstrap.users", "as in Patroni, no users are made; use post_bootstrap"},
    {"ttl", "only bootstrap.dcs and the dynamic configuration set it"},
    {"loop_wait", "only bootstrap.dcs and the dynamic configuration set it"},
    {"retry_timeout", "only bootstrap.dcs and the dynamic configuration set it"},
    {"standby_cluster", "only bootstrap.dcs and the dynamic configuration set it"},
};

}  // namespace

void name_the_rest(const Node& tree, LocalConfig& out) {
    for (const auto& [path, keys] : sections) {
        const Node* section = tree.at(path);
        if (section == nullptr) continue;
        for (const auto& [key, value] : section->fields) {
            if (keys->contains(key)) continue;
            const std::string_view at = path;
            // The section of a replica method may have any name.
            if (at == "postgresql" && value.is(Node::Kind::map) && value.find("command") != nullptr)
                continue;
            out.unknown.push_back(at.empty() ? key : fmt::format("{}.{}", at, key));
        }
    }
    for (const auto& [path, why] : without_effect)
        if (tree.at(path) != nullptr)
            out.not_implemented.push_back(fmt::format("{}: {}", path, why));
}

}  // namespace relevo::config
