#include "config/environment.h"

#include <fmt/format.h>

#include <array>
#include <optional>
#include <set>

#include "base/text.h"

namespace relevo::config {
namespace {

enum class As { text, integer, boolean, list, map, format };

struct Variable {
    const char* name;  // after PATRONI_
    const char* path;
    As as = As::text;
};

constexpr Variable variables[] = {
    {"NAME", "name"},
    {"NAMESPACE", "namespace"},
    {"SCOPE", "scope"},
    {"THREAD_POOL_SIZE", "thread_pool_size"},
    {"THREAD_STACK_SIZE", "thread_stack_size"},
    {"RESTAPI_LISTEN", "restapi.listen"},
    {"RESTAPI_CONNECT_ADDRESS", "restapi.connect_address"},
    {"RESTAPI_CERTFILE", "restapi.certfile"},
    {"RESTAPI_KEYFILE", "restapi.keyfile"},
    {"RESTAPI_KEYFILE_PASSWORD", "restapi.keyfile_password"},
    {"RESTAPI_CAFILE", "restapi.cafile"},
    {"RESTAPI_CIPHERS", "restapi.ciphers"},
    {"RESTAPI_VERIFY_CLIENT", "restapi.verify_client"},
    {"RESTAPI_HTTP_EXTRA_HEADERS", "restapi.http_extra_headers", As::map},
    {"RESTAPI_HTTPS_EXTRA_HEADERS", "restapi.https_extra_headers", As::map},
    {"RESTAPI_ALLOWLIST", "restapi.allowlist", As::list},
    {"RESTAPI_ALLOWLIST_INCLUDE_MEMBERS", "restapi.allowlist_include_members", As::boolean},
    {"RESTAPI_REQUEST_QUEUE_SIZE", "restapi.request_queue_size", As::integer},
    {"RESTAPI_SERVER_TOKENS", "restapi.server_tokens"},
    {"RESTAPI_USERNAME", "restapi.authentication.username"},
    {"RESTAPI_PASSWORD", "restapi.authentication.password"},
    {"CTL_INSECURE", "ctl.insecure", As::boolean},
    {"CTL_CACERT", "ctl.cacert"},
    {"CTL_CERTFILE", "ctl.certfile"},
    {"CTL_KEYFILE", "ctl.keyfile"},
    {"CTL_KEYFILE_PASSWORD", "ctl.keyfile_password"},
    {"CTL_USERNAME", "ctl.authentication.username"},
    {"CTL_PASSWORD", "ctl.authentication.password"},
    // The old names first: the new ones replace them.
    {"LOGLEVEL", "log.level"},
    {"LOGFORMAT", "log.format", As::format},
    {"LOG_DATEFMT", "log.dateformat"},
    {"LOG_TYPE", "log.type"},
    {"LOG_LEVEL", "log.level"},
    {"LOG_TRACEBACK_LEVEL", "log.traceback_level"},
    {"LOG_FORMAT", "log.format", As::format},
    {"LOG_DATEFORMAT", "log.dateformat"},
    {"LOG_STATIC_FIELDS", "log.static_fields", As::map},
    {"LOG_MAX_QUEUE_SIZE", "log.max_queue_size", As::integer},
    {"LOG_DIR", "log.dir"},
    {"LOG_MODE", "log.mode", As::integer},
    {"LOG_FILE_SIZE", "log.file_size", As::integer},
    {"LOG_FILE_NUM", "log.file_num", As::integer},
    {"LOG_LOGGERS", "log.loggers", As::map},
    {"LOG_DEDUPLICATE_HEARTBEAT_LOGS", "log.deduplicate_heartbeat_logs", As::boolean},
    {"POSTGRESQL_LISTEN", "postgresql.listen"},
    {"POSTGRESQL_CONNECT_ADDRESS", "postgresql.connect_address"},
    {"POSTGRESQL_PROXY_ADDRESS", "postgresql.proxy_address"},
    {"POSTGRESQL_CONFIG_DIR", "postgresql.config_dir"},
    {"POSTGRESQL_DATA_DIR", "postgresql.data_dir"},
    {"POSTGRESQL_PGPASS", "postgresql.pgpass"},
    {"POSTGRESQL_BIN_DIR", "postgresql.bin_dir"},
    {"POSTGRESQL_BIN_PG_CTL", "postgresql.bin_name.pg_ctl"},
    {"POSTGRESQL_BIN_INITDB", "postgresql.bin_name.initdb"},
    {"POSTGRESQL_BIN_PG_CONTROLDATA", "postgresql.bin_name.pg_controldata"},
    {"POSTGRESQL_BIN_PG_BASEBACKUP", "postgresql.bin_name.pg_basebackup"},
    {"POSTGRESQL_BIN_POSTGRES", "postgresql.bin_name.postgres"},
    {"POSTGRESQL_BIN_PG_ISREADY", "postgresql.bin_name.pg_isready"},
    {"POSTGRESQL_BIN_PG_REWIND", "postgresql.bin_name.pg_rewind"},
};

constexpr const char* account_keys[] = {
    "USERNAME",    "PASSWORD", "SSLMODE",   "SSLCERT",    "SSLKEY",          "SSLPASSWORD",
    "SSLROOTCERT", "SSLCRL",   "SSLCRLDIR", "GSSENCMODE", "CHANNEL_BINDING", "SSLNEGOTIATION"};

// PATRONI_<SECTION>_<SUFFIX>, where SECTION goes up to the first underscore.
constexpr const char* text_suffixes[] = {"HOST",
                                         "PROTOCOL",
                                         "SRV",
                                         "SRV_SUFFIX",
                                         "URL",
                                         "PROXY",
                                         "CACERT",
                                         "CERT",
                                         "KEY",
                                         "TOKEN",
                                         "DC",
                                         "CONSISTENCY",
                                         "SERVICE_CHECK_INTERVAL",
                                         "SERVICE_CHECK_TLS_SERVER_NAME",
                                         "NAMESPACE",
                                         "CONTEXT",
                                         "SCOPE_LABEL",
                                         "ROLE_LABEL",
                                         "POD_IP",
                                         "KEY_PASSWORD",
                                         "USE_SSL",
                                         "GROUP",
                                         "DATABASE",
                                         "LEADER_LABEL_VALUE",
                                         "FOLLOWER_LABEL_VALUE",
                                         "STANDBY_LEADER_LABEL_VALUE",
                                         "TMP_ROLE_LABEL"};
constexpr const char* list_suffixes[] = {"HOSTS", "PORTS", "CHECKS", "SERVICE_TAGS",
                                         "RETRIABLE_HTTP_CODES"};
constexpr const char* map_suffixes[] = {"LABELS", "SET_ACLS", "AUTH_DATA", "BOOTSTRAP_LABELS"};
constexpr const char* boolean_suffixes[] = {"USE_PROXIES", "REGISTER_SERVICE", "USE_ENDPOINTS",
                                            "BYPASS_API_SERVICE", "VERIFY"};

std::optional<As> suffix_type(std::string_view section, std::string_view suffix) {
    const auto among = [suffix](const auto& names) {
        for (const std::string_view name : names)
            if (name == suffix) return true;
        return false;
    };
    if (suffix == "PORT" || (section == "CITUS" && suffix == "GROUP")) return As::integer;
    if (among(text_suffixes)) return As::text;
    if (among(list_suffixes)) return As::list;
    if (among(map_suffixes)) return As::map;
    if (among(boolean_suffixes)) return As::boolean;
    return std::nullopt;
}

class Collector {
public:
    explicit Collector(const Environment& environment) : environment_(environment) {}

