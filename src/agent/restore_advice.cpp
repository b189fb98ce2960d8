#include "agent/restore_advice.h"

#include <chrono>
#include <utility>

namespace relevo::agent {
namespace {

// Each of three looks (ctl/restore.cpp waits for all).
constexpr Duration look_deadline = std::chrono::seconds(75);

}  // namespace

Task<Result<backup::RestoreAdvice>> advise(ports::Backup& port, backup::RestoreWish wish,
                                           cluster::Timeline current, WallTime now) {
    RLV_CO_TRY(auto repository, co_await port.info(look_deadline));
    backup::Stock stock;
    stock.now = now;
    auto archive = backup::archive_for(repository, wish);
    if (!archive)
        co_return backup::RestoreAdvice{.windows = {}, .choice = std::unexpected(archive.error())};
    RLV_CO_TRY(auto archived, co_await port.archived(*archive, look_deadline));
    const auto line = backup::line_for(wish, repository, archived.histories, current);
    if (!line)
        co_return backup::RestoreAdvice{.windows = {}, .choice = std::unexpected(line.error())};
    stock.line = *line;
    if (*line > 1) {
        RLV_CO_TRY(stock.history, co_await port.history(*archive, *line, look_deadline));
    }
    stock.repository = std::move(repository);
    stock.archive = *std::move(archive);
    stock.segments = std::move(archived.segments);
    stock.stored = std::move(archived.stored);
    stock.segment_bytes = archived.segment_bytes;
    co_return backup::choose_restore(stock, wish);
}

}  // namespace relevo::agent
