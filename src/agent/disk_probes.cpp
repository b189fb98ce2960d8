#include "agent/disk_probes.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <iterator>
#include <utility>

#include "base/log.h"
#include "os/disk_probe.h"

namespace relevo::agent {
namespace asio = boost::asio;

namespace {

using cluster::ProbeAnswer;

constexpr auto quietly = asio::as_tuple(asio::use_awaitable);
// Silence is counted in pieces of this, and no piece for more: a machine that was suspended, or an
// agent that was stopped, has not waited for its disk meanwhile.
constexpr Duration slice = std::chrono::milliseconds(500);
constexpr Duration at_once = std::chrono::milliseconds(250);

}  // namespace

struct DiskProbes::Lane {
    explicit Lane(asio::io_context& io) : alarm(io) {}
    Paths paths;
    os::Aside aside;
    cluster::DiskHealth health;
    asio::steady_timer alarm;
    std::string problem;  // as it was last complained of
    bool wanted = false, soon = false;
    bool runs = false;
};

DiskProbes::DiskProbes(asio::io_context& io, Parts parts)
    : io_(io), parts_(std::move(parts)), tasks_(io) {}

void DiskProbes::watch(const std::map<std::uint64_t, Paths>& disks) {
    for (auto at = lanes_.begin(); at != lanes_.end();) {
        if (disks.contains(at->first)) {
            ++at;
            continue;
        }
        at->second->wanted = false;
        at->second->alarm.cancel();
        // What hangs stays: watched again, it is waited for.
        at = at->second->aside.hangs() ? std::next(at) : lanes_.erase(at);
    }
    for (const auto& [device, paths] : disks) {
        auto& lane = lanes_[device];
        if (!lane) lane = std::make_shared<Lane>(io_);
        lane->paths = paths;
        if (lane->wanted) continue;
        lane->wanted = true;
        lane->health = {};
        if (!lane->runs) tasks_.spawn(run(lane));
    }
}

void DiskProbes::probe_now() {
    for (const auto& [device, lane] : lanes_) {
        lane->soon = true;
        lane->alarm.cancel();
    }
}

Task<void> DiskProbes::stop() {
    watch({});
    co_await tasks_.wait();
}

const cluster::DiskHealth* DiskProbes::health(std::uint64_t device) const {
    const auto at = lanes_.find(device);
    return at == lanes_.end() || !at->second->wanted ? nullptr : &at->second->health;
}

Task<void> DiskProbes::run(std::shared_ptr<Lane> lane) {
    lane->runs = true;
    while (lane->wanted) {
        lane->soon = false;
        const Duration pause = co_await probe(*lane);
        if (!lane->wanted) break;
        if (lane->soon) continue;
        lane->alarm.expires_after(std::chrono::duration_cast<std::chrono::milliseconds>(pause));
        co_await lane->alarm.async_wait(quietly);
    }
    lane->runs = false;
}

// -> how long until the next one.
Task<Duration> DiskProbes::probe(Lane& lane) {
    auto work = [probe = parts_.probe, paths = lane.paths] { return probe(paths); };
    Instant counted = parts_.clock.now();
    auto answer = co_await lane.aside.run(slice, std::move(work));
    while (!answer && lane.aside.hangs() && lane.wanted) {
        const Instant now = parts_.clock.now();
        lane.health.silent(parts_.settings(), std::min<Duration>(now - counted, slice));
        counted = now;
        parts_.heard();
        answer = co_await lane.aside.rest<ProbeAnswer>(slice);
    }
    if (!lane.wanted) co_return Duration{};
    // Without a thread nothing is known.
    const Duration pause = answer ? take(lane, *answer) : parts_.settings().probe_every;
    co_return std::max(pause, at_once);
}

Duration DiskProbes::take(Lane& lane, const ProbeAnswer& answer) {
    const auto settings = parts_.settings();
    const bool unknown = answer.what == ProbeAnswer::What::unknown;
    const auto problem = unknown ? answer.why : std::string();
    if (problem != lane.problem && unknown)
        log::warning("disk: {}: whether that file system takes writes is not known", problem);
    lane.problem = problem;
    const bool soon = lane.health.answered(settings, parts_.clock.now(), answer);
    parts_.heard();
    return soon ? at_once : settings.probe_every;
}

ProbeAnswer probe_one_of(const DiskProbes::Paths& paths) {
    ProbeAnswer answer;
    for (const auto& path : paths) {
        const auto probe = os::probe_disk(path);
        if (probe)
            return {probe->written ? ProbeAnswer::What::written : ProbeAnswer::What::full,
                    probe->took, ""};
        const auto& error = probe.error();
        if (error.code == ErrorCode::not_found) continue;
        if (error.code == ErrorCode::failed) return {ProbeAnswer::What::refused, {}, error.message};
        if (answer.why.empty()) answer = {ProbeAnswer::What::unknown, {}, error.message};
    }
    return answer;
}

}  // namespace relevo::agent
