// Faults of an aimed run: they strike where votes, names, seals and leaders change, and whoever is
// in the middle of it most of all.
#include <algorithm>

#include "sim/faults.h"

namespace relevo::sim {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A host that boots may start PostgreSQL before the agent, by what the files say.
void Faults::service_starts_it(int index) {
    if (!world().faults_on || world().plan.profile != Profile::rough || !world().dice.chance(0.3))
        return;
    world().on_host(index, world().dice.between({}, milliseconds(500)), [this, index] {
        auto& pg = parts_.postgres.at(index);
        if (member(index).agent_runs() || pg.server() != cluster::Server::stopped) return;
        happened(index, "PostgreSQL is started at boot, before the agent");
        pg.start_outside();
    });
}

void Faults::aim(const Member& who, const core::Effect& effect) {
    using namespace core;
    const auto* commit = std::get_if<Commit>(&effect);
    const auto* probe = std::get_if<ProbePeers>(&effect);
    const bool key =
        commit && (commit->purpose == CommitFor::sync || commit->purpose == CommitFor::acquire ||
                   commit->purpose == CommitFor::depose);
    const bool race = probe && probe->purpose == ProbeFor::race;
    const bool server = holds<SetSyncNames>(effect) || holds<PromotePg>(effect) ||
                        holds<FollowPg>(effect) || holds<ClonePg>(effect) ||
                        holds<RewindPg>(effect) || holds<RestoreVote>(effect);
    if (!key && !race && !server) return;
    busy_until = world().now() + milliseconds(150);
    auto& dice = world().dice;
    if (world().now() < struck_ || !dice.chance(0.3)) return;
    struck_ = world().now() + dice.between(milliseconds(50), milliseconds(800));
    const int index = dice.chance(0.5) ? who.index() : leader_or_anyone();
    world().after(dice.between({}, milliseconds(dice.chance(0.5) ? 20 : 300)),
                  [this, index, generation = generation_] {
                      if (generation == generation_) strike(index);
                  });
}

void Faults::strike(int index) {
    auto& dice = world().dice;
    const int dcs = world().dcs_node();
    const Duration how_long = length();
    switch (dice.below(16)) {
        case 0:
        case 1:
            power_loss(index);
            world().after(how_long, [this, index] { power_back(index); });
            break;
        case 2: freeze(index, how_long); break;
        case 3: crash_postgres(index); break;
        case 4: cut(index, another(index), dice.chance(0.4), how_long); break;
        case 5: split(index, dice.chance(0.4), how_long); break;
        case 6: cut(index, dcs, dice.chance(0.3), how_long); break;
        case 7:  // from the DCS and from all but one, to which it may still acknowledge
        case 8: {
            const int left = another(index);
            cut(index, dcs, false, how_long);
            for (int other = 0; other < world().size(); ++other)
                if (other != index && other != left) cut(index, other, false, how_long);
            break;
        }
        case 9:
            slow_disk(index, dice.between(milliseconds(20), seconds(2)), how_long);
            world().after(dice.between({}, how_long), [this, index, generation = generation_] {
                if (generation != generation_ || !world().host(index).powered) return;
                power_loss(index);
                world().after(length(), [this, index] { power_back(index); });
            });
            break;
        case 10:
            happened(index, "an operator asks for reinit");
            world().on_host(index, {}, [this, index] { member(index).order_reinit(); });
            break;
        case 11: crash_agent(index, dice.between(milliseconds(50), seconds(1))); break;
        case 12: dcs_new_leader(); break;
        case 13: operator_acts(); break;
        case 14:
        case 15: {  // a part without the DCS: nobody there hears that others lead
            cut(index, dcs, false, how_long);
            cut(another(index), dcs, false, how_long);
            break;
        }
        default: break;
    }
}

}  // namespace relevo::sim
