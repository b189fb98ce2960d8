#include "pgbackrest/config_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace relevo::pgbackrest {
namespace {

using Options = ports::BackupConfig::Options;

void add(std::string& out, const Options& options) {
    for (const auto& [name, values] : options)
        for (const auto& value : values) out += fmt::format("{}={}\n", name, value);
}

// "repo2-s3-bucket" -> "repo2"; options without a number mean repo1.
std::set<std::string> repositories(const Options& options) {
    std::set<std::string> out;
    for (const auto& [name, values] : options) {
        if (!name.starts_with("repo")) continue;
        const auto dash = name.find('-');
        const auto stem = name.substr(0, dash);
        out.insert(stem == "repo" ? "repo1" : stem);
    }
    if (out.empty()) out.insert("repo1");
    return out;
}

// What holds unless the operator says otherwise.
Options defaults(const Settings& settings) {
    Options out;
    // Nothing of a member's is shared with another's on the same host, and no file grows without
    // end: what pgBackRest has to say is in our log.
    out["lock-path"] = {settings.directory + "/lock"};
    out["spool-path"] = {settings.directory + "/spool"};
    out["log-path"] = {settings.directory + "/log"};
    out["log-level-file"] = {"off"};
    out["compress-type"] = {"lz4"};
    out["process-max"] = {"2"};
    out["start-fast"] = {"y"};  // else a backup begins when the next checkpoint is due
    for (const auto& stem : repositories(settings.config.options))
        out[stem + "-retention-full"] = {"7"};
    return out;
}

std::string escaped(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c == ':' || c == '\\') out += '\\';
        out += c;
    }
    return out;
}

}  // namespace

std::string render(const Settings& settings) {
    Options global = settings.config.options;
    for (auto& [name, values] : defaults(settings)) global.try_emplace(name, std::move(values));
    std::string out =
        "# Written by relevo out of the section `backup`; changes to this file do not last.\n"
        "[global]\n";
    add(out, global);
    for (const auto& [command, options] : settings.config.command_options) {
        out += fmt::format("\n[global:{}]\n", command);
        add(out, options);
    }
    out += fmt::format("\n[{}]\n", settings.config.stanza);
    Options server;
    server["pg1-path"] = {settings.data_dir};
    server["pg1-port"] = {std::to_string(settings.port)};
    if (!settings.socket_dir.empty()) server["pg1-socket-path"] = {settings.socket_dir};
    if (!settings.user.empty()) server["pg1-user"] = {settings.user};
    server["pg1-database"] = {settings.database};
    add(out, server);
    return out;
}

// Any host: libpq's name for a unix socket depends on where it is.
std::string pgpass(const Settings& settings) {
    if (settings.password.empty()) return {};
    return fmt::format("*:*:*:{}:{}\n", settings.user.empty() ? "*" : escaped(settings.user),
                       escaped(settings.password));
}

}  // namespace relevo::pgbackrest
