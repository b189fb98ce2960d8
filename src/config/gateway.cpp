#include "config/gateway.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <initializer_list>

#include "config/reader.h"

namespace relevo::config {
namespace {

using std::chrono::milliseconds;
using Problems = std::vector<Problem>;

// A misspelt key would be a setting that is not in force.
void only(const Node* node, const std::string& path, Problems& problems,
          std::initializer_list<std::string_view> known) {
    if (node == nullptr || !node->is(Node::Kind::map)) return;
    for (const auto& field : node->fields) {
        if (std::ranges::find(known, field.key) != known.end()) continue;
        std::string all;
        for (const auto& key : known) all += (all.empty() ? "" : ", ") + std::string(key);
        problems.push_back({field.value.where(), path.empty() ? field.key : path + "." + field.key,
                            "there is no such setting; there are " + all});
    }
}

void read_ms(Reader& reader, const char* key, milliseconds& out, std::int64_t least,
             std::int64_t most) {
    std::int64_t number = out.count();
    reader.integer(key, number, least, most, "ms");
    out = milliseconds(number);
}

void read_address(Reader& reader, const char* key, Address& out) {
    std::string text;
    reader.text(key, text);
    if (text.empty()) return;
    const auto read = parse_address(text, 0);
    if (!read) return reader.wrong(key, "host:port");
    out = *read;
    if (out.host.empty()) out.host = "*";
}

void read_members(Reader& reader, std::vector<std::string>& out) {
    std::vector<std::string> given;
    reader.texts("members", given, true);
    for (auto& text : given) {
        std::string scheme = "http://";
        for (const char* one : {"http://", "https://"}) {
            if (!text.starts_with(one)) continue;
            scheme = one;
            text.erase(0, scheme.size());
        }
        const auto place = parse_address(text.substr(0, text.find('/')), 8008);
        if (!place || place->host.empty())
            reader.problem("members",
                           fmt::format("{} is not the host:port of a member's REST API", text));
        else
            out.push_back(scheme + to_text(*place));
    }
    if (given.empty())
        reader.problem("members",
                       "is empty: name the REST API of at least one member (pg-node-1:8008)");
}

void read_databases(Reader& reader, const Node* tree, GatewayConfig& out, Problems& problems) {
    const Node* map = tree->find("databases");
    if (map == nullptr || !map->is(Node::Kind::map) || map->fields.empty())
        return reader.problem("databases",
                              "is empty: name what clients connect to (workflow: {to: primary})");
    for (const auto& [name, value] : map->fields) {
        const std::string path = "databases." + name;
        GatewayConfig::Database made;
        made.name = name;
        std::string to = "primary";
        only(&value, path, problems, {"to", "dbname", "options"});
        Reader one(&value, path, problems);
        one.word("to", to, {"primary", "replicas"});
        made.to = to == "replicas" ? GatewayConfig::To::replicas : GatewayConfig::To::primary;
        one.text("dbname", made.dbname);
        one.text("options", made.options);
        if (name == "*" || name == "pgbouncer" || name.contains('='))
            problems.push_back({value.where(), path,
                                "cannot be led: give each database by its name (PgBouncer holds "
                                "no others)"});
        for (const char* word : {"host=", "port=", "host =", "port ="})
            if (made.options.contains(word))
                problems.push_back(
                    {value.where(), path + ".options", "the gateway says where it leads"});
        out.databases.push_back(std::move(made));
    }
}

void read_unit(Reader& reader, GatewayConfig::PgBouncer& out) {
    reader.text("unit", out.unit);
    if (out.unit.ends_with(".service")) out.unit.resize(out.unit.size() - 8);
    if (out.unit.empty()) return;
    // It stands in commands that an operator copies.
    const bool name = std::ranges::all_of(out.unit, [](unsigned char c) {
        return std::isalnum(c) || c == '-' || c == '_' || c == '.' || c == '@' || c == ':';
    });
    if (!name || std::ranges::count(out.unit, '@') > 1)
        reader.problem("unit", "is not the name of a unit of systemd's (pgbouncer-relevo@)");
    if (reader.has("stop_with_gateway"))
        reader.problem("stop_with_gateway",
                       "is for a PgBouncer that the gateway starts, and unit "
                       "says that systemd does");
}

void read_pgbouncer(Reader reader, const Node* node, GatewayConfig::PgBouncer& out,
                    Problems& problems) {
    only(node, "pgbouncer", problems,
         {"program", "unit", "directory", "listen", "processes", "include", "keep_own", "settings",
          "stop_with_gateway"});
    reader.text("program", out.program);
    read_unit(reader, out);
    reader.text("directory", out.directory);
    if (!out.directory.starts_with('/')) reader.problem("directory", "must be an absolute path");
    // The socket's path must fit into 107 bytes.
    if (out.directory.size() > 80) reader.problem("directory", "is longer than 80 bytes");
    read_address(reader, "listen", out.listen);
    reader.integer("processes", out.processes, 1, 64);
    reader.text("include", out.include);
    reader.texts("keep_own", out.keep_own);
    reader.map_of_texts("settings", out.settings);
    reader.boolean("stop_with_gateway", out.stop_with_gateway);
    if (!out.unit.empty() && out.processes > 1 && !out.unit.contains('@'))
        reader.problem("unit", fmt::format("runs one process, and processes is {}: name a template "
                                           "(\"{}@\")",
                                           out.processes, out.unit));
}

void read_rest(Reader reader, const Node* node, GatewayConfig::RestApi& out, Problems& problems) {
    only(node, "restapi", problems,
         {"username", "password", "cafile", "certfile", "keyfile", "keyfile_password", "insecure"});
    reader.text("username", out.username);
    reader.text("password", out.password);
    reader.text("cafile", out.cafile);
    reader.text("certfile", out.certfile);
    reader.text("keyfile", out.keyfile);
    reader.text("keyfile_password", out.keyfile_password);
    reader.boolean("insecure", out.insecure);
}

void read_routing(Reader& top, const Node& tree, GatewayConfig& out, Problems& problems) {
    auto reader = top.section("switchover");
    only(tree.find("switchover"), "switchover", problems, {"drain", "after_drain", "hold_max"});
    read_ms(reader, "drain", out.switchover.drain, 0, 60'000);
    read_ms(reader, "hold_max", out.switchover.hold_max, 100, 600'000);
    std::string after = "call_off";
    reader.word("after_drain", after, {"call_off", "let_through"});
    using After = GatewayConfig::AfterDrain;
    out.switchover.after_drain = after == "call_off" ? After::call_off : After::let_through;

    auto reads = top.section("reads");
    only(tree.find("reads"), "reads", problems, {"policy", "lag_bytes", "lag"});
    std::string policy = "prefer-replica";
    reads.word("policy", policy, {"replica-only", "prefer-replica", "any"});
    using Reads = GatewayConfig::Reads;
    out.reads.policy = policy == "any"            ? Reads::any
                       : policy == "replica-only" ? Reads::replica_only
                                                  : Reads::prefer_replica;
    reads.integer("lag_bytes", out.reads.lag_bytes, 0, std::int64_t{1} << 50, "B");
    read_ms(reads, "lag", out.reads.lag, 0, 24LL * 3600 * 1000);
}

}  // namespace

std::expected<GatewayConfig, std::vector<Problem>> read_gateway(std::string_view yaml,
                                                                const std::string& source,
                                                                const Environment& environment,
                                                                const std::string& host) {
    auto tree = parse_yaml(yaml, source, {.environment = &environment});
    if (!tree) return std::unexpected(std::move(tree).error());
    Problems problems;
    if (!tree->is(Node::Kind::map)) {
        problems.push_back({source, "", "expected a mapping (members: [...], databases: {...})"});
        return std::unexpected(std::move(problems));
    }
    only(&*tree, "", problems,
         {"name", "scope", "members", "listen", "restapi", "user", "pgbouncer", "databases",
          "switchover", "reads", "log"});
    GatewayConfig out;
    Reader reader(&*tree, "", problems);
    out.name = host;
    reader.text("name", out.name);
    reader.text("scope", out.scope);
    reader.text("user", out.user);
    read_members(reader, out.members);
    read_address(reader, "listen", out.listen);
    read_rest(reader.section("restapi"), tree->find("restapi"), out.restapi, problems);
    read_pgbouncer(reader.section("pgbouncer"), tree->find("pgbouncer"), out.pgbouncer, problems);
    read_databases(reader, &*tree, out, problems);
    read_routing(reader, *tree, out, problems);
    auto log = reader.section("log");
    only(tree->find("log"), "log", problems, {"level"});
    log.word("level", out.log_level, {"DEBUG", "INFO", "WARNING", "ERROR"});
    for (auto& problem : problems)
        if (problem.where.empty()) problem.where = source;
    if (!problems.empty()) return std::unexpected(std::move(problems));
    return out;
}

std::expected<GatewayConfig, std::vector<Problem>> load_gateway(const std::string& path,
                                                                const Environment& environment,
                                                                const std::string& host) {
    constexpr std::size_t size_max = 1 << 20;
    std::string text(size_max, '\0');
    std::FILE* file = std::fopen(path.c_str(), "rb");
    if (file == nullptr)
        return std::unexpected(
            Problems{{path, "", fmt::format("cannot be read: {}", std::strerror(errno))}});
    const auto got = std::fread(text.data(), 1, text.size(), file);
    const bool bad = std::ferror(file) != 0;
    std::fclose(file);
    if (bad || got == size_max)
        return std::unexpected(
            Problems{{path, "", bad ? "cannot be read" : "is longer than 1 MiB"}});
    text.resize(got);
    return read_gateway(text, path, environment, host);
}

}  // namespace relevo::config
