#include "postgres/control_data.h"

#include <fmt/core.h>

#include <chrono>
#include <utility>

#include "base/text.h"
#include "os/file.h"
#include "os/process.h"
#include "postgres/config_files.h"

namespace relevo::postgres {

namespace {

cluster::ControlState parse_state(std::string_view text) {
    using enum cluster::ControlState;
    if (text == "starting up") return starting_up;
    if (text == "shut down") return shut_down;
    if (text == "shut down in recovery") return shut_down_in_recovery;
    if (text == "shutting down") return shutting_down;
    if (text == "in crash recovery") return in_crash_recovery;
    if (text == "in archive recovery") return in_archive_recovery;
    if (text == "in production") return in_production;
    return unknown;
}

using Lines = std::map<std::string, std::string, std::less<>>;

std::string_view get(const Lines& lines, std::string_view name) {
    const auto found = lines.find(name);
    return found == lines.end() ? std::string_view() : std::string_view(found->second);
}

cluster::Lsn lsn(const Lines& lines, std::string_view name) {
    return cluster::parse_lsn(get(lines, name)).value_or(cluster::Lsn{});
}

cluster::Timeline timeline(const Lines& lines, std::string_view name) {
    return static_cast<cluster::Timeline>(parse_decimal(get(lines, name)).value_or(0));
}

}  // namespace

Result<ControlFile> parse_control_data(std::string_view text) {
    Lines lines;
    for (const auto& line : split(text, '\n')) {
        const auto colon = line.find(':');
        if (colon == std::string::npos) continue;
        lines.emplace(trim(line.substr(0, colon)), trim(line.substr(colon + 1)));
    }
    ControlFile file;
    auto& data = file.data;
    data.state = parse_state(get(lines, "Database cluster state"));
    data.system_id = get(lines, "Database system identifier");
    if (data.state == cluster::ControlState::unknown || data.system_id.empty())
        return fail(ErrorCode::invalid,
                    "pg_controldata's output has no cluster state or system identifier");
    data.checkpoint = lsn(lines, "Latest checkpoint location");
    data.redo = lsn(lines, "Latest checkpoint's REDO location");
    data.checkpoint_timeline = timeline(lines, "Latest checkpoint's TimeLineID");
    data.min_recovery_end = lsn(lines, "Minimum recovery ending location");
    data.min_recovery_end_timeline = timeline(lines, "Min recovery ending loc's timeline");
    data.checksums = parse_decimal(get(lines, "Data page checksum version")).value_or(0) > 0;
    data.wal_log_hints = parse_bool(get(lines, "wal_log_hints setting")).value_or(false);
    for (const auto& [there, name] :
         {std::pair{"max_connections setting", "max_connections"},
          {"max_worker_processes setting", "max_worker_processes"},
          {"max_wal_senders setting", "max_wal_senders"},
          {"max_prepared_xacts setting", "max_prepared_transactions"},
          {"max_locks_per_xact setting", "max_locks_per_transaction"}}) {
        if (const auto value = parse_decimal(get(lines, there)))
            file.minimums[name] = static_cast<int>(*value);
    }
    return file;
}

Result<ControlFile> read_control_file(const ports::PostgresConfig& config) {
    os::Command command;
    command.arguments = {program_path(config, "pg_controldata"), "-D", config.data_dir};
    command.environment = {{"LC_ALL", "C"}, {"LANG", "C"}};
    command.deadline = std::chrono::seconds(10);
    constexpr int attempts = 3;
    for (int attempt = 1;; ++attempt) {
        auto ended = os::run_blocking(command);
        if (!ended) return within("reading pg_control", ended.error());
        if (ended->timed_out)
            return fail(ErrorCode::unavailable, "reading pg_control: " + os::describe(*ended));
        if (!ended->ok())
            return fail(ErrorCode::invalid, fmt::format("reading pg_control of {}: {}",
                                                        config.data_dir, os::describe(*ended)));
        // The server writes the file in place: a reader may see half of each.
        const bool torn =
            ended->out.find("Calculated CRC checksum does not match") != std::string::npos ||
            ended->err.find("Calculated CRC checksum does not match") != std::string::npos;
        if (!torn) return parse_control_data(ended->out);
        if (attempt == attempts)
            return fail(
                ErrorCode::invalid,
                fmt::format("pg_control of {} is damaged or of another version: its checksum "
                            "does not match",
                            config.data_dir));
    }
}

Result<int> read_data_version(const std::string& data_dir) {
    RLV_TRY(const auto text, os::read_file(data_dir + "/PG_VERSION", 64));
    const auto major = parse_decimal(trim(text));
    if (!major || *major < 10 || *major > 99)
        return fail(
            ErrorCode::invalid,
            fmt::format("{}/PG_VERSION holds no version that we know (13 to 18)", data_dir));
    return static_cast<int>(*major);
}

}  // namespace relevo::postgres
