#include "config/postgresql.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "config/address.h"

namespace relevo::config {
namespace {

constexpr std::array account_options = {
    "sslmode", "sslcert",   "sslkey",     "sslpassword",     "sslrootcert",
    "sslcrl",  "sslcrldir", "gssencmode", "channel_binding", "sslnegotiation"};
// With a section `backup` it needs no command (config/backup.cpp).
constexpr std::string_view built_in_method = "pgbackrest";
constexpr std::array programs = {"pg_ctl",   "initdb",     "pg_controldata", "pg_basebackup",
                                 "postgres", "pg_isready", "pg_rewind"};
constexpr std::array callbacks = {"on_start", "on_stop", "on_restart", "on_reload",
                                  "on_role_change"};
constexpr std::array forbidden_basebackup = {"pgdata", "format",   "wal-method", "xlog-method",
                                             "gzip",   "version",  "dbname",     "host",
                                             "port",   "username", "password"};
constexpr std::array forbidden_rewind = {"target-pgdata", "source-pgdata",
                                         "source-server", "write-recovery-conf",
                                         "dry-run",       "restore-target-wal",
                                         "config-file",   "no-ensure-shutdown",
                                         "version",       "help"};

bool among(const auto& names, std::string_view name) {
    return std::ranges::any_of(names, [name](std::string_view each) { return each == name; });
}

void read_account(Reader section, ports::Account& out) {
    section.text("username", out.username);
    section.text("password", out.password);
    for (const char* key : account_options) {
        std::string value;
        section.text(key, value);
        if (!value.empty()) out.options[key] = value;
    }
}

// One method's remaining pairs, as Patroni hands them to the command: --key=str(value).
ports::CommandOptions other_pairs(const Node* section,
                                  std::initializer_list<std::string_view> known) {
    ports::CommandOptions out;
    if (section == nullptr) return out;
    for (const auto& [key, value] : section->fields)
        if (std::ranges::find(known, key) == known.end()) out.emplace_back(key, python_text(value));
    return out;
}

void read_replica_method(Reader& postgresql, const std::string& name, ports::PostgresConfig& out,
                         std::vector<std::string>& notes) {
    if (name == "basebackup" || out.replica_methods.contains(name)) return;
    const Node* given = postgresql.raw(name);
    const bool built_in = name == built_in_method;
    if (given == nullptr && built_in) {
        out.replica_methods[name].name = name;
        return;
    }
    if (given == nullptr) {
        notes.push_back(
            fmt::format("{}: there is no section {} with its command; the method is skipped",
                        postgresql.path("create_replica_methods"), postgresql.path(name)));
        return;
    }
    Reader section = postgresql.section(name);
    ports::ReplicaMethod method;
    method.name = name;
    section.text("command", method.command);
    section.boolean("keep_data", method.keep_data);
    section.boolean("no_params", method.no_params);
    section.boolean("no_leader", method.no_leader);
    // As a pair of the operator's own command it is nothing to us.
    if (built_in && method.command.empty()) section.boolean("delta", method.delta);
    if (method.command.empty() && !built_in)
        notes.push_back(
            fmt::format("{}: there is no command; the method is skipped", postgresql.path(name)));
    // Patroni: without no_params the command also gets these two as it gets every other pair.
    method.options = method.no_params
                         ? other_pairs(given, {"command", "no_params", "no_leader", "keep_data"})
                         : other_pairs(given, {"command", "no_params"});
    out.replica_methods.emplace(name, std::move(method));
}

void drop_forbidden(ports::CommandOptions& options, const auto& forbidden, const std::string& path,
                    std::vector<std::string>& notes) {
    std::erase_if(options, [&](const auto& option) {
        if (!among(forbidden, option.first)) return false;
        notes.push_back(fmt::format("{}: the option {} is the agent's own; it is left out", path,
                                    option.first));
        return true;
    });
}

void read_by_role(Reader& section, const std::string& key,
                  ports::ByRole<std::vector<std::string>>& out) {
    section.texts(key, out.base);
    const auto one = [&](const char* role, std::optional<std::vector<std::string>>& into) {
        if (!section.has(key + role)) return;
        std::vector<std::string> lines;
        section.texts(key + role, lines);
        into = std::move(lines);
    };
    one("_primary", out.primary);
    one("_replica", out.replica);
    one("_standby_leader", out.standby_leader);
}

void read_recovery_conf(Reader& section, ports::PostgresConfig& out) {
    std::map<std::string, std::string> given;
    section.map_of_texts("recovery_conf", given);
    for (auto& [name, value] : given) {
        const std::string key = lower(name);
        if (key.starts_with("recovery_target") || key == "primary_conninfo" ||
            key == "primary_slot_name" || key == "standby_mode")
            continue;  // the agent's own (contract 2.4)
        out.recovery_conf[key] = value;
    }
}

}  // namespace

void read_options(Reader& section, std::string_view key, ports::CommandOptions& out) {
    const Node* given = section.raw(key);
    if (given == nullptr) return;
    ports::CommandOptions read;
    const auto pair = [&](const std::string& name, const Node& value) {
        if (value.is(Node::Kind::list) || value.is(Node::Kind::map)) return false;
        if (value.is(Node::Kind::boolean) && value.text == "false") return true;
        const bool bare = value.is(Node::Kind::null) || value.is(Node::Kind::boolean);
        read.emplace_back(name, bare ? "" : value.text);
        return true;
    };
    bool fine = given->is(Node::Kind::map) || given->is(Node::Kind::list);
    if (given->is(Node::Kind::map))
        for (const auto& [name, value] : given->fields) fine = pair(name, value) && fine;
    if (given->is(Node::Kind::list)) {
        for (const Node& item : given->items) {
            if (item.is(Node::Kind::map)) {
                fine = fine && item.fields.size() == 1 &&
                       pair(item.fields[0].key, item.fields[0].value);
            } else if (auto text = scalar_text(item)) {
                while (text->starts_with('-')) text->erase(0, 1);
                const auto equals = text->find('=');
                read.emplace_back(text->substr(0, equals),
                                  equals == std::string::npos ? "" : text->substr(equals + 1));
            } else {
                fine = false;
            }
        }
    }
    if (!fine) return section.wrong(key, "a list of options and `option: value` pairs");
    out = std::move(read);
}

void read_postgresql_identity(Reader& section, ports::PostgresConfig& out) {
    std::string listen, connect;
    section.text("listen", listen);
    if (section.has("listen")) {
        if (const auto address = parse_listen(listen, 5432)) {
            out.listen_addresses = address->host.empty() ? "*" : address->host;
            out.port = address->port;
        } else {
            section.wrong("listen", "address[,address]:port");
        }
    }
    section.text("connect_address", connect);
    out.connect_host = local_host(out.listen_addresses);
    out.connect_port = out.port;
    if (section.has("connect_address")) {
        const auto address = parse_address(connect, out.port);
        if (address && !address->host.empty()) {
            out.connect_host = address->host;
            out.connect_port = address->port;
        } else {
            section.wrong("connect_address", "host:port");
        }
    }
    section.text("proxy_address", out.proxy_address);
    if (!out.proxy_address.empty() && !parse_address(out.proxy_address, 5432))
        section.wrong("proxy_address", "host:port");
    section.text("data_dir", out.data_dir);
    while (out.data_dir.size() > 1 && out.data_dir.ends_with('/')) out.data_dir.pop_back();
    out.config_dir = out.data_dir;
    section.text("config_dir", out.config_dir);
    section.text("pgpass", out.pgpass);
    Reader accounts = section.section("authentication");
    read_account(accounts.section("superuser"), out.superuser);
    read_account(accounts.section("replication"), out.replication);
    if (accounts.has("rewind")) {
        ports::Account rewind;
        read_account(accounts.section("rewind"), rewind);
        if (!rewind.username.empty()) out.rewind = std::move(rewind);
    }
}

void read_postgresql(Reader& section, const std::vector<std::string>& more_methods,
                     ports::PostgresConfig& out, std::vector<std::string>& notes) {
    section.text("config_base_name", out.config_base_name);
    section.text("bin_dir", out.bin_dir);
    Reader names = section.section("bin_name");
    for (const char* program : programs) {
        out.bin_name[program] = program;
        names.text(program, out.bin_name[program]);
    }
    section.text("database", out.database);
    section.text("krbsrvname", out.krbsrvname);
    section.boolean("use_unix_socket", out.use_unix_socket);
    section.boolean("use_unix_socket_repl", out.use_unix_socket_repl);
    read_by_role(section, "pg_hba", out.pg_hba);
    read_by_role(section, "pg_ident", out.pg_ident);
    section.text("custom_conf", out.custom_conf);
    read_recovery_conf(section, out);
    Reader hooks = section.section("callbacks");
    for (const char* callback : callbacks) {
        std::string command;
        hooks.text(callback, command);
        if (!command.empty()) out.callbacks[callback] = command;
    }
    section.texts("create_replica_method", out.create_replica_methods, true);
    section.texts("create_replica_methods", out.create_replica_methods, true);
    for (const std::string& name : out.create_replica_methods)
        read_replica_method(section, name, out, notes);
    for (const std::string& name : more_methods) read_replica_method(section, name, out, notes);
    read_options(section, "basebackup", out.basebackup);
    drop_forbidden(out.basebackup, forbidden_basebackup, section.path("basebackup"), notes);
    section.seconds("pg_ctl_timeout", out.pg_ctl_timeout, 1);
    section.boolean("use_pg_rewind", out.use_pg_rewind);
    ports::CommandOptions rewind;
    read_options(section, "rewind", rewind);
    drop_forbidden(rewind, forbidden_rewind, section.path("rewind"), notes);
    for (const auto& [option, value] : rewind)
        out.rewind_options.push_back(value.empty() ? "--" + option : "--" + option + "=" + value);
    section.boolean("remove_data_directory_on_rewind_failure",
                    out.remove_data_directory_on_rewind_failure);
    section.boolean("remove_data_directory_on_diverged_timelines",
                    out.remove_data_directory_on_diverged_timelines);
    section.text("pre_promote", out.pre_promote);
    section.text("before_stop", out.before_stop);
}

void read_bootstrap(Reader& section, ports::Bootstrap& out) {
    section.text("method", out.method);
    read_options(section, "initdb", out.initdb);
    section.texts("pg_hba", out.pg_hba);
    section.text("post_init", out.post_bootstrap);
    section.text("post_bootstrap", out.post_bootstrap);
    if (out.method == "initdb" || out.method.empty()) {
        out.method = "initdb";
        return;
    }
    const Node* given = section.raw(out.method);
    if (is_origin(out.method, given)) {
        out.origin.emplace();
        Reader origin = section.section(out.method);
        return read_origin(origin, given, *out.origin);
    }
    if (given == nullptr)
        return section.problem("method",
                               fmt::format("there is no section {} with the method's command",
                                           section.path(out.method)));
    Reader method = section.section(out.method);
    ports::BootstrapMethod custom;
    custom.name = out.method;
    method.text("command", custom.command);
    if (custom.command.empty())
        method.wrong("command", "the command that makes the data directory");
    method.boolean("no_params", custom.no_params);
    method.boolean("keep_existing_recovery_conf", custom.keep_existing_recovery_conf);
    method.map_of_texts("recovery_conf", custom.recovery_conf);
    custom.options = other_pairs(
        given, {"command", "no_params", "keep_existing_recovery_conf", "recovery_conf"});
    out.custom = std::move(custom);
}

}  // namespace relevo::config
