#include "config/validate.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/text.h"
#include "config/backup.h"
#include "config/dynamic.h"
#include "config/node.h"
#include "config/probe.h"

namespace relevo::config {
namespace {

namespace fs = std::filesystem;

class Check {
public:
    Check(const LocalConfig& config, const ValidateOptions& options)
        : config_(config), options_(options) {
        if (const auto tree = parse_json(config.merged_json)) tree_ = *tree;
    }

    std::vector<Problem> run() {
        required();
        addresses();
        ports();
        programs();
        data_directory();
        backup();
        tags();
        initdb_options();
        bootstrap_dcs();
        etcd();
        return std::move(problems_);
    }

private:
    const LocalConfig& config_;
    const ValidateOptions& options_;
    Node tree_ = Node::map();
    std::vector<Problem> problems_;

    void problem(std::string path, std::string message) {
        problems_.push_back({config_.origin, std::move(path), std::move(message)});
    }

    void required() {
        for (const char* path : {"restapi.connect_address", "postgresql.connect_address",
                                 "postgresql.authentication.replication.username",
                                 "postgresql.authentication.superuser.username"}) {
            const Node* found = tree_.at(path);
            if (found == nullptr || found->text.empty())
                problem(path, "found nothing, expected a value");
        }
    }

    // What others are told must lead to this host, not to their own.
    void addresses() {
        for (const char* path : {"restapi.connect_address", "postgresql.connect_address",
                                 "postgresql.proxy_address"}) {
            const Node* found = tree_.at(path);
            const auto address = found != nullptr ? parse_address(found->text, 1) : std::nullopt;
            if (!address) continue;
            for (const char* host : {"127.0.0.1", "0.0.0.0", "*", "::1", "::", "localhost"})
                if (iequals(address->host, host))
                    problem(path,
                            fmt::format(
                                "found {}, expected an address under which the other members reach "
                                "this host",
                                address->host));
        }
    }

    void ports() {
        if (options_.ignore_listen_port) return;
        if (const auto why = why_not_listen(config_.restapi.listen))
            problem("restapi.listen", *why);
        for (const std::string& host : split(config_.postgres.listen_addresses, ',')) {
            const Address address{.host = std::string(trim(host)), .port = config_.postgres.port};
            if (const auto why = why_not_listen(address)) problem("postgresql.listen", *why);
        }
    }

    void programs() {
        const std::string& dir = config_.postgres.bin_dir;
        std::error_code error;
        if (!dir.empty() && !fs::is_directory(dir, error))
            return problem(
                "postgresql.bin_dir",
                fmt::format("{} is no directory; expected PostgreSQL's programs there", dir));
        std::vector<std::string> wanted = {"pg_ctl",        "initdb",   "pg_controldata",
                                           "pg_basebackup", "postgres", "pg_isready"};
        if (config_.postgres.use_pg_rewind) wanted.emplace_back("pg_rewind");
        for (const std::string& name : wanted) {
            if (!find_program(config_.postgres, name).empty()) continue;
            const std::string& program = config_.postgres.bin_name.at(name);
            problem(
                "postgresql.bin_dir",
                fmt::format(
                    "no program {} in {}; install PostgreSQL's server programs or correct bin_dir",
                    program, dir.empty() ? "PATH" : dir));
        }
    }

    // "postgres (PostgreSQL) 15.5 (Debian ...)" -> "15"; "9.6.24" -> "9.6"
    std::string version_of_programs() const {
        const std::string program = find_program(config_.postgres, "postgres");
        const auto line = program.empty() ? std::nullopt : first_line_of(program, "--version");
        if (!line) return {};
        const auto start = line->find_first_of("0123456789");
        if (start == std::string::npos) return {};
        std::string major =
            line->substr(start, line->find_first_not_of("0123456789", start) - start);
        if (major != "9") return major;
        return line->substr(start, 3);
    }

