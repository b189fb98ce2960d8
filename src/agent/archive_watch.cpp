#include "agent/archive_watch.h"

#include "base/log.h"

namespace relevo::agent {

namespace {
// How exact the figure is; a look costs the server one connection and the reading of a directory.
constexpr Duration between_looks = std::chrono::seconds(5);
}  // namespace

ArchiveWatch::ArchiveWatch(boost::asio::io_context& io, ports::Clock& clock, ports::Backup& backup,
                           ports::Postgres& postgres)
    : clock_(clock), backup_(backup), postgres_(postgres), tasks_(io) {}

void ArchiveWatch::see(const ports::View& view) {
    const Instant now = clock_.now();
    const bool primary = view.lock_valid(now) && view.postgres.primary();
    const auto serves = primary && backup_.configured() ? view.term : 0;
    if (serves != serves_) {
        serves_ = serves;
        status_.reset();
        lag_ = {};
        next_ = now;
    }
    if (stopping_ || serves_ == 0 || looking_ || now < next_) return;
    looking_ = true;
    next_ = now + between_looks;
    tasks_.spawn(look());
}

Task<void> ArchiveWatch::look() {
    const auto serves = serves_;
    const auto seen = co_await postgres_.archiver();
    looking_ = false;
    if (stopping_ || serves != serves_) co_return;
    if (!seen) {
        log::debug("{}", seen.error().message);
        lag_.could_not_look();
        if (status_) status_ = lag_.status();
        co_return;
    }
    lag_.look(*seen, clock_.wall());
    status_ = lag_.status();
}

Task<void> ArchiveWatch::stop() {
    stopping_ = true;
    co_await tasks_.wait();
}

}  // namespace relevo::agent
