#include "agent/disks.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace relevo::agent {
namespace asio = boost::asio;

namespace {

using cluster::DiskPlace;
using cluster::DiskReport;
using cluster::DiskState;

constexpr auto quietly = asio::as_tuple(asio::use_awaitable);
// statvfs answers from memory. What needs this long waits for a disk, and goes on waiting without
// us; the agent's end waits for it no longer either.
constexpr Duration patience = std::chrono::seconds(2);

}  // namespace

Disks::Disks(asio::io_context& io, Parts parts)
    : parts_(std::move(parts)), tasks_(io), alarm_(io) {}

void Disks::start() { tasks_.spawn(watch()); }

Task<void> Disks::stop() {
    stopping_ = true;
    alarm_.cancel();
    co_await tasks_.wait();
}

Task<void> Disks::watch() {
    while (!stopping_) {
        soon_ = false;
        const Instant asked = parts_.clock.now();
        auto ask = parts_.where();
        ask.settings = parts_.settings();
        auto seen = co_await aside_.run(patience, [ask] { return look_at_disks(ask); });
        if (stopping_) break;
        if (seen)
            co_await take(*std::move(seen));
        else
            note_silence(asked);
        if (stopping_) break;
        if (soon_) continue;
        alarm_.expires_after(std::chrono::duration_cast<std::chrono::milliseconds>(pause()));
        co_await alarm_.async_wait(quietly);
    }
}

void Disks::look_now() {
    soon_ = true;
    alarm_.cancel();
}

Task<void> Disks::make_way() {
    auto ask = parts_.where();
    ask.settings = parts_.settings();
    // Of the clients that wait meanwhile; without it the handover still is a failover.
    constexpr Duration at_most = std::chrono::milliseconds(500);
    co_await way_.run(at_most, [ask] {
        give_ballast(ask);
        return true;
    });
}

// By the place that is nearest to its end.
Duration Disks::pause() const {
    Duration shortest = std::chrono::seconds(5);
    if (!report_) return shortest;
    const auto settings = parts_.settings();
    for (const DiskPlace& place : report_->places)
        shortest = std::min(shortest, look_again_after(settings, place.total, place.free));
    return shortest;
}

void Disks::note_silence(Instant asked) {
    if (std::exchange(silent_, true)) return;
    const Instant since = report_ ? report_->measured : asked;
    log::warning(
        "disk: how much is free cannot be measured since {:.0f} s, the disk does not answer: "
        "nothing is known of it until it does",
        to_s(parts_.clock.now() - since));
}

Task<void> Disks::take(DiskSeen seen) {
    if (std::exchange(silent_, false)) log::info("disk: it answers again");
    if (seen.problem != problem_ && !seen.problem.empty())
        log::warning("disk: {}: that file system is not watched", seen.problem);
    problem_ = seen.problem;
    if (seen.ballast_problem != ballast_problem_ && !seen.ballast_problem.empty())
        log::warning("disk: no room is kept for the way out of a full disk: {}",
                     seen.ballast_problem);
    ballast_problem_ = seen.ballast_problem;
    const auto had = report_ ? report_->ballast : 0;
    if (had > 0 && seen.ballast == 0 && parts_.settings().ballast > 0)
        log::warning("disk: the ballast of {} was given back, for the way out",
                     cluster::size_text(had));
    auto report = judge(seen, parts_.clock.now());
    const auto before = report_ ? report_->state : DiskState::ok;
    const bool noted = report_ && !report_->note.empty();
    const bool fine = std::ranges::all_of(
        report.places, [](const DiskPlace& place) { return place.state == DiskState::ok; });
    const bool first = !report_, changes = report.state != before || noted == fine;
    if (!changes) report.note = report_ ? report_->note : std::string();
    if (changes && !fine) report.note = co_await note_for(report);
    report_ = std::make_shared<const DiskReport>(std::move(report));
    parts_.measured();
    if (changes) tell(*report_);
    // That there is room is news to an agent whose server refuses writes since before it came.
    if (first || changes) parts_.changed({report_->state, report_->note});
}

DiskReport Disks::judge(const DiskSeen& seen, Instant at) {
    const auto settings = parts_.settings();
    DiskReport report;
    report.measured = at;
    report.ballast = seen.ballast;
    std::map<std::uint64_t, Tracked> still;
    for (const auto& place : seen.places) {
        Tracked& tracked = still[place.device] = std::move(by_[place.device]);
        tracked.forecast.add(at, place.free);
        const auto judged =
            cluster::judge(settings, tracked.state, place.total, place.free, tracked.forecast);
        tracked.state = judged.state;
        // Without the spool archiving stops, and WAL waits in pg_wal: that is seen there.
        const auto state = place.vital ? judged.state : std::min(judged.state, DiskState::warning);
        report.places.push_back({place.what, place.total, place.free, state, judged.left});
        if (place.vital) report.state = std::max(report.state, state);
    }
    by_ = std::move(still);
    return report;
}

// What holds WAL takes a longer look, which only a change is worth.
Task<std::string> Disks::note_for(const DiskReport& report) {
    auto ask = parts_.where();
    ask.in_detail = true;
    ask.settings = parts_.settings();
    const auto detail = co_await aside_.run(patience, [ask] { return look_at_disks(ask); });
    cluster::WalHolders holders;
    if (const auto view = parts_.view()) holders.slots = cluster::holding_slots(view->postgres);
    holders.wal_keep_size = parts_.wal_keep_size();
    if (detail) {
        holders.wal_bytes = detail->wal_bytes;
        holders.queue_segments = detail->queue_segments;
        holders.queue_bytes = detail->queue_bytes;
    }
    co_return cluster::disk_note(report.places, holders);
}

void Disks::tell(const DiskReport& report) {
    if (report.note.empty()) return log::info("disk: there is room enough again");
    if (report.state == DiskState::hold)
        log::error("disk: so little is left that PostgreSQL will soon fail to write. {}",
                   report.note);
    else
        log::warning("disk: it fills. {}", report.note);
}

}  // namespace relevo::agent
