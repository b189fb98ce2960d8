#include "pgbouncer/ini.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace relevo::pgbouncer {
namespace {

// Ours alone: who talks to the process, and where.
const std::set<std::string, std::less<>> owned = {
    "listen_addr",  "listen_port", "unix_socket_dir", "unix_socket_mode",
    "pidfile",      "logfile",     "so_reuseport",    "user",
    "service_name", "job_name",    "conffile",        "unix_socket_group",
    "peer_id"};

// The ADR's, where nobody says otherwise.
const Settings defaults = {
    {"pool_mode", "transaction"},
    {"max_client_conn", "1000"},
    {"default_pool_size", "25"},
    {"auth_type", "scram-sha-256"},
    // Drivers send it with every start-up; without this the login is refused.
    {"ignore_startup_parameters", "extra_float_digits"},
    // A line for each client that comes and goes is most of the log.
    {"log_connections", "0"},
    {"log_disconnections", "0"},
    {"log_stats", "0"},  // /metrics has them
};

bool breaks_line(std::string_view text) {
    return std::ranges::any_of(text, [](unsigned char c) { return c < ' ' && c != '\t'; });
}

// A value in a connection string: in quotes when it needs them.
std::string quoted(std::string_view value) {
    const bool plain = !value.empty() && std::ranges::all_of(value, [](unsigned char c) {
        return std::isalnum(c) || c == '_' || c == '.' || c == ':' || c == '-' || c == ',' ||
               c == '/' || c == '%';
    });
    if (plain) return std::string(value);
    std::string out = "'";
    for (const char c : value) {
        if (c == '\'') out += '\'';
        out += c;
    }
    return out + "'";
}

// Where nobody is to be led to: nothing listens there, and clients are held before they would ask.
const Place nowhere{"127.0.0.1", 1};

std::string connection_string(const Place& place) {
    return fmt::format("host={} port={}", quoted(place.host), place.port);
}

Settings merged(const IniPlan& plan) {
    Settings all = defaults;
    for (const auto& [name, value] : plan.user.settings)
        if (!owned.contains(name)) all[name] = value;
    for (const auto& [name, value] : protected_settings())
        if (!plan.kept.contains(name) || !all.contains(name)) all[name] = value;
    for (const auto& [name, value] : plan.settings) all[name] = value;
    all["listen_addr"] = plan.listen_host;
    all["listen_port"] = std::to_string(plan.listen_port);
    all["unix_socket_dir"] = plan.directory;
    all["pidfile"] = plan.directory + "/pgbouncer.pid";
    all["logfile"] = plan.directory + "/pgbouncer.log";
    if (plan.reuse_port) all["so_reuseport"] = "1";
    // 0 would be none.
    if (!plan.peers.empty()) all["peer_id"] = std::to_string(plan.number + 1);
    return all;
}

}  // namespace

Place place_of(const Database& database, const ports::Routes& routes) {
    if (database.route == ports::Route::writes)
        return routes.writes ? Place{routes.writes->host, routes.writes->port} : nowhere;
    if (routes.reads.empty()) return nowhere;
    // It has one port for all hosts of a database.
    Place out{"", routes.reads.front().port};
    for (const auto& one : routes.reads)
        if (one.port == out.port) out.host += (out.host.empty() ? "" : ",") + one.host;
    return out;
}

const Settings& protected_settings() {
    static const Settings settings = {
        // After a failed connect new clients are turned away for this long: 15 s by default, which
        // is most of the outage of a crash.
        {"server_login_retry", "0.1"},
        // A host without power answers nothing: its connections hang for a quarter of an hour.
        {"tcp_keepalive", "1"},
        {"tcp_keepidle", "2"},
        {"tcp_keepintvl", "1"},
        {"tcp_keepcnt", "3"},
        {"tcp_user_timeout", "2000"},
        {"server_connect_timeout", "2"},
        {"server_check_delay", "5"},
        {"server_check_query", "select 1"},
        // Clients that are held are told so at last.
        {"query_wait_timeout", "30"},
        {"server_lifetime", "600"},
        // The pooler is led by addresses; a name in the user's own databases follows soon.
        {"dns_max_ttl", "1"},
        {"server_reset_query_always", "0"},
    };
    return settings;
}

