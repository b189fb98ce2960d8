#include "agent/copies.h"

#include <fmt/format.h>

#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <csignal>
#include <utility>

#include "backup/replica.h"
#include "base/log.h"
#include "os/process.h"

namespace relevo::agent {

namespace {

// As who asks through the API gets it; the next method has to wait for the answer.
constexpr Duration info_deadline = std::chrono::seconds(75);
// What was killed is gone within milliseconds, unless a disk hangs.
constexpr Duration death_takes = std::chrono::seconds(5);

enum class Part { none, whole, helper };

Part part_of(const os::ProcessInfo& process, const std::string& into) {
    const auto words = " " + process.title + " ";
    if (!words.contains(fmt::format(" --pg1-path={} ", into))) return Part::none;
    if (words.contains(" restore:local ")) return Part::helper;
    return words.contains(" restore ") ? Part::whole : Part::none;
}

}  // namespace

Status end_leftovers(const std::string& into) {
    for (const auto& seen : os::all_processes()) {
        if (part_of(seen, into) == Part::none) continue;
        auto handle = os::PidHandle::open(seen.pid);
        if (!handle) continue;
        // The number may have come to mean another one since.
        const auto now = os::process_info(seen.pid);
        const auto part = now ? part_of(*now, into) : Part::none;
        if (part == Part::none) continue;
        if (part == Part::helper) {
            log::warning("process {} is left of a restore into {} and is ended", seen.pid, into);
            RLV_CHECK(handle->send(SIGKILL));
        }
        if (!handle->wait(death_takes))
            return fail(
                ErrorCode::conflict,
                fmt::format("process {} restores into {}: wait for it, or end it", seen.pid, into));
    }
    return {};
}

Task<Result<cluster::BackupRecord>> Copies::newest(cluster::WalLine line) {
    // At an agent's start perhaps nothing has rendered pgBackRest's file yet.
    auto rendered = co_await backup_.apply();
    if (!rendered) co_return std::unexpected(rendered.error());
    auto repository = co_await backup_.info(info_deadline);
    if (!repository) co_return std::unexpected(repository.error());
    co_return backup::for_replica(*repository, line);
}

Task<Status> Copies::restore(Restore what) {
    // Being told to end comes by end_restore(), and never as an exception.
    co_await boost::asio::this_coro::throw_if_cancelled(false);
    auto clear = co_await pool_.run([&what] { return end_leftovers(what.into); });
    if (!clear) co_return clear;
    // Meanwhile there was no restore yet that could be told to end.
    const auto told = co_await boost::asio::this_coro::cancellation_state;
    if (told.cancelled() != boost::asio::cancellation_type::none)
        co_return fail(ErrorCode::cancelled, "the restore was given up before it began");
    ports::Backup::RestorePlan plan;
    plan.into = what.into;
    plan.delta = what.delta;
    plan.backup = what.backup.label;
    plan.repository = what.backup.repository;
    plan.as_standby = true;
    plan.progress = std::move(what.progress);
    auto done = co_await backup_.restore(std::move(plan));
    co_return done;
}

}  // namespace relevo::agent
