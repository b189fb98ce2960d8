#include "postgres/commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text.h"

namespace relevo::postgres {

namespace {

template <std::size_t n>
bool among(const std::array<std::string_view, n>& names, std::string_view name) {
    return std::ranges::find(names, name) != names.end();
}

std::string option(const std::string& name, const std::string& value) {
    return value.empty() ? "--" + name : fmt::format("--{}={}", name, value);
}

// One character of a word: how far it reaches and what it stands for.
void take_quoted(std::string_view text, std::size_t& at, std::string& word, bool& closed) {
    const char quote = text[at++];
    for (; at < text.size() && text[at] != quote; ++at) {
        if (quote == '"' && text[at] == '\\' && at + 1 < text.size() &&
            std::string_view("\"\\$`").contains(text[at + 1]))
            ++at;
        word += text[at];
    }
    closed = at < text.size();
}

}  // namespace

std::optional<std::vector<std::string>> shell_split(std::string_view text) {
    std::vector<std::string> words;
    std::string word;
    bool inside = false;
    for (std::size_t at = 0; at < text.size(); ++at) {
        const char c = text[at];
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
            if (inside) words.push_back(std::exchange(word, {}));
            inside = false;
            continue;
        }
        inside = true;
        if (c == '\'' || c == '"') {
            bool closed = false;
            take_quoted(text, at, word, closed);
            if (!closed) return std::nullopt;
        } else if (c == '\\') {
            if (++at >= text.size()) return std::nullopt;
            word += text[at];
        } else {
            word += c;
        }
    }
    if (inside) words.push_back(word);
    return words;
}

Result<std::vector<std::string>> initdb_arguments(const ports::PostgresConfig& config,
                                                  const std::string& password_file) {
    static constexpr std::array<std::string_view, 5> forbidden{"pgdata", "nosync", "pwfile",
                                                               "sync-only", "version"};
    std::vector<std::string> arguments{"--pgdata=" + config.data_dir};
    if (!config.superuser.username.empty())
        arguments.push_back("--username=" + config.superuser.username);
    if (!password_file.empty()) arguments.push_back("--pwfile=" + password_file);
    bool syncs = false;
    for (const auto& [given, value] : config.bootstrap.initdb) {
        std::string name = given;
        while (name.starts_with('-')) name.erase(0, 1);
        if (among(forbidden, name))
            return fail(
                ErrorCode::invalid,
                fmt::format("bootstrap.initdb: the option {} belongs to the agent; remove it",
                            name));
        if (name == "username" && !config.superuser.username.empty()) continue;
        syncs = syncs || name == "no-sync" || name == "sync-method";
        arguments.push_back(option(name, value));
    }
    if (!syncs) arguments.emplace_back("--no-sync");
    return arguments;
}

Result<std::vector<std::string>> bootstrap_command(const ports::PostgresConfig& config) {
    const auto& method = *config.bootstrap.custom;
    auto words = shell_split(method.command);
    if (!words || words->empty())
        return fail(ErrorCode::invalid,
                    fmt::format("bootstrap.{}.command is empty or has an open quote", method.name));
    if (!method.no_params) {
        words->push_back("--scope=" + config.scope);
        words->push_back("--datadir=" + config.data_dir);
    }
    for (const auto& [name, value] : method.options)
        words->push_back(fmt::format("--{}={}", name, value));
    return *std::move(words);
}

std::vector<std::string> basebackup_arguments(const ports::PostgresConfig& config,
                                              const std::string& conninfo,
                                              const std::string& target, int version,
                                              std::vector<std::string>& warnings) {
    static constexpr std::array<std::string_view, 11> forbidden{
        "pgdata", "format", "wal-method", "xlog-method", "gzip",    "version",
        "dbname", "host",   "port",       "username",    "password"};
    std::vector<std::string> arguments{"--pgdata=" + target, "-X", "stream",
                                       "--dbname=" + conninfo};
    bool checkpoint = false;
    bool syncs = false;
    bool tells = false;
    for (const auto& [given, value] : config.basebackup) {
        std::string name = given;
        while (name.starts_with('-')) name.erase(0, 1);
        const bool compression =
            name == "compress" && (version < 150000 || !value.starts_with("server-"));
        if (among(forbidden, name) || compression) {
            warnings.push_back(
                fmt::format("postgresql.basebackup: the option {} is not possible here", name));
            continue;
        }
        checkpoint = checkpoint || name == "checkpoint";
        tells = tells || name == "progress";
        syncs = syncs || name == "no-sync" || name == "sync-method";
        arguments.push_back(option(name, value));
    }
    // A spread checkpoint on the source lets a new member wait minutes for its first byte.
    if (!checkpoint) arguments.emplace_back("--checkpoint=fast");
    if (!syncs) arguments.emplace_back("--no-sync");
    if (!tells) arguments.emplace_back("--progress");  // copy_progress.h reads it
    return arguments;
}

Result<std::vector<std::string>> replica_method_command(const ports::PostgresConfig& config,
                                                        const ports::ReplicaMethod& method,
                                                        const std::string& conninfo) {
    auto words = shell_split(method.command);
    if (!words || words->empty())
        return fail(
            ErrorCode::invalid,
            fmt::format("postgresql.{}.command is empty or has an open quote", method.name));
    for (const auto& [name, value] : method.options)
        words->push_back(fmt::format("--{}={}", name, value));
    if (!method.no_params) {
        words->push_back("--scope=" + config.scope);
        words->push_back("--role=replica");
        words->push_back("--datadir=" + config.data_dir);
        words->push_back("--connstring=" + conninfo);
    }
    return *std::move(words);
}

std::string expand_wal_command(std::string_view command, std::string_view path,
                               std::string_view file, std::string_view last_restart) {
    std::string text;
    for (std::size_t at = 0; at < command.size(); ++at) {
        if (command[at] != '%' || at + 1 >= command.size()) {
            text += command[at];
            continue;
        }
        switch (command[++at]) {
            case 'p': text += path; break;
            case 'f': text += file; break;
            case 'r': text += last_restart; break;
            case '%': text += '%'; break;
            default: text += '%', text += command[at];
        }
    }
    return text;
}

std::string quote_literal(std::string_view text) {
    std::string quoted = text.contains('\\') ? "E'" : "'";
    for (const char c : text) {
        if (c == '\'' || c == '\\') quoted += c;
        quoted += c;
    }
    return quoted + "'";
}

std::string quote_identifier(std::string_view text) {
    std::string quoted = "\"";
    for (const char c : text) {
        if (c == '"') quoted += c;
        quoted += c;
    }
    return quoted + "\"";
}

std::string role_statement(const std::string& user, const std::string& password,
                           std::string_view options) {
    const std::string with = password.empty()
                                 ? std::string(options)
                                 : fmt::format("{} PASSWORD {}", options, quote_literal(password));
    // The body is itself a literal: a password with $$ in it must not end it.
    const std::string body = fmt::format(
        "BEGIN\n"
        "  SET LOCAL synchronous_commit = 'local';\n"
        "  PERFORM 1 FROM pg_catalog.pg_authid WHERE rolname = {0};\n"
        "  IF FOUND THEN ALTER ROLE {1} WITH {2};\n"
        "  ELSE CREATE ROLE {1} WITH {2};\n"
        "  END IF;\nEND;",
        quote_literal(user), quote_identifier(user), with);
    return "DO " + quote_literal(body);
}

}  // namespace relevo::postgres
