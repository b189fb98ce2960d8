#include "postgres/clone.h"

#include <fmt/format.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <memory>
#include <variant>

#include "base/log.h"
#include "base/text.h"
#include "os/blocking.h"
#include "os/file.h"
#include "os/process.h"
#include "postgres/clone_job.h"
#include "postgres/commands.h"
#include "postgres/config_files.h"
#include "postgres/copy_progress.h"
#include "postgres/corruption.h"
#include "postgres/data_directory.h"
#include "postgres/half_made.h"
#include "postgres/pgpass.h"
#include "postgres/recovery_settings.h"
#include "postgres/voteless.h"

namespace relevo::postgres {

namespace asio = boost::asio;
using namespace std::chrono_literals;

Status check_replaceable(const CloneJob& job) {
    const std::string& dir = job.config.data_dir;
    RLV_TRY(const auto mark, read_half_made(dir));
    if (mark == by_return)
        return fail(
            ErrorCode::conflict,
            fmt::format("the data from before an interrupted copy is not back in {} yet", dir));
    if (!has_content(dir) || job.target_ours || job.plan.replace_existing || is_a_copy(mark))
        return {};
    return fail(ErrorCode::conflict,
                fmt::format("{} is not empty: nothing is copied over it", dir));
}

Status clear_target(CloneJob& job) {
    const std::string& dir = job.config.data_dir;
    // A copy has not what this member may have acknowledged, also when nothing stands here any
    // more.
    RLV_CHECK(check_replaceable(job));
    RLV_CHECK(mark_voteless(dir));
    if (!has_content(dir)) return {};
    if (job.target_ours) return wipe(dir);
    RLV_TRY(const auto mark, read_half_made(dir));
    if (is_a_copy(mark)) {
        // A copy that never finished holds nothing anybody needs; what it set aside may.
        RLV_TRY(job.moved, moved_earlier(dir, job.suffix));
        job.target_ours = true;
        return wipe(dir);
    }
    // It may be half made itself (a rewind that broke off): that goes with it, and comes back.
    const std::string aside = path_beside(dir, job.suffix);
    RLV_CHECK(mark ? mark_half_made(aside, *mark) : clear_half_made(aside));
    auto moved =
        move_aside(dir, job.suffix, job.suffix == set_aside_suffix ? Older::removed : Older::kept);
    if (!moved) return std::unexpected(moved.error());
    job.moved = *std::move(moved);
    log::info("the old data waits in {} until the copy is complete", aside);
    return {};
}

namespace {

constexpr int basebackup_attempts = 2;
constexpr auto between_attempts = 5s;
constexpr auto progress_interval = 1s;

std::string source_conninfo(const CloneJob& job) {
    if (!job.plan.source) return {};
    std::vector<std::pair<std::string, std::string>> pairs{
        {"dbname", job.config.database},
        {"user", job.config.replication.username},
        {"passfile", job.passfile},
        {"host", job.plan.source->host},
        {"port", std::to_string(job.plan.source->port)}};
    const auto options = account_options(job.config.replication, job.version);
    pairs.insert(pairs.end(), options.begin(), options.end());
    pairs.emplace_back("krbsrvname", job.config.krbsrvname);
    return make_conninfo(pairs);
}

// A method with keep_data works on what is there (a restore of the differences). The mark says that
// it is no longer whole, and not that it can go.
Status keep_target(CloneJob& job) {
    const std::string& dir = job.config.data_dir;
    RLV_TRY(const auto by, read_half_made(dir));
    if (by != by_method) RLV_CHECK(check_replaceable(job));
    RLV_CHECK(mark_voteless(dir));
    if (!has_content(dir) || job.target_ours || is_a_copy(by)) return mark_half_made(dir, by_clone);
    job.changed_in_place = job.trusts_content = true;
    return mark_half_made(dir, by_method);
}

// Marks the target. The mark comes after the move: it must never stand beside data that is whole.
Status prepare(CloneJob& job, bool keep_data) {
    if (keep_data) {
        RLV_CHECK(keep_target(job));
    } else {
        RLV_CHECK(clear_target(job));
        RLV_CHECK(mark_half_made(job.config.data_dir, by_clone));
        job.target_ours = true;
    }
    if (job.plan.source) {
        RLV_TRY(job.passfile, write_pgpass(job.config, *job.plan.source));
    }
    return ensure_directory(job.config.data_dir);
}

Task<Result<os::Finished>> report(CloneJob& job, std::string method) {
    asio::steady_timer timer(co_await asio::this_coro::executor);
    for (;;) {
        timer.expires_after(progress_interval);
        const auto [error] = co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
        if (error) co_return fail(ErrorCode::cancelled, "the copy was given up");
        const auto bytes =
            co_await job.pool.run([dir = job.config.data_dir] { return directory_size(dir); });
        job.plan.progress({.method = method, .done_bytes = bytes, .total_bytes = 0, .percent = {}});
    }
}

// The command, while the growing directory tells how far it is; of one that says so itself nothing
// more is asked.
Task<Result<os::Finished>> run_watched(CloneJob& job, os::Command command, std::string method) {
    using namespace asio::experimental::awaitable_operators;
    command.dies_with_us = true;
    if (!job.plan.progress || command.on_output) {
        auto finished = co_await os::run(job.pool, std::move(command));
        co_return finished;
    }
    auto running = os::run(job.pool, std::move(command));
    auto reporting = report(job, std::move(method));
    auto either = co_await (std::move(running) || std::move(reporting));
    co_return std::visit([](auto& finished) { return std::move(finished); }, either);
}

Status outcome(const std::string& what, const Result<os::Finished>& finished) {
    if (!finished) return within(what, finished.error());
    if (!finished->ok())
        return fail(ErrorCode::failed, fmt::format("{}: {}", what, os::describe(*finished)));
    return {};
}

Task<Status> basebackup_once(CloneJob& job) {
    auto ready = co_await job.pool.run([&job] { return prepare(job, false); });
    if (!ready) co_return ready;
    std::vector<std::string> warnings;
    os::Command command;
    command.arguments = basebackup_arguments(job.config, source_conninfo(job), job.config.data_dir,
                                             job.version, warnings);
    for (const std::string& warning : warnings) log::warning("{}", warning);
    command.arguments.insert(command.arguments.begin(), program_path(job.config, "pg_basebackup"));
    if (!job.passfile.empty()) command.environment["PGPASSFILE"] = job.passfile;
    command.environment["LC_ALL"] = "C";
    if (job.plan.progress)
        command.on_output = [reader = std::make_shared<BasebackupProgress>(),
                             tell = job.plan.progress](std::string_view piece) {
            if (reader->read(piece)) tell(reader->progress());
        };
    auto finished = co_await run_watched(job, std::move(command), "basebackup");
    co_return outcome("pg_basebackup", finished);
}

Task<Status> basebackup(CloneJob& job) {
    if (!job.plan.source)
        co_return fail(ErrorCode::unavailable, "pg_basebackup needs a server to copy from");
    Status done;
    for (int attempt = 1; attempt <= basebackup_attempts; ++attempt) {
        done = co_await basebackup_once(job);
        if (done || done.error().code == ErrorCode::cancelled ||
            done.error().code == ErrorCode::conflict)
            co_return done;
        log::warning("copying from {} failed (attempt {}): {}", job.plan.source->host, attempt,
                     done.error().message);
        if (attempt == basebackup_attempts) break;
        asio::steady_timer timer(co_await asio::this_coro::executor, between_attempts);
        const auto [error] = co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
        if (error) co_return fail(ErrorCode::cancelled, "the copy was given up");
    }
    co_return done;
}

Task<Status> custom(CloneJob& job, const ports::ReplicaMethod& method) {
    auto ready = co_await job.pool.run([&job, &method] { return prepare(job, method.keep_data); });
    if (!ready) co_return ready;
    auto words = replica_method_command(job.config, method, source_conninfo(job));
    if (!words) co_return std::unexpected(words.error());
    os::Command command;
    command.arguments = *std::move(words);
    if (!job.passfile.empty()) command.environment["PGPASSFILE"] = job.passfile;
    auto finished = co_await run_watched(job, std::move(command), method.name);
    co_return outcome(fmt::format("replica method {}", method.name), finished);
}

Task<Status> run_method(CloneJob& job, const std::string& name) {
    const auto found = job.config.replica_methods.find(name);
    if (found != job.config.replica_methods.end() && !found->second.command.empty()) {
        if (!job.plan.source && !found->second.no_leader)
            co_return fail(ErrorCode::unavailable,
                           fmt::format("replica method {} needs a leader", name));
        Status done = co_await custom(job, found->second);
        co_return done;
    }
    if (found != job.config.replica_methods.end() && found->second.from_repository) {
        Status done = co_await clone_from_repository(job, found->second);
        co_return done;
    }
    if (name == "basebackup") {
        Status done = co_await basebackup(job);
        co_return done;
    }
    co_return fail(ErrorCode::invalid,
                   fmt::format("create_replica_methods names {}, which has no command", name));
}

// Complete: only now does the old content go. Blocking.
Status finish(CloneJob& job) {
    const std::string& dir = job.config.data_dir;
    RLV_CHECK(ConfigFiles(job.config).restore());
    // Whoever starts this copy starts a standby; the source's own recovery files mean nothing here.
    RLV_CHECK(write_standby_signal(dir));
    for (const char* name : {"/promote", "/promote.signal", "/recovery.conf", "/recovery.done"})
        RLV_CHECK(os::remove_file(dir + name));
    RLV_CHECK(sync_content(
        dir));  // before anybody may take it for complete, and before the old data goes
    RLV_CHECK(clear_half_made(dir));
    // After that: what was known was about the content that only now goes for good.
    if (!job.plan.keep_as.empty()) {
        RLV_CHECK(kept_for_good(dir, job.suffix));
    } else {
        if (auto cleared = job.trusts_content ? Status{} : clear_corruption(dir); !cleared)
            log::warning("the old data's mark of damage stays until it is flushed: {}",
                         cleared.error().message);
        if (auto removed = remove_moved(job.moved); !removed)
            log::warning("the old data could not be removed and can be by hand: {}",
                         removed.error().message);
    }
    // No error any more: with it the copy would give way to old data that is gone.
    if (auto cleared = clear_half_made(path_beside(dir, job.suffix)); !cleared)
        log::warning("what was left of the old data's marks: {}", cleared.error().message);
    return {};
}

// Failed: the old content comes back, or the directory is emptied. Blocking.
Status undo(CloneJob& job) {
    const std::string& dir = job.config.data_dir;
    if (!job.moved.empty()) return bring_back(dir, job.suffix, job.moved);
    if (job.target_ours) {
        RLV_TRY(const auto mark, read_half_made(dir));
        if (mark == by_restore) return {};  // the next one goes on with it
        RLV_CHECK(wipe(dir));
    } else {
        return {};  // nothing was touched, or only in place: the mark stays
    }
    return job.changed_in_place ? mark_half_made(dir, by_method) : clear_half_made(dir);
}

}  // namespace

Task<Status> clone(os::Blocking& pool, const ports::PostgresConfig& config,
                   const ports::Postgres::ClonePlan& plan, int version) {
    CloneJob job{.pool = pool,
                 .config = config,
                 .plan = plan,
                 .version = version,
                 .moved = {},
                 .passfile = {}};
    // A cancelled copy still has to be undone: cancellation comes as an error, never as an
    // exception.
    const bool throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    std::vector<std::string> methods = config.create_replica_methods;
    if (plan.only_basebackup || methods.empty()) methods = {"basebackup"};

    Status done = fail(ErrorCode::invalid, "no replica method is configured");
    // No method may work on what is kept: it goes aside before the first one.
    if (!plan.keep_as.empty()) {
        job.suffix = plan.keep_as;
        const auto ready = co_await pool.run([&job]() -> Status {
            RLV_CHECK(begin_keeping(job.config.data_dir, job.plan.keep_as));
            return prepare(job, false);
        });
        if (!ready) {
            done = ready;
            methods.clear();
        }
    }
    for (const std::string& name : methods) {
        done = co_await run_method(job, name);
        if (done || done.error().code == ErrorCode::cancelled ||
            done.error().code == ErrorCode::conflict)
            break;
        log::warning("replica method {}: {}", name, done.error().message);
    }
    if (done) done = co_await pool.run([&job] { return finish(job); });
    if (!done) {
        Status undone = co_await pool.run([&job]() -> Status {
            RLV_CHECK(undo(job));
            const auto& dir = job.config.data_dir;
            if (!job.moved.empty() || job.plan.keep_as.empty()) return {};
            RLV_CHECK(put_links_back(dir, job.suffix));  // moving them aside may have broken off
            return end_keeping(dir, job.suffix);
        });
        if (!undone) log::error("after a failed copy: {}", undone.error().message);
    }
    co_await asio::this_coro::throw_if_cancelled(throws);
    co_return done;
}

}  // namespace relevo::postgres
