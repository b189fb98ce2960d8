// Operators who restore the cluster in place (docs/adr/0020), and some who think better of it.
#include <fmt/core.h>

#include <algorithm>

#include "cluster/keys.h"
#include "sim/faults.h"

namespace relevo::sim {

using cluster::Restoration;
using std::chrono::milliseconds;
using std::chrono::seconds;

// Anywhere on the way to here: the branch itself, or one that leads to it.
WalEnd Faults::some_point(WalEnd line) {
    const auto& wal = parts_.postgres.wal;
    while (wal.at(line.branch).parent >= 0 && restore_dice_.chance(0.4))
        line = {wal.at(line.branch).parent, wal.at(line.branch).begins};
    const auto begins = wal.at(line.branch).begins.value;
    if (line.lsn.value > begins)
        line.lsn.value = begins + restore_dice_.below(line.lsn.value - begins) + 1;
    return line;
}

bool Faults::restore_in_place(int restorer, std::optional<WalEnd> target) {
    const auto truth = parts_.dcs.truth();
    if (!truth->leader || !truth->initialized()) return false;
    if (truth->restoration && truth->restoration->goes_on()) return false;
    const auto* who = truth->member(world().name(restorer));
    const int leads = world().index_of(truth->leader->name);
    const Data& data = parts_.postgres.at(leads).data();
    if (who == nullptr || who->tags.nofailover() || data.flushed.branch < 0) return false;
    if (data.system_id != *truth->initialize) return false;
    const auto& own = parts_.postgres.at(restorer).data();
    if (!own.system_id.empty() && own.system_id != data.system_id) return false;
    const WalEnd end = target ? *target : some_point(data.flushed);
    Restoration r;
    r.id = fmt::format("r{}", ++restores_);
    r.phase = Restoration::Phase::stopping;
    r.member = who->name;
    r.backup = "backup";
    r.target.kind = cluster::TargetKind::lsn;
    r.target.lsn = end.lsn;
    r.target.timeline = {cluster::TargetTimeline::Way::numbered, parts_.postgres.wal.timeline(end)};
    cluster::follow_upon(r, truth->restoration);
    parts_.postgres.targets[r.id] = {end, data.system_id};
    if (!parts_.dcs.operate(
            cluster::keys::ask_restore(r, truth->leader->create_revision, data.system_id)))
        return false;
    happened(restorer, fmt::format("an operator restores the cluster in place here, to {} on "
                                   "timeline {}",
                                   to_string(end.lsn), r.target.timeline.number));
    return true;
}

bool Faults::cancel_restore() {
    const auto truth = parts_.dcs.truth();
    if (!truth->restoration || !truth->restoration->goes_on()) return false;
    auto r = *truth->restoration;
    r.phase = Restoration::Phase::cancelled;
    r.problem = "an operator cancelled it";
    if (!parts_.dcs.operate(cluster::keys::cancel_restore(r, false))) return false;
    happened(-1, "an operator cancels the restore in place");
    return true;
}

void Faults::next_restore() {
    const auto wait = restore_dice_.between(seconds(5), seconds(90));
    world().after(wait, [this, generation = generation_] {
        if (generation != generation_) return;
        const auto size = static_cast<std::uint64_t>(world().size());
        const int restorer = static_cast<int>(restore_dice_.below(size));
        const auto second_thoughts = restore_dice_.between({}, seconds(60));
        if (restore_in_place(restorer) && restore_dice_.chance(0.3))
            world().after(second_thoughts, [this, generation] {
                if (generation == generation_) cancel_restore();
            });
        // Most of all at the member that does it, and at the one that gives way.
        const auto strikes = restore_dice_.between(milliseconds(50), seconds(20));
        if (restore_dice_.chance(0.6))
            world().after(strikes, [this, generation, restorer] {
                if (generation != generation_ || !world().host(restorer).powered) return;
                if (restore_dice_.chance(0.5)) {
                    power_loss(restorer);
                    world().after(restore_dice_.between(milliseconds(500), seconds(40)),
                                  [this, restorer] { power_back(restorer); });
                } else {
                    crash_agent(restorer, restore_dice_.between(milliseconds(100), seconds(10)));
                }
            });
        next_restore();
    });
}

}  // namespace relevo::sim
