#include "agent/disks.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <fmt/core.h>

#include <algorithm>
#include <utility>
#include <vector>

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

std::vector<std::string> failing(const DiskReport& report) {
    std::vector<std::string> out;
    for (const DiskPlace& place : report.places)
        if (place.state == DiskState::failed) out.push_back(place.what);
    return out;
}

}  // namespace

Disks::Disks(asio::io_context& io, Parts parts)
    : parts_(std::move(parts)),
      tasks_(io),
      alarm_(io),
      probes_(io, {.clock = parts_.clock,
                   .settings = parts_.settings,
                   .probe = parts_.probe,
                   .heard = [this] { heard(); }}) {}

void Disks::start() { tasks_.spawn(watch()); }

Task<void> Disks::stop() {
    stopping_ = true;
    alarm_.cancel();
    co_await tasks_.wait();
    co_await probes_.stop();
}

DiskAsk Disks::ask() {
    auto out = parts_.where();
    out.settings = parts_.settings();
    return out;
}

Task<void> Disks::watch() {
    while (!stopping_) {
        soon_ = false;
        const auto seen = co_await look();
        if (stopping_) break;
        if (seen) {
            const Instant at = parts_.clock.now();
            complain(*seen);
            measure(*seen, at);
            watch_probes(*seen);
            co_await conclude();
        }
        if (stopping_) break;
        if (soon_) continue;
        alarm_.expires_after(std::chrono::duration_cast<std::chrono::milliseconds>(pause()));
        co_await alarm_.async_wait(quietly);
    }
}

// Nothing: we stop, or there was no thread for it. While it hangs, what the probes say goes on to
// count.
Task<std::optional<DiskSeen>> Disks::look() {
    auto asking = ask();
    asking.past_vital = past_vital_ = std::make_shared<std::atomic<bool>>(false);
    asked_ = parts_.clock.now();
    Instant counted = asked_;
    auto work = [asking, look = parts_.look] { return look(asking); };
    auto seen = co_await aside_.run(patience, std::move(work));
    while (!seen && aside_.hangs() && !stopping_) {
        const Instant now = parts_.clock.now();
        // Longer than its patience it did not wait: it was suspended.
        silence_ += std::min<Duration>(now - counted, patience);
        counted = now;
        note_silence();
        if (parts_.settings().probe_every == Duration::zero()) probes_.watch({});
        co_await conclude();
        seen = co_await aside_.rest<DiskSeen>(patience);
    }
    if (!aside_.hangs()) silence_ = {};
    co_return seen;
}

void Disks::look_now() {
    probes_.probe_now();
    wake();
}

void Disks::wake() {
    soon_ = true;
    alarm_.cancel();
}

