// The part of the adapter that quorum replication needs: whom commits wait for, and an end of
// receiving.
#include <fmt/core.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <csignal>
#include <utility>

#include "base/text.h"
#include "os/file.h"
#include "postgres/adapter.h"

namespace relevo::postgres {

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {
constexpr Duration short_patience = 3s;
constexpr Duration names_patience = 2s;
constexpr const char* names_guc = "synchronous_standby_names";
}  // namespace

void Adapter::forget_waiting() {
    commits_wait_in_.clear();
    idle_since_in_.clear();
}

void Adapter::remember_names(std::optional<std::string> value) {
    names_told_ = true;
    synchronous_standby_names_ = std::move(value);
}

// What was told before synchronous_mode was switched off is not what counts when it is on again.
std::optional<std::string> Adapter::names_in_force() {
    if (config_().agent_owns_names) return synchronous_standby_names_;
    synchronous_standby_names_.reset();
    names_told_ = false;
    return std::nullopt;
}

Task<Result<Adapter::Told>> Adapter::tell_names(std::optional<std::string> value) {
    const auto turn = co_await writing_.take();
    if (!server_.alive() || version_ == 0)
        co_return fail(ErrorCode::unavailable, "PostgreSQL does not run");
    auto connection = co_await server_.work(short_patience);
    if (!connection) co_return std::unexpected(connection.error());
    remember_names(value);
    auto request = co_await running_request(true);
    if (!request) co_return std::unexpected(request.error());
    auto written = co_await write_durably(*request);
    if (!written) co_return std::unexpected(written.error());
    auto before = co_await see_names(**connection, true);
    if (!before) co_return std::unexpected(before.error());
    if (value && before->configured != *value)
        co_return fail(ErrorCode::failed,
                       fmt::format("{} sets it to '{}': take it out there (ALTER SYSTEM RESET "
                                   "synchronous_standby_names, when it is postgresql.auto.conf)",
                                   before->source.empty() ? "another file" : before->source,
                                   before->configured));
    // From here on the server may have it: it is never surely not done.
    const auto perhaps = [](std::string why) {
        return fail(ErrorCode::outcome_unknown, std::move(why));
    };
    if (written->any() || before->value != before->configured) {
        auto reloaded = co_await reload(**connection);
        if (!reloaded) co_return perhaps(reloaded.error().message);
    }
    // The session from before is one of the postmaster's children, and perhaps the first that it
    // signalled. One that it makes when that session has been signalled it makes after the last.
    auto fresh = co_await server_.new_connection(short_patience);
    if (!fresh) co_return perhaps(fresh.error().message);
    auto after = co_await see_names(**fresh, false);
    if (!after) co_return perhaps(after.error().message);
    if (after->value != before->configured)
        co_return perhaps(fmt::format("a new session has '{}' still and not '{}'", after->value,
                                      before->configured));
    if (after->value.empty() || before->value.empty()) forget_waiting();
    co_return Told{*std::move(before), *std::move(fresh)};
}

Task<Result<cluster::Lsn>> Adapter::set_synchronous_standby_names(
    std::optional<std::string> value) {
    constexpr const char* what = "changing synchronous_standby_names";
    auto told = co_await tell_names(std::move(value));
    if (!told) co_return within(what, told.error());
    const NamesSeen& seen = told->seen;
    Connection& connection = *told->connection;
    if (seen.in_recovery) co_return cluster::Lsn{};  // nothing can be marked there
    if (!seen.configured.empty() && commits_wait_in_ != seen.started) {
        auto watching = co_await server_.work(short_patience);
        if (!watching) co_return within(what, watching.error());
        auto waiting = co_await commits_wait(connection, **watching, names_patience);
        if (!waiting) co_return within(what, waiting.error());
        if (!*waiting)
            co_return fail(ErrorCode::outcome_unknown,
                           fmt::format("{}: commits do not wait for it yet; PostgreSQL's "
                                       "checkpointer is too busy to read it",
                                       what));
        commits_wait_in_ = seen.started;
    }
    auto marker = co_await write_marker(connection);
    if (!marker) co_return within(what, marker.error());
    co_return *marker;
}

// A standby has nothing to commit, so that its commits will wait cannot be tried. Its checkpointer
// may be within a restart point that started long ago, though, and would let the first commits of
// the new primary through.
Task<Status> Adapter::tell_names_before_promotion(std::string value) {
    constexpr const char* what = "setting synchronous_standby_names before the promotion";
    Result<NamesSeen> seen = fail(ErrorCode::unavailable, "");
    {
        auto connection = co_await server_.work(short_patience);
        if (!connection) co_return within(what, connection.error());
        seen = co_await see_names(**connection, false);
        if (!seen) co_return within(what, seen.error());
    }
    if (seen->value != value || synchronous_standby_names_ != value) {
        const auto told = co_await tell_names(value);
        if (!told) co_return within(what, told.error());
    }
    if (value.empty() || idle_since_in_ == seen->started) co_return Status{};
    auto connection = co_await server_.work(short_patience);
    if (!connection) co_return within(what, connection.error());
    auto idle = co_await checkpointer_idle(**connection, names_patience);
    if (!idle) co_return within(what, idle.error());
    if (!*idle)
        co_return fail(ErrorCode::unavailable,
                       fmt::format("{}: PostgreSQL's checkpointer is too busy to read it, and "
                                   "commits would not wait",
                                   what));
    idle_since_in_ = seen->started;
    co_return Status{};
}

Task<Status> Adapter::end_walsenders(cluster::Lsn sent_below) {
    auto connection = co_await server_.work(short_patience);
    if (!connection) co_return within("ending walsenders that hang", connection.error());
    co_return co_await postgres::end_walsenders(**connection, sent_below);
}

Task<Status> Adapter::end_walsender(int pid, std::string application_name) {
    auto connection = co_await server_.work(short_patience);
    if (!connection) co_return std::unexpected(connection.error());
    auto ended = co_await (*connection)
                     ->query(
                         "SELECT pg_terminate_backend(pid) FROM pg_stat_replication WHERE pid = "
                         "$1::int AND application_name = $2",
                         {std::to_string(pid), std::move(application_name)}, short_patience);
    if (!ended) co_return std::unexpected(ended.error());
    co_return Status{};
}

Task<std::map<int, std::string>> Adapter::queries_of(std::vector<int> pids) {
    std::map<int, std::string> found;
    std::string list;
    for (const int pid : pids) list += (list.empty() ? "{" : ",") + std::to_string(pid);
    if (list.empty()) co_return found;
    auto connection = co_await server_.work(short_patience);
    if (!connection) co_return found;
    auto rows = co_await (*connection)
                    ->query(
                        "SELECT pid, left(query, 200) FROM pg_catalog.pg_stat_activity WHERE pid = "
                        "ANY($1::int[])",
                        {list + "}"}, short_patience);
    if (!rows) co_return found;
    for (const auto& row : rows->rows)
        if (row.size() == 2 && row[0] && row[1])
            if (const auto pid = parse_decimal(*row[0])) found[static_cast<int>(*pid)] = *row[1];
    co_return found;
}

// Before the files are written for a start.
Task<void> Adapter::names_for_start(const cluster::StartPlan& plan) {
    forget_waiting();
    if (plan.sync_names) remember_names(plan.sync_names);
    if (names_told_ || !plan.as_primary || !config_().agent_owns_names) co_return;
    // A crashed primary whose agent is new: what its file says is what its last commits waited for.
    // Without it the first commits would wait for nobody.
    const auto config = config_();
    const auto& by_role = config.parameters.primary;
    if (config.parameters.base.contains(names_guc) || (by_role && by_role->contains(names_guc)))
        co_return;
    const auto text = co_await pool_.run(
        [path = ConfigFiles(config).config_path()] { return os::read_file(path); });
    if (!text) co_return;
    const auto set = parse_config_text(*text);
    if (const auto found = set.find(names_guc); found != set.end()) remember_names(found->second);
}

// Replay that is behind would end the receiver only once it has come to the end of what the
// receiver brings, and so perhaps never: it is asked to end here.
Task<Status> Adapter::stop_receiving() {
    constexpr const char* what = "following nobody";
    auto connection = co_await server_.work(short_patience);
    if (!connection) co_return within(what, connection.error());
    os::PidHandle receiver;
    for (auto waited = 0ms; waited < 100ms; waited += 2ms) {
        auto rows = co_await (*connection)
                        ->query(
                            "SELECT current_setting('primary_conninfo'), "
                            "(SELECT pid FROM pg_stat_activity WHERE backend_type = 'walreceiver')",
                            short_patience);
        if (!rows) co_return within(what, rows.error());
        const auto& row = rows->rows.at(0);
        if (row[0] != "")
            co_return fail(ErrorCode::failed,
                           "primary_conninfo is set outside the configuration and cannot be "
                           "emptied: ALTER SYSTEM RESET primary_conninfo");
        const auto pid = static_cast<pid_t>(parse_decimal(row[1].value_or("")).value_or(0));
        if (pid == 0) co_return Status{};
        // Held before it was seen to be the receiver still: it is no other process's number.
        if (receiver.pid() == pid)
            (void)receiver.send(SIGTERM);
        else if (auto handle = os::PidHandle::open(pid))
            receiver = *std::move(handle);
        asio::steady_timer timer(loop_, 2ms);
        const auto [error] = co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
        if (error) co_return fail(ErrorCode::cancelled, "it was given up");
    }
    co_return Status{};  // who must know looks again
}

// The caller has writing_.
Task<Result<FilesWritten>> Adapter::write_durably(const FilesRequest& request) {
    const ConfigFiles files(config_());
    auto written = co_await pool_.run([&]() -> Result<FilesWritten> {
        RLV_TRY(FilesWritten done, files.write(request));
        // Whoever wrote the same before us may have died before it was on disk.
        if (!done.config) RLV_CHECK(os::sync_directory(files.config().config_dir));
        return done;
    });
    if (written) wrote(*written);
    co_return written;
}

}  // namespace relevo::postgres
