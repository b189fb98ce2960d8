#include "config/backup.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "base/text.h"
#include "cluster/cron.h"
#include "config/reader.h"
#include "config/sections.h"
#include "config/zone.h"

namespace relevo::config {
namespace {

using ports::BackupConfig;
using Problems = std::vector<Problem>;

// The longest that a standby's recovery waits for one segment. pgBackRest's own patience with an S3
// that hangs is minutes, and nobody can be promoted before recovery has its answer.
constexpr int fetch_deadline_s = 60;
// A planned switchover holds clients up until the old primary has ended. A segment is archived in
// less where the repository is well.
constexpr std::chrono::seconds archiver_patience{2};
// A few segments of the usual size: of less, one slow answer would make a hole.
constexpr std::int64_t least_queue_bytes = std::int64_t{64} << 20U;
constexpr auto npos = std::string::npos;

bool is_option_name(std::string_view text) {
    return !text.empty() && text.front() >= 'a' && text.front() <= 'z' && text.back() != '-' &&
           std::ranges::all_of(text, [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
           });
}

// It is a section's name in a file, a directory's in the repository, and a word for the shell.
bool is_stanza_name(std::string_view text) {
    return !text.empty() && text.size() <= 128 && text.front() != '-' && text.front() != '.' &&
           text != "global" && std::ranges::all_of(text, [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '-' || c == '_' || c == '.';
           });
}

// Why an option is not the operator's to give here; empty: it is.
std::string_view why_owned(std::string_view name) {
    if (name == "stanza") return "give backup.stanza";
    if (name == "config" || name == "config-path" || name == "config-include-path")
        return "give backup.config, and nothing is rendered";
    if (name == "archive-push-queue-max" || name == "archive-queue-max")
        return "give backup.archive_queue: drop and archive_queue_max, so that what is dropped is "
               "told, and a full backup made";
    if (!name.starts_with("pg")) return {};
    auto rest = name.substr(2);
    while (!rest.empty() && rest.front() >= '0' && rest.front() <= '9') rest.remove_prefix(1);
    for (const std::string_view own : {"-path", "-port", "-socket-path", "-user", "-database"})
        if (rest == own) return "it is taken from the section postgresql";
    if (rest.starts_with("-host") || rest == "-local")
        return "how a standby reaches the primary's host is given in backup.primary_host, as "
               "host-type, host-port and so on";
    return {};
}

// pgBackRest's file has a line for each value: it can hold no newline.
std::optional<std::string> option_text(const Node& node) {
    auto text = node.is(Node::Kind::boolean)
                    ? std::optional<std::string>(node.text == "true" ? "y" : "n")
                    : scalar_text(node);
    if (!text || trim(*text).empty() || text->find_first_of("\r\n") != std::string::npos)
        return std::nullopt;
    return text;
}

class OptionReader {
public:
    OptionReader(std::string path, Problems& problems)
        : path_(std::move(path)), problems_(problems) {}

    // Values are never shown: keys and passphrases are among them.
    void read(const Node& map, BackupConfig::Options& out,
              std::map<std::string, BackupConfig::Options>* by_command) {
        for (const auto& [name, value] : map.fields) {
            // No command has a number in its name; many options have.
            const bool command = is_option_name(name) && name.find_first_of("0123456789") == npos;
            if (value.is(Node::Kind::map) && by_command != nullptr && command) {
                OptionReader(path_ + "." + name, problems_)
                    .read(value, (*by_command)[name], nullptr);
                continue;
            }
            if (const auto values = take(name, value)) out[name] = *values;
        }
    }

private:
    std::string path_;
    Problems& problems_;

    void wrong(const std::string& name, const Node& node, std::string message) {
        problems_.push_back({node.where(), path_ + "." + name, std::move(message)});
    }

