// What must hold where damaged replicas are made anew by themselves (docs/adr/0022). That nothing
// is lost is looked at elsewhere, as always.
#include <fmt/core.h>

#include <algorithm>

#include "sim/checkers.h"

namespace relevo::sim {

using std::chrono::seconds;

// Told to its agent, and by that to others.
static constexpr Duration known = seconds(10);

bool Checkers::is_remade(int index) const {
    const auto& who = member(index);
    const auto* p = std::get_if<core::Reinitializing>(&who.state().procedure);
    return who.agent_runs() && p && !p->keep.empty();
}

int Checkers::copies_needed() const {
    const auto& settings = parts_.world.plan.settings;
    const bool sync = settings.synchronous_mode != cluster::SyncMode::off;
    return sync ? std::max(1, settings.synchronous_node_count) : 1;
}

// That stream from the leader, or say so in their keys.
int Checkers::copies_beside(int index, int leads) const {
    const auto truth = parts_.dcs.truth();
    int copies = 0;
    for (int other = 0; other < parts_.world.size(); ++other) {
        if (other == index || other == leads) continue;
        const auto& theirs = parts_.postgres.at(other);
        const auto* key = truth->member(name(other));
        const bool told = key && key->running() && key->replication_state == "streaming";
        const bool may_lead = key && !key->tags.nofailover();
        if (may_lead && (told || (theirs.streams() && theirs.upstream() == leads))) ++copies;
    }
    return copies;
}

void Checkers::check_turn(Member& who) {
    const int me = who.index();
    const auto truth = parts_.dcs.truth();
    const auto& key = truth->rebuild;
    auto& mine = remade_[me];
    const auto wrong = [&](const std::string& what) {
        fail(fmt::format("{} is made anew by itself {}", name(me), what));
    };
    if (!who.state().settings.corruption.rebuild_replica) wrong("where that is off");
    if (who.pause_seen()) wrong("in maintenance mode");
    if (!key || !key->goes_on() || key->member != name(me)) wrong("without its turn");
    if (truth->led_by(name(me))) wrong("while it leads");
    for (int other = 0; other < parts_.world.size(); ++other)
        if (other != me && is_remade(other) && truth->member(name(other)))
            wrong("while " + name(other) + " is");
    const int leads = leader();
    if (leads >= 0 && long_rotten(leads, true, known))
        wrong("from " + name(leads) + ", whose data is damaged");
    if (const int copies = copies_beside(me, leads); copies < copies_needed())
        wrong(fmt::format("where {} others stream", copies));
    if (parts_.world.plan.settings.synchronous_mode != cluster::SyncMode::off &&
        truth->sync.names(name(me)))
        wrong("while it votes");
    ++mine.tries;
    if (mine.times > 0) wrong("a second time");
    if (mine.tries > cluster::rebuild_tries) wrong("though it failed three times");
}

void Checkers::check_rebuild(Member& who, const core::Issued& issued) {
    if (!parts_.world.plan.rebuilds || !is_remade(who.index())) return;
    const auto& state = who.state();
    auto& mine = remade_[who.index()];
    if (mine.last != state.rebuilding.claim.since) {
        mine.last = state.rebuilding.claim.since;
        check_turn(who);
    }
    const auto* clone = std::get_if<core::ClonePg>(&issued.effect);
    if (!clone || !clone->source) return;
    const int from = parts_.world.index_of(clone->source->member);
    // While its server was being killed the leader may have been told.
    if (long_rotten(from, true, known + seconds(15)))
        fail(fmt::format("{} is copied from {}, whose data is damaged", name(who.index()),
                         name(from)));
}

void Checkers::on_copied(int index) {
    if (!parts_.world.plan.rebuilds || !is_remade(index)) return;
    ++findings.remade;
    ++remade_[index].times;
    const auto& keep = std::get<core::Reinitializing>(member(index).state().procedure).keep;
    if (!parts_.postgres.at(index).kept_aside().contains(keep))
        fail(fmt::format("{} is made anew, and its old data is gone", name(index)));
}

std::string Checkers::damaged_for_good(int leads) const {
    const auto& world = parts_.world;
    const auto truth = parts_.dcs.truth();
    if (!world.plan.rebuilds) return {};
    if (truth->rebuild && truth->rebuild->goes_on())
        return truth->rebuild->member + " has the turn to be made anew";
    if (!is_ours(leads) || !long_rotten(leads, false, known) || truth->failover ||
        !member(leads).decides())
        return {};
    const bool sync = world.plan.settings.synchronous_mode != cluster::SyncMode::off;
    for (int m = 0; m < world.size(); ++m) {
        const Member& who = member(m);
        const auto& state = who.state();
        if (m == leads || !is_ours(m) || !long_rotten(m, true, known) || !who.decides() ||
            !state.settings.corruption.rebuild_replica)
            continue;
        // What does not stream is a person's.
        const auto& mine = parts_.postgres.at(m);
        if (!mine.streams() || mine.upstream() != leads) continue;
        const auto after = truth->rebuild ? cluster::rebuild_after(*truth->rebuild, name(m))
                                          : std::optional<WallTime>();
        const bool waits = (after && world.wall(m) < *after) ||
                           world.mono(m) < state.rebuilding.again_at + seconds(1) ||
                           world.now() - who.deciding_since() < known;
        int copies = 0;
        for (int other = 0; other < world.size(); ++other) {
            const auto* key = truth->member(name(other));
            if (other != m && other != leads && key && key->running() &&
                key->replication_state == "streaming" && !key->tags.nofailover() &&
                key->timeline == parts_.postgres.at(leads).report().timeline &&
                (!sync || truth->sync.active()))
                ++copies;
        }
        if (!waits && copies >= copies_needed())
            return fmt::format("{} is not made anew, though its data is damaged", name(m));
    }
    return {};
}

}  // namespace relevo::sim