    void data_directory() {
        const std::string& dir = config_.postgres.data_dir;
        const char* const path = "postgresql.data_dir";
        std::error_code error;
        const auto status = fs::status(dir, error);
        if (!fs::exists(status)) {
            if (error && error != std::errc::no_such_file_or_directory)
                problem(path, fmt::format("{} cannot be looked at: {}", dir, error.message()));
            return;
        }
        if (!fs::is_directory(status)) return problem(path, fmt::format("{} is no directory", dir));
        fs::directory_iterator entries(dir, error);
        if (error)
            return problem(
                path, fmt::format("{} cannot be read: {}; run this as the user of PostgreSQL", dir,
                                  error.message()));
        if (entries == fs::directory_iterator()) return;
        std::ifstream file(dir + "/PG_VERSION");
        std::string version;
        if (!(file >> version))
            return problem(
                path, fmt::format(
                          "{} is not empty but holds no PG_VERSION; expected an empty directory or "
                          "one of PostgreSQL",
                          dir));
        const char* const wal = version.starts_with("9.") ? "pg_xlog" : "pg_wal";
        if (!fs::is_directory(dir + "/" + wal, error))
            problem(path,
                    fmt::format("{} holds no {}; it is damaged or no data directory", dir, wal));
        const std::string programs = version_of_programs();
        if (!programs.empty() && programs != version)
            problem(path, fmt::format("{} is of PostgreSQL {}, the programs are of {}; expected "
                                      "the same major version",
                                      dir, version, programs));
    }

    void backup() {
        const auto& backup = config_.backup;
        if (!backup.present) return;
        ports::PostgresConfig nowhere;  // pgBackRest is no program of PostgreSQL's
        if (find_program(nowhere, backup.program).empty())
            problem("backup.program",
                    fmt::format("no program {}{}; install pgBackRest or correct it", backup.program,
                                backup.program.contains('/') ? "" : " in PATH"));
        if (backup.config.empty()) return;
        std::ifstream file(backup.config);
        std::string line;
        bool section = false;
        while (std::getline(file, line)) section |= trim(line) == "[" + backup.stanza + "]";
        if (!file.is_open())
            problem("backup.config",
                    fmt::format("{} cannot be read; it is pgBackRest's own file, and this agent's "
                                "user needs it",
                                backup.config));
        else if (!section)
            problem("backup.config", fmt::format("{} has no section [{}]; give that, or the stanza "
                                                 "that it has as backup.stanza",
                                                 backup.config, backup.stanza));
    }

    void tags() {
        const Node* tags = tree_.find("tags");
        if (tags == nullptr) return;
        const auto both = [&](const char* one, const char* other) {
            if (tags->find(one) != nullptr && tags->find(other) != nullptr)
                problem("tags",
                        fmt::format("found both {} and {}, expected one of them", one, other));
        };
        both("nofailover", "failover_priority");
        both("nosync", "sync_priority");
    }

    void initdb_options() {
        for (const auto& [option, value] : config_.postgres.bootstrap.initdb)
            for (const char* forbidden : {"pgdata", "nosync", "pwfile", "sync-only", "version"})
                if (option == forbidden)
                    problem("bootstrap.initdb",
                            fmt::format("the option {} is the agent's own; leave it out", option));
    }

    void bootstrap_dcs() {
        if (config_.bootstrap_dcs_json.empty()) return;
        const auto meant = effective(config_, config_.bootstrap_dcs_json);
        if (!meant) return problem("bootstrap.dcs", meant.error().message);
        for (const std::string& note : meant->notes) problem("bootstrap.dcs", note);
    }

    void etcd() {
        for (const Address& host : config_.etcd3.hosts)
            if (const auto why = why_not_connect(host, options_.connect_timeout))
                problem("etcd3", fmt::format("{} {}", to_text(host), *why));
    }
};

}  // namespace

std::vector<Problem> validate(const LocalConfig& config, const ValidateOptions& options) {
    return Check(config, options).run();
}

std::string find_program(const ports::PostgresConfig& postgres, const std::string& name) {
    const auto renamed = postgres.bin_name.find(name);
    const std::string program = renamed == postgres.bin_name.end() ? name : renamed->second;
    std::vector<std::string> folders = {postgres.bin_dir};
    if (postgres.bin_dir.empty()) {
        const char* path = std::getenv("PATH");
        folders = split(path != nullptr ? path : "", ':');
    }
    if (program.starts_with('/')) folders = {""};
    for (const std::string& folder : folders) {
        const std::string full = folder.empty() ? program : folder + "/" + program;
        std::error_code error;
        if (full.contains('/') && fs::is_regular_file(full, error) &&
            ::access(full.c_str(), X_OK) == 0)
            return full;
    }
    return {};
}

}  // namespace relevo::config