    std::optional<BackupConfig::Values> take(const std::string& name, const Node& node) {
        if (!is_option_name(name)) {
            wrong(name, node,
                  "is no option's name; expected pgBackRest's own without dashes before it, as in "
                  "repo1-retention-full");
            return std::nullopt;
        }
        if (const auto why = why_owned(name); !why.empty()) {
            wrong(name, node, fmt::format("is the agent's own; leave it out: {}", why));
            return std::nullopt;
        }
        const bool several = node.is(Node::Kind::list) && !node.items.empty();
        BackupConfig::Values values;
        for (const Node& each : several ? node.items : std::vector<Node>{node}) {
            auto text = option_text(each);
            if (!text) {
                wrong(name, node,
                      "has no value that pgBackRest's file can hold: expected one line of text, a "
                      "number, true or false, or a list of these");
                return std::nullopt;
            }
            values.push_back(*std::move(text));
        }
        return values;
    }
};

// One of the two alone is a repository in the clear that its owner believes to be encrypted, or one
// that nobody can open.
void check_ciphers(Reader& section, const BackupConfig& out) {
    for (const auto& [name, values] : out.options) {
        const bool type = name.ends_with("-cipher-type") && values.front() != "none";
        if (!type && !name.ends_with("-cipher-pass")) continue;
        const auto stem = name.substr(0, name.rfind('-'));
        const auto other = stem + (type ? "-pass" : "-type");
        const auto found = out.options.find(other);
        if (found != out.options.end() && found->second.front() != "none") continue;
        section.problem("options",
                        type ? fmt::format("{} is given without {}: add it, as in "
                                           "{}: \"${{BACKUP_PASSPHRASE}}\"",
                                           name, other, other)
                             : fmt::format("{} is given without {}: nothing would be encrypted; "
                                           "add {}: aes-256-cbc",
                                           name, other, other));
    }
}

void read_primary_host(Reader& section, BackupConfig& out, Problems& problems) {
    const Node* node = section.raw("primary_host");
    if (node == nullptr) return;
    if (!node->is(Node::Kind::map)) return section.wrong("primary_host", "a mapping");
    OptionReader(section.path("primary_host"), problems).read(*node, out.primary_host, nullptr);
    for (const auto& [name, values] : out.primary_host)
        if (!name.starts_with("host-") && name != "path" && name != "socket-path" &&
            name != "user" && name != "database")
            section.problem("primary_host",
                            fmt::format("found {}, expected pgBackRest's options for a pg-host "
                                        "without pg in front: host-type, host-port and so on; "
                                        "path, socket-path, user, database where they are not as "
                                        "on this host",
                                        name));
}

void read_when(Reader& section, const char* key, std::string& out) {
    const Node* node = section.raw(key);
    if (node == nullptr) return;
    if (node->is(Node::Kind::boolean) && node->text == "false") {
        out.clear();
    } else if (node->is(Node::Kind::text) && !trim(node->text).empty()) {
        out = std::string(trim(node->text));
        if (const auto read = cluster::Cron::parse(out); !read)
            section.problem(key, read.error().message);
    } else {
        section.wrong(key, "a cron expression in quotes, as in \"0 1 * * *\", or false for never");
    }
}

// By a schedule only where the section is there.
void read_proof(Reader& section, BackupConfig::Proof& out) {
    if (!section.has("proof")) return;
    Reader proof = section.section("proof");
    out.schedule = "0 4 * * 0";
    read_when(proof, "schedule", out.schedule);
    proof.text("on", out.on);
    if (out.on == "replica") out.on.clear();
    proof.boolean("on_only_member", out.on_only_member);
    proof.text("directory", out.directory);
    if (!out.directory.empty() && !out.directory.starts_with('/'))
        proof.wrong("directory", "an absolute path, as in /srv/proofs");
    proof.text("check", out.check);
    proof.text("check_file", out.check_file);
    if (!out.check_file.empty() && !out.check_file.starts_with('/'))
        proof.wrong("check_file", "an absolute path, as in /etc/relevo/check.sql");
    if (!out.check.empty() && !out.check_file.empty())
        proof.problem("check_file", "found beside check: give one of them");
    proof.text("database", out.database);
    if (out.database.empty()) proof.wrong("database", "a database's name");
    proof.boolean("amcheck", out.amcheck);
    proof.seconds("timeout", out.timeout, 60);
}

void read_from(Reader& section, BackupConfig& out) {
    std::string from = "prefer-standby";
    section.word("from", from, {"prefer-standby", "standby", "primary"});
    out.from = from == "primary"   ? BackupConfig::From::primary
               : from == "standby" ? BackupConfig::From::standby
                                   : BackupConfig::From::prefer_standby;
    // With his own file too: a pg2-host in it is one host, and the primary is another one after a
    // failover. What primary_host says is added to the file, for whoever leads.
    if (out.from == BackupConfig::From::standby && out.primary_host.empty())
        section.problem("from",
                        fmt::format("a backup from a standby takes part of the files from the "
                                    "primary's host: say in primary_host how pgBackRest gets there "
                                    "(host-type: tls, ...){}, or choose prefer-standby or primary",
                                    out.config.empty() ? ""
                                                       : "; what backup.config says of other hosts "
                                                         "does not follow the leader, leave it "
                                                         "out there"));
}

// Without a bound it would be somebody's guess at the size of his disk.
void read_queue(Reader& section, BackupConfig& out) {
    std::string queue = "keep";
    section.word("archive_queue", queue, {"keep", "drop"});
    const bool drops = queue == "drop";
    out.archive_queue = drops ? BackupConfig::Queue::drop : BackupConfig::Queue::keep;
    std::int64_t most = 0;
    section.integer("archive_queue_max", most, least_queue_bytes, INT64_MAX, "B");
    out.archive_queue_max_bytes = static_cast<std::uint64_t>(most);
    if (drops && !section.has("archive_queue_max"))
        section.problem("archive_queue",
                        "drop needs a bound: give archive_queue_max, as in 16GB, well below what "
                        "the disk of pg_wal has room for");
    if (!drops && section.has("archive_queue_max"))
        section.problem("archive_queue_max",
                        "found without archive_queue: drop; WAL that waits is kept then, whatever "
                        "its size: leave it out, or add archive_queue: drop");
}

std::string pgbackrest(const LocalConfig& local) {
    return fmt::format("{} {} {}", word_in_setting(local.backup.program),
                       word_in_setting("--config=" + backup_file(local)),
                       word_in_setting("--stanza=" + local.backup.stanza));
}

// On the command alone, and not in the file: what the agent archives itself is never dropped.
std::string queue_bound(const LocalConfig& local) {
    if (local.backup.archive_queue != BackupConfig::Queue::drop) return {};
    return fmt::format(" --archive-push-queue-max={}", local.backup.archive_queue_max_bytes);
}

// `|| exit 1`: to PostgreSQL a command that was ended by a signal is the end of recovery, not a
// file that is missing.
std::string fetch(const LocalConfig& local) {
    return fmt::format("timeout --foreground -k 2 {} {} archive-get %f \"%p\"", fetch_deadline_s,
                       pgbackrest(local));
}

}  // namespace

void read_backup(const Node& tree, const std::string& scope, BackupConfig& out,
                 Problems& problems) {
    if (tree.find("backup") == nullptr) return;
    Reader section(tree.find("backup"), "backup", problems);
    out.present = true;
    out.stanza = scope;
    section.text("stanza", out.stanza);
    if (!is_stanza_name(out.stanza))
        section.problem("stanza",
                        section.has("stanza")
                            ? "is no stanza's name: expected letters, digits, '-', '_' and '.'"
                            : "the scope cannot be a stanza's name (letters, digits, '-', '_', "
                              "'.'): give backup.stanza");
    section.text("program", out.program);
    if (out.program.empty()) section.wrong("program", "pgbackrest, or the path of it");
    section.text("config", out.config);
    if (!out.config.empty() && !out.config.starts_with('/'))
        section.wrong("config", "an absolute path, as in /etc/pgbackrest/pgbackrest.conf");
    if (const Node* options = section.raw("options")) {
        if (!options->is(Node::Kind::map))
            section.wrong("options", "a mapping of pgBackRest's options");
        else if (!out.config.empty())
            section.problem("options",
                            "found beside backup.config, which is used as it is: put the options "
                            "there, or leave out config");
        else
            OptionReader("backup.options", problems)
                .read(*options, out.options, &out.command_options);
    }
    check_ciphers(section, out);
    read_primary_host(section, out, problems);
    Reader schedule = section.section("schedule");
    read_when(schedule, "full", out.full);
    read_when(schedule, "differential", out.differential);
    read_when(schedule, "incremental", out.incremental);
    schedule.text("timezone", out.timezone);
    if (const auto zone = load_zone(out.timezone); !zone)
        schedule.problem("timezone", zone.error().message);
    read_from(section, out);
    section.seconds("archive_timeout", out.archive_timeout, 1);
    read_queue(section, out);
    read_proof(section, out.proof);
}

std::string backup_directory(const LocalConfig& local) {
    return path_beside(local.postgres.data_dir, ".pgbackrest");
}

std::string backup_file(const LocalConfig& local) {
    return local.backup.config.empty() ? backup_directory(local) + "/pgbackrest.conf"
                                       : local.backup.config;
}

std::string backup_gate(const LocalConfig& local) { return backup_directory(local) + "/fetch"; }

namespace {

// The replica method `pgbackrest` without a command of its own.
void copy_from_repository(const LocalConfig& local, ports::PostgresConfig& out,
                          std::vector<std::string>& notes) {
    const auto found = out.replica_methods.find("pgbackrest");
    if (found == out.replica_methods.end() || !found->second.command.empty()) return;
    found->second.from_repository = local.backup.present;
    if (!local.backup.present)
        notes.emplace_back(
            "create_replica_methods names pgbackrest: without a section `backup` it needs "
            "postgresql.pgbackrest.command; the method is skipped");
}

}  // namespace

void archive_with(const LocalConfig& local, ports::PostgresConfig& out,
                  std::vector<std::string>& notes) {
    copy_from_repository(local, out, notes);
    if (!local.backup.present) return;
    auto& base = out.parameters.base;
    base.try_emplace("archive_mode", "on");
    if (parse_bool(base["archive_mode"]) == false)
        notes.emplace_back(
            "archive_mode is off in postgresql.parameters: no WAL reaches the repository, and no "
            "backup can be made. Take it out");
    base.try_emplace("archive_timeout", std::to_string(local.backup.archive_timeout.count()));
    const auto given = [&](const char* guc) {
        const auto found = base.find(guc);
        return found != base.end() && !found->second.empty();
    };
    const bool drops = local.backup.archive_queue == ports::BackupConfig::Queue::drop;
    if (!given("archive_library") && !given("archive_command"))
        base["archive_command"] = pgbackrest(local) + queue_bound(local) + " archive-push \"%p\"";
    else if (drops)
        notes.emplace_back(
            "backup.archive_queue: drop has no effect: archive_command is your own in "
            "postgresql.parameters; take it out, or give it --archive-push-queue-max yourself");
    out.archiver_patience = archiver_patience;
    if (out.recovery_conf.contains("restore_command")) return;
    // The gate's lines say what is not fetched. 1: none of them matches; 2: the gate is not there.
    out.recovery_conf["restore_command"] =
        fmt::format("[ -e {0} ] && {{ echo %f | grep -qxf {0}; [ $? -eq 1 ]; }} && {1} || exit 1",
                    word_in_setting(backup_gate(local)), fetch(local));
    out.fetch_command = fetch(local) + " || exit 1";
}

}  // namespace relevo::config
