// Disks that fill (docs/adr/0018): by something else on the host, or by what clients write there,
// and are emptied again.
#include <fmt/core.h>

#include "sim/faults.h"

namespace relevo::sim {

using cluster::DiskState;
using std::chrono::milliseconds;
using std::chrono::seconds;

// The shell looks every 250 ms when little is left, and at least every five seconds.
void Faults::set_disk(int index, DiskState state) {
    auto& host = world().host(index);
    if (host.disk_state == state) return;
    host.disk_state = state;
    host.disk_state_since = world().now();
    ++host.filling;
    if (world().trace.on())
        world().say(index, fmt::format("** its disk: {}", cluster::to_string(state)));
    const auto period = state == DiskState::hold ? milliseconds(250) : milliseconds(1500);
    member(index).look_at_disk(disk_dice_.between({}, period));
}

void Faults::fill_disk(int index, Filling how) {
    if (world().host(index).disk_state != DiskState::ok) return;
    set_disk(index, DiskState::warning);
    world().host(index).filled_by_writes = how.by_writes;
    const int warned = world().host(index).filling;
    world().after(how.to_hold, [this, index, how, warned] {
        if (world().host(index).filling != warned) return;
        set_disk(index, DiskState::hold);
        fill_up(index, world().host(index).filling, how.to_full, how.by_writes);
    });
    world().after(how.how_long, [this, index] {
        auto& host = world().host(index);
        if (host.disk_full) host.disk_mended = world().now();
        host.disk_full = false;
        set_disk(index, DiskState::ok);
    });
}

void Faults::fill_up(int index, int filling, Duration left, bool by_writes) {
    if (world().host(index).filling != filling) return;
    if (left <= Duration::zero()) {
        if (world().trace.on()) world().say(index, "** its disk is full");
        world().host(index).disk_full = true;
        return;
    }
    static constexpr Duration a_while = milliseconds(100);
    const auto& pg = parts_.postgres.at(index);
    const bool grows = !by_writes || (pg.accepts_writes() && !pg.data().refuses_writes);
    world().after(a_while, [this, index, filling, left, grows, by_writes] {
        fill_up(index, filling, grows ? left - a_while : left, by_writes);
    });
}

void Faults::next_disk() {
    const auto wait = disk_dice_.between(seconds(2), seconds(60));
    world().after(wait, [this, generation = generation_] {
        if (generation != generation_) return;
        const auto draw = [this] {
            Filling how;
            how.to_hold = disk_dice_.between(milliseconds(100), seconds(20));
            how.to_full = disk_dice_.between(seconds(3), seconds(40));
            how.how_long = how.to_hold + disk_dice_.between(seconds(1), seconds(90));
            how.by_writes = disk_dice_.chance(0.6);
            return how;
        };
        const auto truth = parts_.dcs.truth();
        const bool all = disk_dice_.chance(0.15);
        const int leads = truth->leader ? world().index_of(truth->leader->name) : -1;
        const int picked =
            leads >= 0 && disk_dice_.chance(0.6)
                ? leads
                : static_cast<int>(disk_dice_.below(static_cast<std::uint64_t>(world().size())));
        for (int m = 0; m < world().size(); ++m)
            if (all || m == picked || disk_dice_.chance(0.2)) fill_disk(m, draw());
        next_disk();
    });
}

}  // namespace relevo::sim
