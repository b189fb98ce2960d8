// Disks that fill (docs/adr/0018): by something else on the host, or by what clients write there,
// and are emptied again.
#include <fmt/core.h>

#include <algorithm>

#include "sim/faults.h"

namespace relevo::sim {

using cluster::DiskState;
using std::chrono::milliseconds;
using std::chrono::seconds;

// The shell looks every 250 ms when little is left, and at least every five seconds: less often the
// more is left.
static constexpr Duration in_hold = milliseconds(250), otherwise = milliseconds(1500),
                          at_once = seconds(1);

void Faults::set_disk(int index, DiskState state, Duration seen_within) {
    auto& host = world().host(index);
    if (host.disk_state == state) return;
    host.disk_state = state;
    host.disk_state_since = world().now();
    ++host.filling;
    if (state == DiskState::ok) host.ballast = world().plan.disks;
    if (world().trace.on())
        world().say(index, fmt::format("** its disk: {}", cluster::to_string(state)));
    member(index).look_at_disk(disk_dice_.between({}, seen_within));
}

void Faults::fill_disk(int index, Filling how) {
    auto& host = world().host(index);
    if (host.disk_state != DiskState::ok) return;
    const bool sudden = how.to_hold == Duration{} && how.to_full == Duration{};
    set_disk(index, sudden ? DiskState::hold : DiskState::warning, sudden ? at_once : otherwise);
    host.filled_by_writes = how.by_writes;
    host.ballast = how.ballast;
    const int now = host.filling;
    if (sudden)
        fill_up(index, now, how);
    else
        world().after(how.to_hold, [this, index, how, now] {
            if (world().host(index).filling != now) return;
            set_disk(index, DiskState::hold, in_hold);
            fill_up(index, world().host(index).filling, how);
        });
    world().after(how.how_long, [this, index] { mend_disk(index); });
}

void Faults::mend_disk(int index) {
    auto& host = world().host(index);
    if (host.disk_full || host.disk_hangs_until != Instant{}) host.disk_mended = world().now();
    host.disk_full = false;
    host.disk_hangs_until = {};
    set_disk(index, DiskState::ok, otherwise);
}

void Faults::fail_disk(int index, bool hangs, Duration how_long) {
    auto& host = world().host(index);
    if (host.disk_state != DiskState::ok) return;
    // Two probes that are refused; or none that comes back for `disk.failed_after`.
    static constexpr Duration refused = milliseconds(2500), silent = seconds(10);
    host.filled_by_writes = false;
    if (hangs) {
        happened(index, fmt::format("its disk hangs for {:.1f} s", to_s(how_long)));
        host.disk_hangs_until = world().now() + how_long;
        world().after(silent, [this, index, now = host.filling] {
            const auto& silent_one = world().host(index);
            if (silent_one.filling == now && world().now() < silent_one.disk_hangs_until)
                set_disk(index, DiskState::failed, otherwise);
        });
    } else {
        host.disk_full = true;
        host.only_tables = host.files_left = host.ballast = false;
        set_disk(index, DiskState::failed, refused);
        checkers_.on_disk_full(index);
    }
    world().after(how_long, [this, index] { mend_disk(index); });
}

void Faults::fill_up(int index, int filling, Filling how) {
    auto& host = world().host(index);
    if (host.filling != filling) return;
    if (how.ballast && !host.ballast) {  // given back
        how.to_full += how.ballast_lasts;
        how.ballast = false;
    }
    if (how.to_full <= Duration{} && !host.disk_full) {
        if (world().trace.on()) world().say(index, "** its disk is full");
        host.disk_full = true;
        host.only_tables = how.only_tables;
        host.files_left = how.files_left;
        if (how.to_hold > Duration{}) member(index).look_at_disk(disk_dice_.between({}, in_hold));
        checkers_.on_disk_full(index);
    }
    if (host.disk_full && !how.ballast) return;
    static constexpr Duration a_while = milliseconds(100);
    const auto& pg = parts_.postgres.at(index);
    if (!host.disk_full && (!how.by_writes || (pg.accepts_writes() && !pg.data().refuses_writes)))
        how.to_full = std::max<Duration>(how.to_full - a_while, {});
    world().after(a_while, [this, index, filling, how] { fill_up(index, filling, how); });
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
            if (!how.by_writes && disk_dice_.chance(0.4)) how.to_hold = how.to_full = {};
            how.ballast = disk_dice_.chance(0.6);
            how.ballast_lasts = disk_dice_.chance(0.5)
                                    ? seconds(600)
                                    : disk_dice_.between(milliseconds(100), seconds(5));
            how.only_tables = disk_dice_.chance(0.5);
            how.files_left = disk_dice_.chance(0.8);
            return how;
        };
        const auto truth = parts_.dcs.truth();
        const bool all = disk_dice_.chance(0.15);
        const int leads = truth->leader ? world().index_of(truth->leader->name) : -1;
        const int picked =
            leads >= 0 && disk_dice_.chance(0.6)
                ? leads
                : static_cast<int>(disk_dice_.below(static_cast<std::uint64_t>(world().size())));
        for (int m = 0; m < world().size(); ++m) {
            if (!all && m != picked && !disk_dice_.chance(0.2)) continue;
            const auto filling = draw();
            if (disk_dice_.chance(0.8)) {
                fill_disk(m, filling);
                continue;
            }
            // What waits for a disk that hangs waits as long: no longer than there are faults.
            const Duration left = until_ - world().now();
            fail_disk(m, disk_dice_.chance(0.3), std::min(filling.how_long, left));
        }
        next_disk();
    });
}

}  // namespace relevo::sim