Result<UserIni> parse_ini(std::string_view text, std::vector<std::string>* includes) {
    UserIni out;
    std::string section;
    int line_number = 0;
    for (const auto& raw : split(text, '\n')) {
        ++line_number;
        const auto line = trim(raw);
        if (line.empty() || line[0] == ';' || line[0] == '#') continue;
        const auto bad = [&](const char* what) {
            return fail(ErrorCode::invalid, fmt::format("line {}: {}", line_number, what));
        };
        if (line.starts_with("%include")) {
            const auto path = trim(line.substr(8));
            if (path.empty()) return bad("%include names no file");
            if (includes != nullptr) includes->emplace_back(path);
            continue;
        }
        if (line[0] == '[') {
            const auto close = line.find(']');
            if (close == line.npos) return bad("a section's name ends in ]");
            section = lower(trim(line.substr(1, close - 1)));
            if (section == "peers")
                return bad("[peers] is not taken: the gateway's own processes know each other");
            if (section != "pgbouncer" && section != "databases" && section != "users")
                return bad("the sections are [pgbouncer], [databases] and [users]");
            continue;
        }
        const auto equals = line.find('=');
        if (equals == line.npos) return bad("expected name = value");
        const auto name = std::string(trim(line.substr(0, equals)));
        const auto value = std::string(trim(line.substr(equals + 1)));
        if (name.empty()) return bad("a name is missing before the =");
        if (breaks_line(line)) return bad("a control character stands in it");
        if (section.empty()) return bad("it stands before the first section");
        if (section == "pgbouncer")
            out.settings[lower(name)] = value;
        else
            (section == "databases" ? out.databases : out.users).emplace_back(name, value);
    }
    return out;
}

std::vector<std::string> overridden(const IniPlan& plan) {
    std::vector<std::string> lines;
    for (const auto& [name, value] : plan.user.settings) {
        if (owned.contains(name)) {
            lines.push_back(fmt::format("{} = {} is not taken: the gateway sets it", name, value));
        } else if (const auto safe = protected_settings().find(name);
                   safe != protected_settings().end() && safe->second != value) {
            lines.push_back(
                plan.kept.contains(name)
                    ? fmt::format("{} = {} is taken as keep_own says, though {} is what makes a "
                                  "failover short",
                                  name, value, safe->second)
                    : fmt::format("{} = {} is not taken: {} is what makes a failover short "
                                  "(pgbouncer.keep_own: [{}] takes it)",
                                  name, value, safe->second, name));
        }
    }
    for (const auto& [name, value] : plan.user.databases)
        if (std::ranges::any_of(plan.databases, [&](const auto& one) { return one.name == name; }))
            lines.push_back(fmt::format("database {} is not taken: the gateway leads it", name));
    return lines;
}

namespace {

Result<std::string> databases_text(const IniPlan& plan) {
    std::string out = "\n[databases]\n";
    for (const auto& [name, value] : plan.user.databases)
        if (std::ranges::none_of(plan.databases, [&](const auto& one) { return one.name == name; }))
            out += fmt::format("{} = {}\n", name, value);
    for (const auto& one : plan.databases) {
        if (breaks_line(one.name + one.dbname + one.options) || one.name.contains('='))
            return fail(ErrorCode::invalid, "a database's name or options cannot be written");
        out += fmt::format("{} = {}", one.name, connection_string(place_of(one, plan.routes)));
        if (!one.dbname.empty())
            out += " dbname=" + quoted(one.dbname);
        else if (one.name != "*")
            out += " dbname=" + quoted(one.name);
        if (!one.options.empty()) out += " " + one.options;
        out += "\n";
    }
    // The last of all: whatever is wrong is before it.
    if (!plan.generation.empty())
        out += fmt::format("{} = {} dbname={}\n", marker, connection_string(nowhere),
                           quoted(plan.generation));
    return out;
}

}  // namespace

Result<std::string> render(const IniPlan& plan) {
    std::string out = "; written by relevo-gateway; what is changed here is lost\n\n[pgbouncer]\n";
    for (const auto& [name, value] : merged(plan)) {
        if (breaks_line(value) || breaks_line(name))
            return fail(ErrorCode::invalid,
                        fmt::format("the setting {} has a line break in it", name));
        out += fmt::format("{} = {}\n", name, value);
    }
    if (!plan.user.users.empty()) out += "\n[users]\n";
    for (const auto& [name, value] : plan.user.users) out += fmt::format("{} = {}\n", name, value);
    if (!plan.peers.empty()) out += "\n[peers]\n";
    for (std::size_t i = 0; i < plan.peers.size(); ++i)
        out +=
            fmt::format("{} = {}\n", i + 1, connection_string({plan.peers[i], plan.listen_port}));
    RLV_TRY(const auto databases, databases_text(plan));
    return out + databases;
}

}  // namespace relevo::pgbouncer
