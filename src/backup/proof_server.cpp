#include "backup/proof_server.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "backup/stand_alone.h"
#include "base/text.h"

namespace relevo::backup {
namespace {

std::optional<std::int64_t> number_of(std::string_view text, std::string_view label) {
    for (const auto& line : split(text, '\n')) {
        const auto plain = trim(line);
        if (!plain.starts_with(label)) continue;
        return parse_decimal(trim(plain.substr(label.size())));
    }
    return std::nullopt;
}

std::string_view name_in(std::string_view line) {
    line = trim(line);
    return line.substr(0, std::min(line.find_first_of(" \t="), line.size()));
}

constexpr std::size_t line_max = 8UL << 10U, complaint_max = 600;

}  // namespace

Result<ControlData> parse_control_data(std::string_view text) {
    ControlData out;
    struct Wanted {
        const char* label;
        int* into;
    };
    const Wanted wanted[] = {{"max_connections setting:", &out.max_connections},
                             {"max_worker_processes setting:", &out.max_worker_processes},
                             {"max_wal_senders setting:", &out.max_wal_senders},
                             {"max_prepared_xacts setting:", &out.max_prepared_transactions},
                             {"max_locks_per_xact setting:", &out.max_locks_per_transaction}};
    constexpr std::int64_t most = 1'000'000;
    for (const auto& one : wanted) {
        const auto number = number_of(text, one.label);
        if (!number || *number < 0 || *number > most)
            return fail(ErrorCode::invalid,
                        fmt::format("pg_controldata does not tell \"{}\"", one.label));
        *one.into = static_cast<int>(*number);
    }
    const auto bytes = number_of(text, "Bytes per WAL segment:");
    constexpr std::int64_t least = 1 << 20, largest = 1 << 30;
    if (!bytes || *bytes < least || *bytes > largest)
        return fail(ErrorCode::invalid, "pg_controldata does not tell \"Bytes per WAL segment:\"");
    out.segment_bytes = static_cast<std::uint64_t>(*bytes);
    return out;
}

Result<int> parse_data_version(std::string_view text) {
    const auto plain = trim(text);
    const auto major = parse_decimal(plain.substr(0, plain.find('.')));
    constexpr int first = 12, last = 999;
    if (!major || *major < 0 || *major > last)
        return fail(ErrorCode::invalid, "PG_VERSION of what was restored holds no version");
    if (*major < first)
        return fail(ErrorCode::invalid,
                    fmt::format("what was restored is of PostgreSQL {}: a proof of restore needs "
                                "12 or later",
                                plain));
    return static_cast<int>(*major);
}

std::string proof_config(const ProofServer& server) {
    const auto& control = server.control;
    const auto segment_mb = server.control.segment_bytes >> 20U;
    std::string out = "# Written by relevo for a proof of restore. It lives as long as that.\n";
    const auto set = [&](std::string_view name, std::string_view value) {
        out += fmt::format("{} = {}\n", name, conf_quoted(value));
    };
    set("data_directory", server.data);
    set("hba_file", server.hba_file);
    set("ident_file", server.ident_file);
    set("cluster_name", "proof of restore");
    // Nobody gets in but who may enter the directory of its socket.
    set("listen_addresses", "");
    set("port", std::to_string(proof_port));
    set("unix_socket_directories", server.socket_directory);
    set("unix_socket_permissions", "0700");
    set("ssl", "off");
    // Nothing gets out: no archive, no primary, no slot of a publisher, no work of an extension's.
    set("archive_mode", "off");
    set("archive_command", "false");
    set("primary_conninfo", "");
    set("primary_slot_name", "");
    set("synchronous_standby_names", "");
    set("max_logical_replication_workers", "0");
    set("max_wal_senders", "0");
    set("shared_preload_libraries", "");
    set("session_preload_libraries", "");
    set("local_preload_libraries", "");
    if (server.version >= 15) set("archive_library", "");
    if (server.version >= 17) set("event_triggers", "off");
    // Not asked for what a standby would need of its primary's: nobody reads before the end.
    set("hot_standby", "off");
    set("max_connections", std::to_string(std::max(20, control.max_connections)));
    set("max_worker_processes", std::to_string(control.max_worker_processes));
    set("max_prepared_transactions", std::to_string(control.max_prepared_transactions));
    set("max_locks_per_transaction",
        std::to_string(std::max(10, control.max_locks_per_transaction)));
    // Origins of subscriptions are restored too, and each needs a place; how many is not known.
    set("max_replication_slots", "1000");
    if (server.version >= 18) set("max_active_replication_origins", "1000");
    // As little as does it: a server that others need is on this host.
    set("shared_buffers", "64MB");
    // What one that was killed leaves goes with its directory.
    set("dynamic_shared_memory_type", "mmap");
    set("maintenance_work_mem", "64MB");
    set("huge_pages", "off");
    set("min_wal_size", fmt::format("{}MB", std::max<std::uint64_t>(80, 2 * segment_mb)));
    set("max_wal_size", fmt::format("{}MB", std::max<std::uint64_t>(512, 4 * segment_mb)));
    set("autovacuum", "off");
    set("jit", "off");
    set("max_parallel_workers_per_gather", "0");
    set("max_parallel_maintenance_workers", "0");
    set("restart_after_crash", "off");
    // A check whose agent died ends by itself.
    if (server.version >= 14) set("client_connection_check_interval", "5s");
    // What it says is read by the agent.
    set("log_destination", "stderr");
    set("logging_collector", "off");
    set("log_line_prefix", "");
    set("log_min_messages", "warning");
    set("lc_messages", "C");
    return out;
}

Result<std::string> proof_recovery(std::string_view auto_conf) {
    // What comes later counts: a restore of a server that had itself been restored.
    std::map<std::string, std::string, std::less<>> kept;
    for (const auto& line : split(auto_conf, '\n')) {
        const auto name = name_in(line);
        if (name == "restore_command" || name == "recovery_target_timeline")
            kept[std::string(name)] = std::string(trim(line));
    }
    if (!kept.contains("restore_command"))
        return fail(ErrorCode::invalid,
                    "pgBackRest wrote no restore_command: recovery would get no WAL");
    std::string out = "# Written by relevo for a proof of restore.\n";
    for (const auto& [name, line] : kept) out += line + "\n";
    return out;
}

Result<Recovered> parse_recovered(std::string_view line) {
    const auto fields = split(trim(line), '|');
    Recovered out;
    if (fields.size() != 3)
        return fail(ErrorCode::invalid, "the restored server does not tell how far it got");
    if (!fields[0].empty()) {
        const auto end = cluster::parse_lsn(fields[0]);
        if (!end)
            return fail(ErrorCode::invalid, "the restored server tells no position in the WAL");
        out.end = *end;
    }
    if (!fields[1].empty()) {
        const auto epoch = parse_real(fields[1]);
        constexpr double most = 1e11;  // a few thousand years
        if (!epoch || std::abs(*epoch) > most)
            return fail(ErrorCode::invalid, "the restored server tells no time of its last commit");
        out.newest = WallTime(std::chrono::microseconds(std::llround(*epoch * 1e6)));
    }
    out.has_amcheck = fields[2] != "0";
    return out;
}

void ServerLog::read(std::string_view piece) {
    rest_ += piece;
    std::size_t begin = 0;
    for (auto end = rest_.find('\n'); end != std::string::npos; end = rest_.find('\n', begin)) {
        read_line(std::string_view(rest_).substr(begin, end - begin));
        begin = end + 1;
    }
    rest_.erase(0, begin);
    if (rest_.size() > line_max) rest_.clear();
}

void ServerLog::read_line(std::string_view line) {
    line = trim(line);
    if (line.contains("database system is ready to accept connections")) ready_ = true;
    const auto begins = [&](std::string_view word) { return line.starts_with(word); };
    const bool more = begins("DETAIL:") || begins("HINT:");
    // The first reason is the cause; that the startup process ended of it follows.
    const bool bad = begins("FATAL:") || begins("PANIC:") || begins("ERROR:");
    // pgBackRest's own words about a segment, between the server's.
    const bool fetch = line.contains("ERROR: [") && !begins("ERROR:");
    if ((bad || fetch) && (complaint_.empty() || begins("PANIC:"))) {
        complaint_ = std::string(line);
        in_complaint_ = true;
    } else if (more && in_complaint_) {
        complaint_ += " " + std::string(line);
    } else {
        in_complaint_ = false;
    }
    if (complaint_.size() > complaint_max) complaint_.resize(complaint_max);
}

// A row that is NULL is an empty line, and counts: an older row that is true is not the last one.
Status judge_check(std::string_view output) {
    if (output.empty())
        return fail(ErrorCode::failed, "the check returned no row; its last one must be true");
    if (output.ends_with('\n')) output.remove_suffix(1);
    const auto last = trim(output.substr(output.rfind('\n') + 1));
    if (last == "t") return {};
    constexpr std::size_t most = 100;
    return fail(ErrorCode::failed,
                fmt::format("the last row of the check is {}, and not true",
                            last.empty() ? "NULL or empty" : last.substr(0, most)));
}

}  // namespace relevo::backup
