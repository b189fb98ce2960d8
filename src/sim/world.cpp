#include "sim/world.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

namespace relevo::sim {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

World::World(const Plan& p) : plan(p), dice(p.seed), trace(p.trace) {
    const auto nodes = static_cast<std::size_t>(plan.members) + 1;
    cut_.assign(nodes * nodes, 0);
    lag_.assign(nodes * nodes, Duration{});
    for (int i = 0; i < plan.members; ++i) {
        Host host;
        host.name = fmt::format("pg-{}", i + 1);
        const double spread = 2 * static_cast<double>(dice.below(1001)) / 1000.0 - 1;
        host.rate = 1 + plan.drift * spread;
        host.clock_start = seconds(1000 * (i + 1)) + dice.between({}, seconds(999));
        host.wall_offset = dice.between({}, milliseconds(500));
        host.ballast = plan.disks;
        hosts.push_back(std::move(host));
    }
}

int World::index_of(const std::string& member_name) const {
    for (int i = 0; i < plan.members; ++i)
        if (name(i) == member_name) return i;
    return -1;
}

void World::at(Instant when, Action&& what) { put(keep(when, -1, 0, std::move(what))); }

World::Entry World::keep(Instant when, int member, int boot, Action&& what) {
    std::uint32_t place = 0;
    if (free_jobs_.empty()) {
        place = static_cast<std::uint32_t>(jobs_.size());
        jobs_.emplace_back();
    } else {
        place = free_jobs_.back();
        free_jobs_.pop_back();
    }
    Job& job = jobs_[place];
    job.what = std::move(what);
    job.member = member;
    job.boot = boot;
    return {std::max(when, now_), ++sequence_, place};
}

void World::put(Entry entry) {
    queue_.push_back(entry);
    std::ranges::push_heap(queue_, later);
}

void World::on_host(int member, Duration delay, Action&& what) {
    put(keep(now_ + delay, member, host(member).boot, std::move(what)));
}

void World::tick_on_host(int member, Duration delay, Action&& what) {
    ticks_.push_back(keep(now_ + delay, member, host(member).boot, std::move(what)));
}

void World::to_host(int member, Duration delay, Action&& what) {
    put(keep(now_ + delay, member, any_boot, std::move(what)));
}

bool World::take_next(Instant end, Entry& out) {
    const auto tick = std::ranges::max_element(ticks_, later);
    if (tick != ticks_.end() && (queue_.empty() || later(queue_.front(), *tick))) {
        if (tick->at > end) return false;
        out = *tick;
        *tick = ticks_.back();
        ticks_.pop_back();
        return true;
    }
    if (queue_.empty() || queue_.front().at > end) return false;
    std::ranges::pop_heap(queue_, later);
    out = queue_.back();
    queue_.pop_back();
    return true;
}

void World::run(Job& job) {
    if (job.member < 0) return job.what();
    Host& h = host(job.member);
    if (!h.powered || (job.boot != any_boot && h.boot != job.boot)) return;
    if (h.frozen)
        h.deferred.push_back(std::move(job.what));
    else
        job.what();
}

void World::run_until(Instant end) {
    Entry entry;
    while (!stopped && take_next(end, entry)) {
        now_ = entry.at;
        ++happened_;
        Job& job = jobs_[entry.job];
        run(job);
        job.what = {};
        free_jobs_.push_back(entry.job);
    }
    if (!stopped) now_ = std::max(now_, end);
}

Instant World::mono(int member) const {
    const Host& h = hosts[static_cast<std::size_t>(member)];
    const auto scaled = static_cast<double>(now_.time_since_epoch().count()) * h.rate;
    return Instant(h.clock_start + Duration(static_cast<std::int64_t>(scaled)));
}

Instant World::world_time(int member, Instant mono) const {
    const Host& h = hosts[static_cast<std::size_t>(member)];
    const auto own = static_cast<double>((mono.time_since_epoch() - h.clock_start).count());
    // Never early: a timer that fires before its time would only set itself again.
    return Instant(Duration(static_cast<std::int64_t>(own / h.rate)) + microseconds(1));
}

WallTime World::wall(int member) const {
    const Host& h = hosts[static_cast<std::size_t>(member)];
    return WallTime(
        std::chrono::duration_cast<microseconds>(now_.time_since_epoch() + h.wall_offset) +
        seconds(1'800'000'000));
}

void World::set_cut(int from, int to, bool cut) { cut_[index(from, to)] = cut ? 1 : 0; }

void World::heal_all() {
    std::ranges::fill(cut_, 0);
    std::ranges::fill(lag_, Duration{});
}

Duration World::latency() {
    if (faults_on && plan.profile == Profile::rough && dice.chance(0.003))
        return dice.between(milliseconds(10), seconds(3));
    return plain_latency();
}

Duration World::disk(int member) {
    const Host& h = host(member);
    if (now() < h.disk_hangs_until)
        return h.disk_hangs_until - now() + dice.between({}, milliseconds(20));
    if (h.disk_slow > Duration{}) return dice.between({}, h.disk_slow);
    if (plan.disk_max == Duration{}) return {};
    return dice.between({}, plan.disk_max);
}

bool World::stutters() { return faults_on && plan.profile == Profile::rough && dice.chance(0.002); }

Duration World::plain_latency() { return dice.between(microseconds(100), plan.latency_max); }

void World::changed() {
    for (const auto& told : on_change) told();
}

void World::power_off(int member) {
    Host& h = host(member);
    if (!h.powered) return;
    h.powered = false;
    h.frozen = false;
    ++h.boot;
    h.deferred.clear();
    changed();
}

void World::power_on(int member) {
    host(member).powered = true;
    changed();
}

void World::freeze(int member) {
    if (!host(member).awake()) return;
    host(member).frozen = true;
    changed();
}

// What waited happens now, in its order, a little apart: nobody promises who runs first after a
// freeze.
void World::thaw(int member) {
    Host& h = host(member);
    if (!h.frozen) return;
    h.frozen = false;
    auto waiting = std::exchange(h.deferred, {});
    Duration delay{};
    for (auto& what : waiting) {
        delay += dice.between({}, milliseconds(2));
        on_host(member, delay, std::move(what));
    }
    changed();
}

}  // namespace relevo::sim
