#include "postgres/rewind.h"

#include "postgres/data_directory.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/this_coro.hpp>
#include <charconv>
#include <chrono>
#include <filesystem>

#include "base/log.h"
#include "base/text.h"
#include "cluster/disk.h"
#include "os/blocking.h"
#include "os/disk_space.h"
#include "os/file.h"
#include "os/process.h"
#include "postgres/commands.h"
#include "postgres/config_files.h"
#include "postgres/connection.h"
#include "postgres/half_made.h"
#include "postgres/line_of.h"
#include "postgres/pgpass.h"
#include "postgres/recovery_settings.h"
#include "postgres/voteless.h"
#include "postgres/wal_file.h"

namespace relevo::postgres {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

namespace {

constexpr Duration connect_patience = 5s;
constexpr Duration query_patience = 5s;
constexpr Duration checkpoint_patience = 10min;
// For a segment; the first that fails ends it.
constexpr Duration archive_patience = 5min;
// Where the next primary archives what is left, a repository that hangs keeps no member away from
// its cluster for long.
constexpr Duration archive_patience_short = 10s;
constexpr int fetches_max = 1000;  // missing segments of one rewind

const ports::Account& rewind_account(const ports::PostgresConfig& config) {
    return config.rewind ? *config.rewind : config.superuser;
}

bool is_superuser_account(const ports::PostgresConfig& config) {
    return !config.rewind || config.rewind->username == config.superuser.username;
}

std::unexpected<Error> no_primary(const cluster::Upstream& source) {
    return fail(ErrorCode::conflict,
                fmt::format("{}:{} is in recovery: it cannot say which history holds", source.host,
                            source.port));
}

// What the source says of its timeline, over a replication connection: no more rights than
// streaming needs.
Task<Result<cluster::WalLine>> ask_primary(os::Blocking& pool, const ports::PostgresConfig& config,
                                           const cluster::Upstream& source,
                                           const std::string& system_id) {
    ConnectOptions options = remote_options(config, config.replication, source.host, source.port,
                                            config.name + " compare");
    options.replication = true;
    auto opened = co_await Connection::open(pool, std::move(options), connect_patience);
    if (!opened) co_return within("asking the primary for its timeline", opened.error());
    Connection& primary = **opened;

    auto recovery = co_await primary.query(
        primary.server_version() >= 140000 ? "SHOW in_hot_standby" : "SHOW transaction_read_only",
        query_patience);
    if (!recovery) co_return within("asking the primary for its timeline", recovery.error());
    if (recovery->value() != "off") co_return no_primary(source);

    auto line = co_await line_of(primary);
    if (!line) co_return line;
    if (!system_id.empty() && line->system_id != system_id)
        co_return fail(
            ErrorCode::invalid,
            fmt::format("{}:{} belongs to another cluster: its system identifier is {}, ours {}",
                        source.host, source.port, line->system_id, system_id));
    co_return line;
}

// Before a member that left the line loses it, what it has of the line goes to the archive.
Task<Status> archive_before_rewind(os::Blocking& pool, const ports::PostgresConfig& config,
                                   const cluster::Upstream& source, const std::string& system_id) {
    std::optional<cluster::WalLine> line;
    if (config.archiver_patience) {
        auto asked = co_await ask_primary(pool, config, source, system_id);
        if (!asked) {
            log::warning("before the rewind nothing is archived: {}", asked.error().message);
            co_return Status();
        }
        line = *std::move(asked);
    }
    auto archived = co_await archive_ready_wal(pool, config, std::move(line));
    if (!archived && archived.error().code == ErrorCode::cancelled)
        co_return std::unexpected(archived.error());
    if (!archived)
        log::warning("before the rewind: {}", archived.error().message);
    else if (*archived > 0)
        log::info("before the rewind {} WAL files were archived", *archived);
    co_return Status();
}

// The source can be rewound to: a primary, whose pg_control already names its timeline (pg_rewind
// reads it from there). A superuser's checkpoint sees to that, else it comes by itself.
Task<Status> source_ready(os::Blocking& pool, const ports::PostgresConfig& config,
                          const cluster::Upstream& source) {
    ConnectOptions options = remote_options(config, rewind_account(config), source.host,
                                            source.port, config.name + " rewind");
    options.server_options = "-c statement_timeout=0";
    auto opened = co_await Connection::open(pool, std::move(options), connect_patience);
    if (!opened) co_return within("connecting to the primary before a rewind", opened.error());
    Connection& primary = **opened;
    auto recovery = co_await primary.query("SELECT pg_is_in_recovery()", query_patience);
    if (!recovery) co_return within("asking the primary before a rewind", recovery.error());
    if (recovery->value() != "f")
        co_return fail(
            ErrorCode::unavailable,
            fmt::format("{}:{} is still in recovery; the rewind waits", source.host, source.port));
    auto caught_up = co_await primary.query(
        "SELECT (pg_control_checkpoint()).timeline_id = "
        "('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int",
        query_patience);
    if (caught_up && caught_up->value() == "t") co_return Status();
    if (!is_superuser_account(config)) {
        if (!caught_up)
            co_return within("asking the primary for its checkpoint", caught_up.error());
        co_return fail(
            ErrorCode::unavailable,
            "the primary has not made its checkpoint after the promotion yet; the rewind waits");
    }
    auto checkpoint = co_await primary.query("CHECKPOINT", checkpoint_patience);
    if (!checkpoint)
        co_return within("a checkpoint on the primary before a rewind", checkpoint.error());
    co_return Status();
}

std::string unhex(std::string_view text) {
    std::string bytes;
    for (std::size_t at = 0; at + 1 < text.size(); at += 2) {
        unsigned value = 0;
        std::from_chars(text.data() + at, text.data() + at + 2, value, 16);
        bytes += static_cast<char>(value);
    }
    return bytes;
}

// The same bytes of WAL at the primary; empty when it has not got the segment any more.
Task<Result<std::string>> remote_wal(os::Blocking& pool, const ports::PostgresConfig& config,
                                     const cluster::Upstream& source, WalPlace place,
                                     std::size_t bytes) {
    auto opened =
        co_await Connection::open(pool,
                                  remote_options(config, rewind_account(config), source.host,
                                                 source.port, config.name + " compare"),
                                  connect_patience);
    if (!opened) co_return within("reading the primary's WAL", opened.error());
    Connection& primary = **opened;
    auto read = co_await primary.query(
        fmt::format("SELECT encode(pg_read_binary_file({}, {}, {}, true), 'hex')",
                    primary.literal("pg_wal/" + place.file), place.offset, bytes),
        query_patience);
    if (!read) co_return within("reading the primary's WAL", read.error());
    co_return unhex(read->value().value_or(""));
}

// Numbers do not tell histories apart when two members were promoted apart from each other: ours
// take them from the DCS, Patroni's do not (docs/adr/0005). What cannot be read stays unsaid.
Task<std::optional<cluster::Divergence>> find_twin(os::Blocking& pool,
                                                   const ports::PostgresConfig& config,
                                                   const cluster::Upstream& source,
                                                   const LocalEnd& local,
                                                   const PrimaryTimeline& primary) {
    if (local.timeline <= 1 || primary.timeline <= 1) co_return std::nullopt;
    const std::string wal_dir = config.data_dir + "/pg_wal";
    struct Here {
        std::optional<SharedTimeline> shared;
        std::optional<WalPlace> place;
        std::string bytes;
    };
    const auto here = co_await pool.run([&]() -> Here {
        std::vector<cluster::HistoryLine> history;
        const auto file = os::read_file(fmt::format("{}/{:08X}.history", wal_dir, local.timeline));
        if (file)
            if (auto lines = cluster::parse_history_file(*file)) history = *std::move(lines);
        Here found{shared_timeline(local, history, primary), {}, {}};
        if (!found.shared) return found;
        found.place = wal_place(wal_dir, found.shared->begins_here, found.shared->number);
        if (found.place) found.bytes = read_wal(wal_dir, *found.place, first_record_bytes);
        return found;
    });
    if (!here.shared) co_return std::nullopt;
    std::string there;
    if (!here.bytes.empty() && here.shared->begins_here == here.shared->begins_there) {
        auto read = co_await remote_wal(pool, config, source, *here.place, first_record_bytes);
        if (read)
            there = *std::move(read);
        else
            log::warning("{}", read.error().message);
    }
    if (!begun_twice(*here.shared, here.bytes, there)) co_return std::nullopt;
    co_return twin_of(*here.shared);
}

// `postgres -C name`: as the server would see it, included files and all. Empty when it cannot
// tell.
Task<std::string> configured_value(os::Blocking& pool, const ports::PostgresConfig& config,
                                   const char* name) {
    os::Command command;
    command.arguments = {program_path(config, "postgres"),
                         "-D",
                         config.data_dir,
                         "--config-file=" + ConfigFiles(config).config_path(),
                         "-C",
                         name};
    command.deadline = 10s;
    auto finished = co_await os::run(pool, std::move(command));
    if (!finished || !finished->ok()) co_return std::string();
    co_return std::string(trim(finished->out));
}

// The WAL file that pg_rewind missed, out of its message; empty: it failed for another reason.
std::string missing_wal(std::string_view output) {
    static constexpr std::string_view before = "could not open file \"";
    for (std::size_t at = output.find(before); at != std::string_view::npos;
         at = output.find(before, at + 1)) {
        const std::string_view rest = output.substr(at + before.size());
        const std::string name = fs::path(rest.substr(0, rest.find('"'))).filename().string();
        if (is_wal_file(name)) return name;
    }
    return {};
}

Task<bool> fetch_wal(os::Blocking& pool, const ports::PostgresConfig& config,
                     const std::string& restore_command, const std::string& file) {
    os::Command command;
    const std::string path = config.data_dir + "/pg_wal/" + file;
    command.arguments = {"/bin/sh", "-c", expand_wal_command(restore_command, path, file, file)};
    command.directory = config.data_dir;
    auto finished = co_await os::run(pool, std::move(command));
    if (finished && finished->ok()) co_return true;
    log::warning("rewind: restore_command has no {}: {}", file,
                 finished ? os::describe(*finished) : finished.error().message);
    co_return false;
}

std::vector<std::string> rewind_arguments(const ports::PostgresConfig& config,
                                          const cluster::Upstream& source,
                                          const std::string& restore_command, int version) {
    std::vector<std::pair<std::string, std::string>> dsn{{"user", rewind_account(config).username},
                                                         {"host", source.host},
                                                         {"port", std::to_string(source.port)},
                                                         {"dbname", config.database},
                                                         {"target_session_attrs", "read-write"}};
    const auto options = account_options(rewind_account(config), version);
    dsn.insert(dsn.end(), options.begin(), options.end());
    std::vector<std::string> arguments{program_path(config, "pg_rewind"), "-D", config.data_dir,
                                       "--source-server=" + make_conninfo(dsn), "--progress"};
    const bool config_elsewhere = config.config_dir != config.data_dir;
    if (!restore_command.empty() &&
        (version >= 150000 || (version >= 130000 && !config_elsewhere))) {
        arguments.emplace_back("--restore-target-wal");
        if (version >= 150000)
            arguments.push_back("--config-file=" + ConfigFiles(config).config_path());
    }
    arguments.insert(arguments.end(), config.rewind_options.begin(), config.rewind_options.end());
    arguments.emplace_back("--no-sync");  // rewind_steps syncs, in one call, before the mark goes
    return arguments;
}

// Before this line of pg_rewind's progress nothing in the data directory has changed.
bool began_to_change(const os::Finished& finished) {
    return finished.err.contains("need to copy") || finished.out.contains("need to copy");
}

// Where it would be in hold by the defaults. What pg_rewind says that it would copy is more than it
// needs, since most of it replaces what is there: where more is free than this it is not asked.
bool has_little_room(const std::string& data_dir) {
    const auto space = os::disk_space(data_dir);
    return space && space->free < cluster::limits({}, space->total).hold;
}

Status enough_room(const std::string& data_dir, const os::Finished& trial) {
    auto needs = rewind_needs(trial.out);
    if (!needs) needs = rewind_needs(trial.err);
    const auto space = os::disk_space(data_dir);
    if (!needs || !space || space->free >= *needs) return {};
    constexpr auto mb = 20U;
    return fail(
        ErrorCode::unavailable,
        fmt::format("pg_rewind would copy up to {} MB and {} MB are free on the disk of {}: "
                    "it waits for room, and nothing was changed",
                    *needs >> mb, space->free >> mb, data_dir));
}

Task<Status> run_pg_rewind(os::Blocking& pool, const ports::PostgresConfig& config,
                           const cluster::Upstream& source, int version) {
    std::string written = co_await configured_value(pool, config, "restore_command");
    // pg_rewind would ask restore_command itself, which has nothing for it.
    if (!config.fetch_command.empty()) written.clear();
    // A former primary's files have no recovery settings; what it would get as a standby serves
    // too.
    std::string restore_command = written;
    if (const auto meant = config.recovery_conf.find("restore_command");
        written.empty() && meant != config.recovery_conf.end())
        restore_command = meant->second;
    if (!config.fetch_command.empty()) restore_command = config.fetch_command;
    auto passfile = co_await pool.run([&] {
        return TemporaryPgpass::make(
            config, pgpass_lines(source.host, source.port, rewind_account(config)));
    });
    if (!passfile) co_return std::unexpected(passfile.error());
    bool trial = co_await pool.run([&] { return has_little_room(config.data_dir); });
    for (int fetched = 0;; ++fetched) {
        os::Command command;
        command.arguments = rewind_arguments(config, source, written, version);
        if (trial) command.arguments.emplace_back("--dry-run");
        command.dies_with_us = true;
        command.environment = {{"LC_ALL", "C"},
                               {"PGPASSFILE", passfile->path()},
                               {"PGOPTIONS", "-c statement_timeout=0 -c lock_timeout=0"}};
        auto finished = co_await os::run(pool, std::move(command));
        if (!finished) co_return within("pg_rewind", finished.error());
        if (finished->ok() && trial) {
            Status room =
                co_await pool.run([&] { return enough_room(config.data_dir, *finished); });
            if (!room) co_return room;
            trial = false;
            continue;
        }
        if (finished->ok()) co_return Status();
        const bool changed = !trial && began_to_change(*finished);
        const std::string file = changed ? std::string() : missing_wal(finished->err);
        if (!file.empty() && !restore_command.empty() && fetched < fetches_max) {
            const bool there = co_await fetch_wal(pool, config, restore_command, file);
            if (there) continue;
        }
        log::warning("pg_rewind said: {}", trim(finished->err));
        // Or somebody has started the server here meanwhile.
        const bool lost = finished->err.contains("onnection to server") ||
                          finished->err.contains("losed the connection") ||
                          finished->err.contains("must be shut down cleanly");
        co_return fail(changed ? ErrorCode::failed
                       : lost  ? ErrorCode::unavailable
                               : ErrorCode::invalid,
                       fmt::format("pg_rewind: {}", os::describe(*finished)));
    }
}

Task<Status> rewind_steps(os::Blocking& pool, const ports::PostgresConfig& config,
                          const cluster::Upstream& source, const cluster::ControlData& control,
                          int version) {
    if (!config.use_pg_rewind)
        co_return fail(ErrorCode::invalid, "pg_rewind is not enabled (postgresql.use_pg_rewind)");
    if (!control.checksums && !control.wal_log_hints)
        co_return fail(ErrorCode::invalid,
                       "pg_rewind needs data checksums or wal_log_hints, and neither is on here");
    Status archived = co_await archive_before_rewind(pool, config, source, control.system_id);
    if (!archived) co_return archived;

    Status ready = co_await source_ready(pool, config, source);
    if (!ready) co_return ready;
    const auto given_up = co_await boost::asio::this_coro::cancellation_state;
    if (given_up.cancelled() != boost::asio::cancellation_type::none)
        co_return fail(ErrorCode::cancelled, "the rewind was given up before it began");
    Status marked = co_await pool.run([&]() -> Status {
        RLV_CHECK(mark_voteless(config.data_dir));
        return mark_half_made(config.data_dir, "rewind");
    });
    if (!marked) co_return marked;
    Status rewound = co_await run_pg_rewind(pool, config, source, version);
    if (!rewound && rewound.error().code == ErrorCode::failed) co_return rewound;  // the mark stays
    // Cancelled in the middle: nobody can say how far it came.
    if (!rewound && rewound.error().code == ErrorCode::cancelled)
        co_return fail(ErrorCode::failed, "pg_rewind was ended before it was done");
    Status finished = co_await pool.run([&]() -> Status {
        if (rewound)
            RLV_CHECK(write_standby_signal(config.data_dir));  // it can only start as a standby
        if (rewound) RLV_CHECK(sync_content(config.data_dir));
        return clear_half_made(config.data_dir);
    });
    if (!finished) co_return finished;
    co_return rewound;
}

}  // namespace

std::optional<std::uint64_t> rewind_needs(std::string_view output) {
    static constexpr std::string_view before = "need to copy ";
    const auto at = output.find(before);
    if (at == std::string_view::npos) return std::nullopt;
    const std::string_view text = output.substr(at + before.size());
    std::uint64_t megabytes = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), megabytes);
    const std::string_view rest(end, static_cast<std::size_t>(text.data() + text.size() - end));
    constexpr auto rounded_down = 1U;
    if (error != std::errc() || !rest.starts_with(" MB") || megabytes >> 40U != 0)
        return std::nullopt;
    return (megabytes + rounded_down) << 20U;
}