    FromEnvironment out;

    void take(const std::string& variable, std::string_view path, As as) {
        const auto found = environment_.find(variable);
        if (found == environment_.end() || trim(found->second).empty()) return;
        out.consumed.push_back(variable);
        const auto source = std::make_shared<const std::string>("environment variable " + variable);
        auto value = convert(variable, found->second, as);
        if (!value) return;
        mark(*value, source);
        Node* into = &out.tree;
        while (true) {
            const auto dot = path.find('.');
            if (dot == std::string_view::npos) break;
            Node* next = into->find_any(path.substr(0, dot));
            if (next == nullptr) next = &into->set(path.substr(0, dot), Node::map());
            next->source = source;
            into = next;
            path.remove_prefix(dot + 1);
        }
        into->set(path, std::move(*value));
    }

private:
    const Environment& environment_;

    static void mark(Node& node, const std::shared_ptr<const std::string>& source) {
        node.source = source;
        node.line = 0;
        for (Node& item : node.items) mark(item, source);
        for (auto& [key, value] : node.fields) mark(value, source);
    }

    std::optional<Node> wrong(const std::string& variable, std::string_view expected) {
        out.problems.push_back(
            {"environment variable " + variable, "", fmt::format("expected {}", expected)});
        return std::nullopt;
    }