Task<void> Disks::make_way() {
    const auto asking = ask();
    // Of the clients that wait meanwhile; without it the handover still is a failover.
    constexpr Duration at_most = std::chrono::milliseconds(500);
    co_await way_.run(at_most, [asking] {
        give_ballast(asking);
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

void Disks::note_silence() {
    if (std::exchange(silent_, true)) return;
    const Instant since = report_ ? report_->measured : asked_;
    log::warning(
        "disk: how much is free cannot be measured since {:.0f} s, the disk does not answer: "
        "nothing is known of it until it does",
        to_s(parts_.clock.now() - since));
}

void Disks::complain(const DiskSeen& seen) {
    if (std::exchange(silent_, false)) log::info("disk: it answers again");
    if (seen.problem != problem_ && !seen.problem.empty())
        log::warning("disk: {}: that file system is not watched", seen.problem);
    problem_ = seen.problem;
    if (seen.ballast_problem != ballast_problem_ && !seen.ballast_problem.empty())
        log::warning("disk: no room is kept for the way out of a full disk: {}",
                     seen.ballast_problem);
    ballast_problem_ = seen.ballast_problem;
    if (measured_.ballast > 0 && seen.ballast == 0 && parts_.settings().ballast > 0)
        log::warning("disk: the ballast of {} was given back, for the way out",
                     cluster::size_text(measured_.ballast));
}

void Disks::measure(const DiskSeen& seen, Instant at) {
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
        report.places.push_back({.what = place.what,
                                 .total = place.total,
                                 .free = place.free,
                                 .state = state,
                                 .left = judged.left,
                                 .device = place.device,
                                 .vital = place.vital,
                                 .written = std::nullopt});
    }
    // What cannot be looked at is there all the same: how much is free was known, and its probe
    // goes on.
    for (const DiskPlace& place : measured_.places)
        if (seen.vital_unseen && probed_.contains(place.device) && !still.contains(place.device))
            report.places.push_back(place);
    by_ = std::move(still);
    measured_ = std::move(report);
}

void Disks::watch_probes(const DiskSeen& seen) {
    auto before = std::exchange(probed_, {});
    if (parts_.settings().probe_every > Duration::zero()) {
        for (const auto& place : seen.places)
            if (!place.probe_paths.empty()) probed_[place.device] = place.probe_paths;
        if (seen.vital_unseen) probed_.merge(before);
    }
    probes_.watch(probed_);
}

// The numbers of a probe are shown at once; what it comes to is concluded where all else is.
void Disks::heard() {
    if (stopping_) return;
    if (!report_) return wake();
    auto report = std::make_shared<DiskReport>(*report_);
    bool news = false;
    for (DiskPlace& place : report->places) {
        const auto* health = probes_.health(place.device);
        place.written = health != nullptr ? health->written() : std::nullopt;
        news = news || failed(place) != (place.state == DiskState::failed);
    }
    report_ = std::move(report);
    parts_.measured();
    if (news) wake();
}

// Without an answer to the look that is under way, nor to a probe since it began. What hangs may
// still be the spool.
bool Disks::looks_hang(std::uint64_t device) const {
    const auto settings = parts_.settings();
    if (settings.probe_every == Duration::zero() || silence_ < settings.failed_after) return false;
    const auto* health = probes_.health(device);
    const bool writes = health != nullptr && health->written() && health->written()->at > asked_;
    return !writes && !*past_vital_;
}

bool Disks::failed(const DiskPlace& place) const {
    if (!place.vital) return false;
    const auto* health = probes_.health(place.device);
    return (health != nullptr && health->failed()) || looks_hang(place.device);
}

DiskReport Disks::combined() const {
    DiskReport report = measured_;
    for (DiskPlace& place : report.places) {
        const auto* health = probes_.health(place.device);
        if (health != nullptr) place.written = health->written();
        if (failed(place)) place.state = DiskState::failed;
        if (place.vital) report.state = std::max(report.state, place.state);
    }
    // An agent that was started on a dead disk has measured nothing.
    if (report.places.empty() && looks_hang(0)) report.state = DiskState::failed;
    if (report.measured == Instant{}) report.measured = asked_;
    return report;
}

// How all of them stand, or that one has failed.
bool Disks::all_known(const DiskReport& report) const {
    if (report.state == DiskState::failed) return true;
    return measured_.measured != Instant{} &&
           std::ranges::all_of(report.places, [this](const DiskPlace& place) {
               const auto* health = probes_.health(place.device);
               return health == nullptr || health->known();
           });
}

Task<void> Disks::conclude() {
    auto report = combined();
    if (!report_ && !all_known(report)) co_return;
    const auto before = report_ ? report_->state : DiskState::ok;
    const bool noted = report_ && !report_->note.empty();
    const bool fine = report.state == DiskState::ok &&
                      std::ranges::all_of(report.places, [](const DiskPlace& place) {
                          return place.state == DiskState::ok;
                      });
    const bool first = !report_;
    const bool changes = report.state != before || noted == fine ||
                         (report_ && failing(*report_) != failing(report));
    if (!changes) report.note = report_ ? report_->note : std::string();
    if (changes && !fine) report.note = co_await note_for(report);
    report_ = std::make_shared<const DiskReport>(std::move(report));
    parts_.measured();
    if (changes) tell(*report_, before);
    // That there is room is news to an agent whose server refuses writes since before it came.
    if (first || changes) parts_.changed({report_->state, report_->note});
}

// What holds WAL takes a longer look, which only a change is worth.
Task<std::string> Disks::note_for(const DiskReport& report) {
    if (report.state == DiskState::failed) co_return failed_note(report);
    auto asking = ask();
    asking.in_detail = true;
    auto work = [asking, look = parts_.look] { return look(asking); };
    const auto detail = co_await aside_.run(patience, std::move(work));
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

std::string Disks::failed_note(const DiskReport& report) const {
    const auto silent =
        fmt::format("no answer to a look within {} s", parts_.settings().failed_after.count());
    std::vector<cluster::FailedPlace> places;
    for (const DiskPlace& place : report.places) {
        if (place.state != DiskState::failed) continue;
        const auto* health = probes_.health(place.device);
        places.push_back(
            {place.what, health != nullptr && health->failed() ? health->why() : silent});
    }
    if (places.empty()) places.push_back({"data or WAL", silent});
    const auto view = parts_.view();
    return cluster::failed_note(places, view ? view->scope : "", view ? view->name : "");
}

void Disks::tell(const DiskReport& report, DiskState before) {
    if (report.state == DiskState::failed)
        return log::error("disk: it takes no writes. {}", report.note);
    if (before == DiskState::failed) log::info("disk: it takes writes again");
    if (report.state == DiskState::hold)
        log::error("disk: so little is left that PostgreSQL will soon fail to write. {}",
                   report.note);
    else if (!report.note.empty())
        log::warning("disk: it fills. {}", report.note);
    else if (before != DiskState::failed)
        log::info("disk: there is room enough again");
}

}  // namespace relevo::agent
