#include "agent/origin.h"

#include <fmt/format.h>

#include "agent/restore_advice.h"
#include "base/log.h"

namespace relevo::agent {

ports::BackupConfig origin_config(const Configuration& conf) {
    auto out = conf.local().backup;
    const auto& origin = conf.postgres().bootstrap.origin;
    if (!origin) return {};
    out.present = true;
    if (!origin->stanza.empty()) out.stanza = origin->stanza;
    if (!origin->config.empty()) {
        out.config = origin->config;
        out.options.clear();
        out.command_options.clear();
    }
    return out;
}

Task<Status> restore_origin(ports::Backup& origin, ports::Backup& own, const Configuration& conf,
                            const ports::Clock& clock) {
    const auto& asked = conf.postgres().bootstrap.origin;
    if (!asked) co_return fail(ErrorCode::invalid, "bootstrap.method is no longer pgbackrest");
    const backup::RestoreWish wish{.target = asked->target, .backup = asked->backup};
    // The directories for locks and logs; and the file, where the section tells the repository.
    auto& renders = own.configured() ? own : origin;
    RLV_CO_CHECK(co_await renders.apply());
    RLV_CO_TRY(const auto advice, co_await advise(origin, wish, 0, clock.wall()));
    if (!advice.choice) co_return std::unexpected(advice.choice.error());
    const auto& choice = *advice.choice;
    for (const auto& note : choice.notes) log::warning("restore: {}", note);
    ports::Backup::RestorePlan plan;
    plan.into = conf.postgres().data_dir;
    plan.backup = choice.backup.label;
    plan.repository = choice.backup.repository;
    plan.target = choice.target;
    log::info("restore: {} into {}, backup {} along timeline {}", describe(plan.target), plan.into,
              choice.backup.label, to_string(plan.target.timeline));
    plan.progress = [last = std::uint64_t{0}](const cluster::BackupProgress& now) mutable {
        constexpr std::uint64_t step = 1ULL << 30U;  // a line for each GiB
        if (now.done_bytes < last + step) return;
        last = now.done_bytes;
        log::info("restore: {} MiB, {:.1f} %", now.done_bytes >> 20U, now.percent.value_or(0));
    };
    co_return co_await origin.restore(std::move(plan));
}

}  // namespace relevo::agent
