// The local configuration: Patroni's YAML (a file, a directory of files, or PATRONI_CONFIGURATION)
// with the PATRONI_* environment over it (contract 1.7, 1.8, 2), typed, defaults filled in.
//
// load() never throws and never half-succeeds: an Error's message has one line for each problem,
// with the file, the dotted key path, what was found and what was expected. No secret stands in it.
// What is accepted but without effect here is named in not_implemented, unknown keys in unknown,
// oddities in warnings: the daemon logs each once.
//
// `${NAME}` in values comes from the environment (config/yaml.h says when and why).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "cluster/member.h"
#include "config/address.h"
#include "config/problem.h"
#include "config/yaml.h"
#include "ports/backup_config.h"
#include "ports/postgres_config.h"

namespace relevo::config {

// The name that Patroni puts into the sync key for "nobody"; no member may have it.
inline constexpr std::string_view reserved_name = "__patroni_strict_sync_replica_placeholder__";

struct LogConfig {
    std::string type = "plain";  // plain, json
    log::Level level = log::Level::info;
    bool tracebacks_only_at_debug = false;
    std::string format = "%(asctime)s %(levelname)s: %(message)s";
    std::vector<std::pair<std::string, std::string>>
        json_fields;  // log record's field -> name shown
    std::string dateformat;
    std::map<std::string, std::string> static_fields;
    std::map<std::string, log::Level> loggers;
    int max_queue_size = 1000;
    std::string dir;  // empty: stderr
    std::int64_t file_size_bytes = 25'000'000;
    int file_num = 4;
    std::optional<int> mode;  // file permissions, 0..0777
    bool deduplicate_heartbeat_logs = false;
    bool operator==(const LogConfig&) const = default;
};

enum class VerifyClient { none, optional, required };

struct RestConfig {
    Address listen{.host = "", .port = 8008};  // host "" or "*": all addresses
    Address connect{.host = "", .port = 8008};
    std::string username, password;  // both empty: no authentication
    std::string certfile, keyfile, keyfile_password, cafile, ciphers;  // TLS iff certfile
    VerifyClient verify_client = VerifyClient::none;
    std::vector<std::string> allowlist;  // empty: everybody
    bool allowlist_include_members = false;
    std::map<std::string, std::string> http_extra_headers, https_extra_headers;
    int request_queue_size = 5;
    std::string server_tokens = "Original";  // Original, Minimal, ProductOnly
    bool operator==(const RestConfig&) const = default;

    bool tls() const { return !certfile.empty(); }
    std::string api_url() const;  // http(s)://connect_address/patroni
};

struct CtlConfig {  // what a client of the members' APIs uses; restapi's values where ctl has none
    std::string username, password;
    bool insecure = false;
    std::string cacert, certfile, keyfile, keyfile_password;
    bool operator==(const CtlConfig&) const = default;
};

struct Etcd3Config {
    // Where to begin: host, hosts or url; with srv none may be given. Order as configured.
    std::vector<Address> hosts;
    bool https = false;  // protocol
    std::string srv, srv_suffix;
    bool use_proxies = false;  // the given hosts as they are, no member discovery
    std::string username, password;
    std::string cacert, cert, key;  // key may stand inside cert
    bool operator==(const Etcd3Config&) const = default;
};

struct WatchdogConfig {
    std::string mode = "automatic";  // off, automatic, required
    std::string device = "/dev/watchdog";
    std::string driver = "default";  // testing: device is a file or FIFO that is told everything
    int safety_margin = 5;           // s; -1: the timeout is ttl/2
    bool operator==(const WatchdogConfig&) const = default;
};

// The names that follow the primary and the replicas (docs/dns.md). Not Patroni's.
struct DnsConfig {
    std::string primary, replica;        // empty primary: the section is absent
    int ttl_s = 2;                       // 1 to 60
    std::vector<std::string> addresses;  // this member's; empty: connect_address
    std::int64_t replica_lag_bytes_max = 16 * 1024 * 1024;
    std::string zone;              // of both names; what follows primary's first label unless given
    std::vector<Address> servers;  // for updates; empty: none are sent
    std::string key_file;          // of TSIG, with servers
    std::optional<Address> responder;  // where the built-in name server listens
    bool operator==(const DnsConfig&) const = default;
};

struct LocalConfig {
    std::string name, scope;
    std::string namespace_prefix =
        "/service";  // "/a/b": one leading slash, none at the end, none doubled
    LogConfig log;
    RestConfig restapi;
    CtlConfig ctl;
    Etcd3Config etcd3;
    WatchdogConfig watchdog;
    DnsConfig dns;
    ports::BackupConfig backup;
    cluster::Tags tags;              // as they are published
    std::string bootstrap_dcs_json;  // bootstrap.dcs as given, compact; empty: none
    // The local `postgresql` and `bootstrap` sections alone, without the dynamic configuration:
    // addresses, directories and accounts are final. For everything else see effective() in
    // config/dynamic.h.
    ports::PostgresConfig postgres;

    std::string postgresql_json = "{}";  // the local section as given, for merging
    std::string bootstrap_json = "{}";
    std::string merged_json = "{}";  // everything: files and environment

    std::string origin;                        // the file, for messages
    std::vector<std::string> warnings;         // contradictions (tags), a missing file, ...
    std::vector<std::string> not_implemented;  // "watchdog: ..." given, without effect here
    std::vector<std::string> unknown;          // dotted keys nobody knows, probably misspelt
    std::vector<std::string> consumed;  // environment variables to take out of our environment
    bool operator==(const LocalConfig&) const = default;

    std::string base_key() const { return namespace_prefix + "/" + scope; }  // "/service/demo"
};

struct Source {
    std::optional<std::string> path;  // a file or a directory of *.yml, *.yaml; may be missing
    Environment environment;          // the whole process environment
    std::optional<std::string> dcs_url =
        {};  // relevoctl -d: takes the place of every DCS section (6.1)
};

// relevoctl needs a scope at most and no postgresql section; the agent needs what its daemon needs.
enum class For { agent, ctl };

Result<LocalConfig> load(const Source& source, For whom = For::agent);

// The same with the problems apart, for --validate-config.
std::expected<LocalConfig, std::vector<Problem>> load_or_problems(const Source& source,
                                                                  For whom = For::agent);

// Merged configuration (files, then environment) as block YAML: --validate-config --print. With
// secrets.
std::string to_yaml(const LocalConfig& config);

Environment process_environment();

}  // namespace relevo::config
