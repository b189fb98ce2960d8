#include "postgres/sync_names.h"

#include <fmt/core.h>

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>

#include "base/text.h"
#include "os/clock.h"
#include "os/process.h"
#include "postgres/connection.h"

namespace relevo::postgres {

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {

constexpr Duration patience_of_one = 2s;

Task<void> pause(Duration time) {
    asio::steady_timer timer(co_await asio::this_coro::executor);
    timer.expires_after(std::chrono::duration_cast<std::chrono::nanoseconds>(time));
    boost::system::error_code ignored;
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

constexpr const char* own_sql =
    "SELECT current_setting('synchronous_standby_names'), pg_is_in_recovery(), "
    "pg_postmaster_start_time()";

constexpr const char* with_files_sql =
    "SELECT current_setting('synchronous_standby_names'), pg_is_in_recovery(), "
    "pg_postmaster_start_time(), f.setting, f.sourcefile "
    "FROM (SELECT 1) one LEFT JOIN LATERAL (SELECT setting, sourcefile FROM pg_file_settings "
    "WHERE lower(name) = 'synchronous_standby_names' ORDER BY seqno DESC LIMIT 1) f ON true";

}  // namespace

Task<Result<NamesSeen>> see_names(Connection& connection, bool with_files) {
    auto rows = co_await connection.query(with_files ? with_files_sql : own_sql, patience_of_one);
    if (!rows) co_return std::unexpected(rows.error());
    const auto& row = rows->rows.at(0);
    NamesSeen seen;
    seen.value = row[0].value_or("");
    seen.in_recovery = row[1] != "f";
    seen.started = row[2].value_or("");
    if (with_files) {
        seen.configured = row[3].value_or("");
        seen.source = row[4].value_or("");
    }
    co_return seen;
}

Task<Result<cluster::Lsn>> write_marker(Connection& connection) {
    auto done = co_await connection.script(
        "BEGIN; SET LOCAL synchronous_commit = local; "
        "SELECT pg_logical_emit_message(true, 'relevo', 'sync'); COMMIT; "
        "SELECT pg_current_wal_flush_lsn()",
        patience_of_one);
    if (!done) co_return within("writing a mark into the WAL", done.error());
    const auto lsn = cluster::parse_lsn(done->empty() ? "" : done->back().value().value_or(""));
    if (!lsn || !*lsn)
        co_return fail(ErrorCode::failed, "PostgreSQL does not tell where its WAL ends");
    co_return *lsn;
}

Task<Result<bool>> commits_wait(Connection& committing, Connection& watching, Duration patience) {
    using namespace asio::experimental::awaitable_operators;
    auto who = co_await committing.query("SELECT pg_backend_pid()", patience_of_one);
    if (!who) co_return std::unexpected(who.error());
    const std::string pid = who->value().value_or("0");
    // What a process waits for is read anew in each round: one statement sees a wait that is over
    // within a tenth of a millisecond, since the standby is near.
    const std::string watch = fmt::format(
        "SELECT 1 FROM generate_series(1, 2000) AS round, "
        "LATERAL pg_stat_get_activity({} + 0 * round) AS a WHERE a.wait_event = 'SyncRep' LIMIT 1",
        pid);
    bool over = false;
    // Both closures outlive their coroutines: this function waits for both.
    // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines)
    auto commit = [&]() -> Task<Status> {
        while (!over) {
            // It may wait for ever: the watcher ends it.
            auto done = co_await committing.script(
                "BEGIN; SET LOCAL synchronous_commit = on; "
                "SELECT pg_logical_emit_message(true, 'relevo', 'wait'); COMMIT",
                patience_of_one + patience_of_one);
            if (!done) co_return std::unexpected(done.error());
            if (!over) co_await pause(1ms);
        }
        co_return Status{};
    };
    // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines)
    auto look = [&]() -> Task<Result<bool>> {
        const auto until = os::boottime_now() + patience;
        Result<bool> seen = false;
        do {
            auto rows = co_await watching.query(watch, patience_of_one);
            if (!rows) seen = std::unexpected(rows.error());
            if (rows && !rows->rows.empty()) seen = true;
        } while (seen && !*seen && os::boottime_now() < until);
        over = true;
        // Who was not seen waiting needs no end, and may be within another statement.
        if (watching.usable() && (!seen || *seen)) {
            auto ended = co_await watching.query(fmt::format("SELECT pg_cancel_backend({})", pid),
                                                 patience_of_one);
            if (!ended && seen) seen = std::unexpected(ended.error());
        }
        co_return seen;
    };
    auto committed = commit();
    auto looked = look();
    auto [status, seen] = co_await (std::move(committed) && std::move(looked));
    // A commit that was seen waiting is proof enough, however it ended.
    if (seen && *seen) co_return true;
    if (!status) co_return std::unexpected(status.error());
    co_return seen;
}

Task<Result<bool>> checkpointer_idle(Connection& connection, Duration patience) {
    const auto until = os::boottime_now() + patience;
    pid_t pid = 0;
    for (;;) {
        // A signal makes who sleeps runnable at once: who sleeps now has had it. And what it sleeps
        // in is what it waits for afterwards. First one, then the other.
        const auto process = pid == 0 ? std::nullopt : os::process_info(pid);
        auto rows = co_await connection.query(
            "SELECT pid, coalesce(wait_event IN ('CheckpointerMain', 'CheckpointWriteDelay'), "
            "false) FROM pg_stat_activity WHERE backend_type = 'checkpointer'",
            patience_of_one);
        if (!rows) co_return std::unexpected(rows.error());
        const bool known = !rows->rows.empty();
        if (process && process->state == 'S' && known && rows->rows[0][1] == "t") co_return true;
        const bool first = pid == 0 && known;
        pid = known ? static_cast<pid_t>(parse_decimal(rows->rows[0][0].value_or("")).value_or(0))
                    : 0;
        if (first) continue;
        if (os::boottime_now() >= until) co_return false;
        co_await pause(2ms);
    }
}

Task<Status> end_walsenders(Connection& connection, cluster::Lsn sent_below) {
    auto ended = co_await connection.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_replication WHERE sync_priority > 0 "
        "AND state IN ('streaming', 'stopping') AND sent_lsn < $1::pg_lsn",
        {to_string(sent_below)}, patience_of_one);
    if (!ended) co_return within("ending walsenders that hang", ended.error());
    co_return Status{};
}

}  // namespace relevo::postgres