    std::optional<Node> convert(const std::string& variable, const std::string& text, As as) {
        switch (as) {
            case As::text: return Node::string(text);
            case As::integer: {
                const auto value = parse_int(text);
                return value ? Node::integer(*value) : wrong(variable, "a whole number");
            }
            case As::boolean: {
                const auto value = parse_bool(text);
                return value ? Node::boolean(*value)
                             : wrong(variable, "a boolean (true, false, on, off)");
            }
            case As::list: return flow(variable, text, Node::Kind::list);
            case As::map: return flow(variable, text, Node::Kind::map);
            case As::format:
                return text.contains("%(") ? Node::string(text)
                                           : flow(variable, text, Node::Kind::list);
        }
        return std::nullopt;
    }

    // YAML's flow form, whose outer brackets may be left out: 'a:1','b:2'.
    std::optional<Node> flow(const std::string& variable, const std::string& given,
                             Node::Kind kind) {
        std::string text(trim(given));
        const bool list = kind == Node::Kind::list;
        if (list && !text.starts_with('-') && !text.contains('[')) text = "[" + text + "]";
        if (!list && !text.starts_with('{')) text = "{" + text + "}";
        auto parsed = parse_yaml(text, "environment variable " + variable);
        if (!parsed || !parsed->is(kind))
            return wrong(variable, list ? "a list: 'a','b'" : "pairs: a: 1, b: 2");
        return std::move(*parsed);
    }
};

void take_accounts(Collector& collect) {
    for (const char* account : {"SUPERUSER", "REPLICATION", "REWIND"})
        for (const char* key : account_keys)
            collect.take(fmt::format("PATRONI_{}_{}", account, key),
                         fmt::format("postgresql.authentication.{}.{}", lower(account), lower(key)),
                         As::text);
}

void take_sections(Collector& collect, const Environment& environment) {
    // Not any section: Kubernetes sets PATRONI_SERVICE_PORT and the like for a service called
    // patroni.
    static const std::set<std::string, std::less<>> sections = {
        "ETCD", "ETCD3", "CONSUL", "ZOOKEEPER", "EXHIBITOR", "KUBERNETES", "CITUS"};
    for (const auto& [variable, value] : environment) {
        if (!variable.starts_with("PATRONI_")) continue;
        const std::string_view rest = std::string_view(variable).substr(8);
        const auto underscore = rest.find('_');
        if (underscore == std::string_view::npos || underscore == 0) continue;
        const std::string_view section = rest.substr(0, underscore),
                               suffix = rest.substr(underscore + 1);
        if (!sections.contains(section)) continue;
        if (const auto as = suffix_type(section, suffix))
            collect.take(variable, lower(section) + "." + lower(suffix), *as);
    }
    for (const char* section : {"etcd", "etcd3"}) {
        if (collect.out.tree.find(section) == nullptr) continue;
        for (const char* key : {"username", "password"}) {
            std::string variable = fmt::format("PATRONI_{}_{}", section, key);
            for (char& c : variable)
                if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
            collect.take(variable, fmt::format("{}.{}", section, key), As::text);
        }
    }
    for (const char* key : {"DATA_DIR", "SELF_ADDR", "BIND_ADDR", "PASSWORD"})
        collect.take(fmt::format("PATRONI_RAFT_{}", key), "raft." + lower(key), As::text);
    collect.take("PATRONI_RAFT_PARTNER_ADDRS", "raft.partner_addrs", As::list);
}

}  // namespace

FromEnvironment read_environment(const Environment& environment) {
    Collector collect(environment);
    for (const Variable& variable : variables)
        collect.take(std::string("PATRONI_") + variable.name, variable.path, variable.as);
    take_accounts(collect);
    take_sections(collect, environment);
    return std::move(collect.out);
}

}  // namespace relevo::config