Task<Result<cluster::Divergence>> compare(os::Blocking& pool, const ports::PostgresConfig& config,
                                          const cluster::Upstream& source,
                                          const std::optional<LocalEnd>& running,
                                          const cluster::ControlData& control, int version) {
    std::optional<LocalEnd> local = running ? running : local_end(control);
    cluster::Divergence divergence;
    if (!local) {
        divergence.why =
            "the server did not stop cleanly: its position is only known after a recovery";
    } else {
        auto line = co_await ask_primary(pool, config, source, control.system_id);
        if (!line) co_return std::unexpected(line.error());
        const PrimaryTimeline primary{line->timeline, line->end, line->history};
        if (needs_checkpoint_end(*local, primary)) {
            auto end = co_await pool.run([&] {
                return checkpoint_end(config.data_dir + "/pg_wal", control.checkpoint,
                                      control.checkpoint_timeline);
            });
            if (end)
                local->checkpoint_end = *end;
            else
                log::warning("{}", end.error().message);
        }
        divergence = decide_rewind(*local, primary);
        if (auto twin = co_await find_twin(pool, config, source, *local, primary))
            divergence = *std::move(twin);
        // Not a twin's: all that is of its timeline would seem to be on the line.
        if (!running && !divergence.twin && config.archiver_patience) {
            auto archived = co_await archive_ready_wal(pool, config, *std::move(line));
            if (!archived) log::warning("what this server left: {}", archived.error().message);
        }
    }
    divergence.can_rewind = !divergence.twin && config.use_pg_rewind &&
                            (control.checksums || control.wal_log_hints) && version >= 90500;
    if (divergence.can_rewind) {
        divergence.can_rewind = co_await pool.run(
            [&] { return os::find_program(program_path(config, "pg_rewind")).has_value(); });
    }
    co_return divergence;
}

