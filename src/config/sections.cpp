#include "config/sections.h"

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>

#include "base/text.h"
#include "config/postgresql.h"
#include "config/reader.h"

namespace relevo::config {
namespace {

void must_be_a_map(const Node* node, std::string path, std::vector<Problem>& problems) {
    const Reader tells_the_problems(node, std::move(path), problems);
}

std::optional<log::Level> level_of(std::string_view text) {
    const std::string name = lower(text);
    if (name == "debug" || name == "notset") return log::Level::debug;
    if (name == "info") return log::Level::info;
    if (name == "warning" || name == "warn") return log::Level::warning;
    if (name == "error") return log::Level::error;
    if (name == "critical" || name == "fatal") return log::Level::critical;
    return std::nullopt;
}

constexpr std::string_view level_names = "one of DEBUG, INFO, WARNING, ERROR, CRITICAL";

void read_log_format(Reader& section, LogConfig& out) {
    const Node* given = section.raw("format");
    if (given == nullptr) return;
    if (!given->is(Node::Kind::list)) return section.text("format", out.format);
    for (const Node& item : given->items) {
        const bool pair = item.is(Node::Kind::map) && item.fields.size() == 1;
        const auto field = pair ? std::optional(item.fields[0].key) : scalar_text(item);
        const auto name = pair ? scalar_text(item.fields[0].value) : field;
        if (!field || !name)
            return section.wrong("format", "a list of fields and `field: name` pairs");
        out.json_fields.emplace_back(*field, *name);
    }
}

void read_log(Reader section, LogConfig& out) {
    section.word("type", out.type, {"plain", "json"});
    std::string level;
    section.text("level", level);
    if (!level.empty()) {
        if (const auto known = level_of(level)) {
            out.level = *known;
        } else {
            section.wrong("level", level_names);
        }
    }
    std::string traceback = "ERROR";
    section.word("traceback_level", traceback, {"DEBUG", "ERROR"});
    out.tracebacks_only_at_debug = traceback == "DEBUG";
    read_log_format(section, out);
    section.text("dateformat", out.dateformat);
    section.map_of_texts("static_fields", out.static_fields);
    std::map<std::string, std::string> loggers;
    section.map_of_texts("loggers", loggers);
    for (const auto& [name, text] : loggers) {
        if (const auto known = level_of(text)) {
            out.loggers[name] = *known;
        } else {
            section.section("loggers").wrong(name, level_names);
        }
    }
    section.integer("max_queue_size", out.max_queue_size, 1, INT32_MAX);
    section.text("dir", out.dir);
    section.integer("file_size", out.file_size_bytes, 1, INT64_MAX);
    section.integer("file_num", out.file_num, 0, 100'000);
    if (section.has("mode")) {
        std::int64_t mode = -1;
        section.integer("mode", mode, 0, 0777);
        if (mode >= 0) out.mode = static_cast<int>(mode);
    }
    section.boolean("deduplicate_heartbeat_logs", out.deduplicate_heartbeat_logs);
}

// One IP, CIDR or host name each; whether names resolve is seen when they are used.
void read_allowlist(Reader& section, RestConfig& out) {
    section.texts("allowlist", out.allowlist, true);
}

void read_restapi(Reader section, For whom, RestConfig& out) {
    std::string text;
    section.text("listen", text);
    if (section.has("listen")) {
        if (const auto address = parse_address(text, 8008)) {
            out.listen = *address;
        } else {
            section.wrong("listen", "host:port");
        }
    } else if (whom == For::agent) {
        section.wrong("listen", "host:port, as in 0.0.0.0:8008");
    }
    out.connect = out.listen;
    text.clear();
    section.text("connect_address", text);
    if (section.has("connect_address")) {
        const auto address = parse_address(text, out.listen.port);
        if (address && !address->host.empty()) {
            out.connect = *address;
        } else {
            section.wrong("connect_address",
                          "host:port under which the other members reach this one");
        }
    }
    Reader authentication = section.section("authentication");
    authentication.text("username", out.username);
    authentication.text("password", out.password);
    section.text("certfile", out.certfile);
    section.text("keyfile", out.keyfile);
    section.text("keyfile_password", out.keyfile_password);
    section.text("cafile", out.cafile);
    section.text("ciphers", out.ciphers);
    std::string verify = "none";
    section.word("verify_client", verify, {"none", "optional", "required"});
    out.verify_client = verify == "none"       ? VerifyClient::none
                        : verify == "optional" ? VerifyClient::optional
                                               : VerifyClient::required;
    read_allowlist(section, out);
    section.boolean("allowlist_include_members", out.allowlist_include_members);
    section.map_of_texts("http_extra_headers", out.http_extra_headers);
    section.map_of_texts("https_extra_headers", out.https_extra_headers);
    section.integer("request_queue_size", out.request_queue_size, 0, 4096);
    section.word("server_tokens", out.server_tokens, {"Original", "Minimal", "ProductOnly"});
}

void read_ctl(Reader section, const RestConfig& restapi, CtlConfig& out) {
    Reader authentication = section.section("authentication");
    const bool own = authentication.has("username") || authentication.has("password");
    out.username = own ? "" : restapi.username;
    out.password = own ? "" : restapi.password;
    authentication.text("username", out.username);
    authentication.text("password", out.password);
    section.boolean("insecure", out.insecure);
    out.cacert = restapi.cafile;
    section.text("cacert", out.cacert);
    section.text("certfile", out.certfile);
    section.text("keyfile", out.keyfile);
    section.text("keyfile_password", out.keyfile_password);
}

void read_watchdog(Reader section, WatchdogConfig& out) {
    const Node* mode = section.raw("mode");
    if (mode != nullptr && mode->is(Node::Kind::boolean) && mode->text == "false") {
        out.mode = "off";  // an unquoted `off`
    } else {
        section.word("mode", out.mode, {"off", "automatic", "required"});
    }
    section.text("device", out.device);
    section.word("driver", out.driver, {"default", "testing"});
    section.integer("safety_margin", out.safety_margin, -1, INT32_MAX);
}

std::string normal_namespace(std::string_view text) {
    std::string out;
    for (const std::string& part : split(text, '/'))
        if (!part.empty()) out += "/" + part;
    return out;
}

void read_names(Reader& top, For whom, LocalConfig& out) {
    top.text("name", out.name);
    top.text("scope", out.scope);
    std::string prefix(out.namespace_prefix);
    top.text("namespace", prefix);
    out.namespace_prefix = normal_namespace(prefix);
    if (whom == For::agent) {
        if (out.name.empty()) top.wrong("name", "the name of this member");
        if (out.scope.empty()) top.wrong("scope", "the name of the cluster");
    }
    for (const char* key : {"name", "scope"}) {
        const std::string& value = std::string_view(key) == "name" ? out.name : out.scope;
        if (value.contains('/'))
            top.problem(key, fmt::format("found \"{}\", expected no '/' in it", value));
    }
    if (out.name == reserved_name)
        top.problem("name", fmt::format("{} is reserved, expected another name", reserved_name));
}

std::string home_of(const Environment& environment) {
    const auto home = environment.find("HOME");
    if (home != environment.end() && !home->second.empty()) return home->second;
    const passwd* user = getpwuid(geteuid());
    return user != nullptr && user->pw_dir != nullptr ? user->pw_dir : "/";
}

void read_postgres(const Node& tree, For whom, const Environment& environment, LocalConfig& out,
                   std::vector<Problem>& problems) {
    const Node* given = tree.find("postgresql");
    Reader section(given, "postgresql", problems);
    ports::PostgresConfig& postgres = out.postgres;
    postgres.scope = out.scope;
    postgres.name = out.name;
    postgres.pgpass = home_of(environment) + "/pgpass";
    read_postgresql_identity(section, postgres);
    std::vector<std::string> notes;
    read_postgresql(section, {}, postgres, notes);
    for (const char* key :
         {"parameters", "parameters_primary", "parameters_replica", "parameters_standby_leader"})
        must_be_a_map(section.raw(key), section.path(key), problems);
    if (whom == For::agent) {
        if (!section.has("listen")) section.wrong("listen", "address:port, as in 0.0.0.0:5432");
        if (postgres.data_dir.empty())
            section.wrong("data_dir", "the data directory");
        else if (!postgres.data_dir.starts_with('/'))
            section.wrong("data_dir", "an absolute path");
    }
    const Node* bootstrap = tree.find("bootstrap");
    postgres.bootstrap.present = bootstrap != nullptr;
    Reader bootstrap_section(bootstrap, "bootstrap", problems);
    read_bootstrap(bootstrap_section, postgres.bootstrap);
    const Node* dcs = bootstrap_section.raw("dcs");
    must_be_a_map(dcs, "bootstrap.dcs", problems);
    if (dcs != nullptr && dcs->is(Node::Kind::map)) out.bootstrap_dcs_json = to_json(*dcs);
    if (given != nullptr && given->is(Node::Kind::map)) out.postgresql_json = to_json(*given);
    if (bootstrap != nullptr && bootstrap->is(Node::Kind::map))
        out.bootstrap_json = to_json(*bootstrap);
}

}  // namespace

std::string RestConfig::api_url() const {
    return fmt::format("{}://{}/patroni", tls() ? "https" : "http", to_text(connect));
}

void read_sections(const Node& tree, For whom, const Environment& environment, LocalConfig& out,
                   std::vector<Problem>& problems) {
    Reader top(&tree, "", problems);
    read_names(top, whom, out);
    read_log(top.section("log"), out.log);
    read_restapi(top.section("restapi"), whom, out.restapi);
    read_ctl(top.section("ctl"), out.restapi, out.ctl);
    read_watchdog(top.section("watchdog"), out.watchdog);
    read_dns(tree, out.dns, problems);
    // Its secrets are in the agent's environment, not in that of relevoctl, which needs none of it.
    if (whom == For::agent) read_backup(tree, out.scope, out.backup, problems);
    read_dcs(tree, whom, out.etcd3, problems);
    read_tags(tree, out, problems);
    read_postgres(tree, whom, environment, out, problems);
    if (whom == For::agent) check_origin(out.postgres.bootstrap, out.backup, problems);
    out.merged_json = to_json(tree);
    name_the_rest(tree, out);
}

}  // namespace relevo::config
