// Pages that rot (docs/adr/0022), and that PostgreSQL notices: until the data is copied anew, or an
// operator says that it is good.
#include "sim/faults.h"

namespace relevo::sim {

using std::chrono::seconds;

// The shell asks every five seconds.
static constexpr Duration asks_every = seconds(5);

void Faults::tell_of_rot(int index, bool rotten) {
    auto& host = world().host(index);
    if (host.rotten == rotten) return;
    host.rotten = rotten;
    host.rotten_since = world().now();
    ++host.rots;
    if (world().trace.on())
        world().say(index, rotten ? "** a page of its data rots" : "** its data is good");
    member(index).look_at_data(rot_dice_.between({}, asks_every));
}

void Faults::rot(int index, Duration how_long) {
    tell_of_rot(index, true);
    world().after(how_long, [this, index, rots = world().host(index).rots] {
        if (world().host(index).rots == rots) tell_of_rot(index, false);
    });
}

void Faults::copied(int index) { tell_of_rot(index, false); }

void Faults::next_rot() {
    world().after(rot_dice_.between(seconds(5), seconds(120)), [this, generation = generation_] {
        if (generation != generation_) return;
        const auto truth = parts_.dcs.truth();
        const int leads = truth->leader ? world().index_of(truth->leader->name) : -1;
        const bool all = rot_dice_.chance(0.1);
        const int picked =
            leads >= 0 && rot_dice_.chance(0.6)
                ? leads
                : static_cast<int>(rot_dice_.below(static_cast<std::uint64_t>(world().size())));
        for (int m = 0; m < world().size(); ++m)
            if (all || m == picked) rot(m, rot_dice_.between(seconds(20), seconds(300)));
        next_rot();
    });
}

}  // namespace relevo::sim