Task<Status> rewind(os::Blocking& pool, const ports::PostgresConfig& config,
                    const cluster::Upstream& source, const cluster::ControlData& control,
                    int version) {
    // Being cancelled comes as an error, never as an exception between the mark and its removal.
    const bool throws = co_await boost::asio::this_coro::throw_if_cancelled();
    co_await boost::asio::this_coro::throw_if_cancelled(false);
    Status done = co_await rewind_steps(pool, config, source, control, version);
    co_await boost::asio::this_coro::throw_if_cancelled(throws);
    co_return done;
}

Task<Result<int>> archive_ready_wal(os::Blocking& pool, const ports::PostgresConfig& config,
                                    std::optional<cluster::WalLine> line) {
    const auto ready = co_await pool.run([&] {
        const std::string wal_dir = config.data_dir + "/pg_wal";
        auto waiting = ready_wal_files(wal_dir + "/archive_status");
        if (!line) return waiting;
        auto wanted = those_on_line(waiting, *line, wal_segment_bytes(wal_dir));
        if (const auto left = waiting.size() - wanted.size(); left > 0)
            log::warning(
                "{} WAL files that wait for the archive are not of timeline {}'s past and are not "
                "archived, from {}",
                left, line->timeline, *std::ranges::find_if(waiting, [&](const std::string& name) {
                    return std::ranges::find(wanted, name) == wanted.end();
                }));
        return wanted;
    });
    if (ready.empty()) co_return 0;
    const std::string mode = co_await configured_value(pool, config, "archive_mode");
    const std::string archive_command = co_await configured_value(pool, config, "archive_command");
    if ((mode != "on" && mode != "always") || archive_command.empty() ||
        archive_command == "(disabled)")
        co_return 0;
    int count = 0;
    for (const std::string& file : ready) {
        os::Command command;
        command.arguments = {"/bin/sh", "-c",
                             expand_wal_command(archive_command, "pg_wal/" + file, file)};
        command.directory = config.data_dir;
        command.deadline = config.archiver_patience ? archive_patience_short : archive_patience;
        auto finished = co_await os::run(pool, std::move(command));
        if (!finished) co_return within("archiving " + file, finished.error());
        if (!finished->ok())
            co_return fail(ErrorCode::failed, fmt::format("archive_command failed for {}: {}", file,
                                                          os::describe(*finished)));
        const std::string status = config.data_dir + "/pg_wal/archive_status/" + file;
        Status done =
            co_await pool.run([&] { return os::rename_path(status + ".ready", status + ".done"); });
        if (!done) co_return std::unexpected(done.error());
        ++count;
    }
    co_return count;
}

}  // namespace relevo::postgres
