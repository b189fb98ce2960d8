// What must hold of members whose data is damaged (docs/adr/0022). That nothing is lost is looked
// at elsewhere, as always.
#include <fmt/core.h>

#include <algorithm>

#include "sim/checkers.h"

namespace relevo::sim {

using std::chrono::milliseconds;
using std::chrono::seconds;

// From the candidate's own word to the stop: a checkpoint and the poolers' patience.
static constexpr Duration word_is_older = seconds(45);

bool Checkers::long_rotten(int index, bool rotten, Duration since) const {
    const auto& host = parts_.world.host(index);
    return host.rotten == rotten && parts_.world.now() - host.rotten_since > since;
}

void Checkers::check_rot(Member& who, const core::Issued& issued) {
    if (!parts_.world.plan.rots) return;
    const auto& state = who.state();
    const auto* commit = std::get_if<core::Commit>(&issued.effect);
    if (commit && commit->purpose == core::CommitFor::acquire) check_sounder(who);
    if (state.spare.what != core::State::SpareFor::clean) return;
    if (commit && commit->purpose == core::CommitFor::ask_handover) check_asks_again(who);
    const auto* p = std::get_if<core::HandingOver>(&state.procedure);
    const auto& asked = state.spare.asked;
    // Not another, of an operator's, to the same member.
    if (!p || !asked || asked->member != p->request.member || p->request.leader != asked->leader ||
        (asked->mod_revision != 0 && asked->mod_revision != p->request.mod_revision))
        return;
    const int to = parts_.world.index_of(asked->member);
    if (holds<core::StopPg>(issued.effect) && to >= 0 && long_rotten(to, true, word_is_older))
        fail(
            fmt::format("{} hands over to {}, whose data is damaged", name(who.index()), name(to)));
    if (p->stage == core::HandingOver::Stage::call_off) spared_[who.index()].came_about = false;
    if (!commit || commit->purpose != core::CommitFor::release) return;
    ++findings.cleaned;
    spared_[who.index()].came_about = true;
}

// It is elected although one that has the same and is clean could have told so.
void Checkers::check_sounder(Member& who) {
    const auto& world = parts_.world;
    const int me = who.index();
    const auto& state = who.state();
    const Probe& probe = probes_[static_cast<std::size_t>(me)];
    constexpr Duration known = seconds(10);  // told to its agent, and by that to others
    if (!long_rotten(me, true, known) || !state.corruption.corrupted) return;
    // By the votes it is not only positions that say who can lead: its stories look at that.
    if (world.plan.settings.synchronous_mode != cluster::SyncMode::off) return;
    if (forced_[static_cast<std::size_t>(me)] || state.dcs->failover || who.pause_seen()) return;
    if (!state.pg || !state.pg->in_recovery || !state.unlocked_since || probe.ends.empty()) return;
    // Nobody is waited for longer; clocks run at different speeds.
    if (world.mono(me) - *state.unlocked_since > milliseconds(1500)) return;
    if (world.last_fault > probe.at - seconds(10) || world.now() - probe.at > seconds(1)) return;
    for (int other = 0; other < world.size(); ++other) {
        const auto i = static_cast<std::size_t>(other);
        if (other == me || !probe.reachable[i] || probe.late[i] > 0 ||
            !long_rotten(other, false, known))
            continue;
        const auto& last = state.last_led;
        const bool led_last = last && last->leader && last->leader->name == name(other);
        const auto& theirs = parts_.postgres.at(other);
        const auto& mine = parts_.postgres.at(me);
        // Since the question nothing came to either: an answer is older than what one has itself.
        const auto my_end = probe.ends[static_cast<std::size_t>(me)];
        if (!(my_end == mine.data().end) || !(probe.ends[i] == my_end)) continue;
        if (led_last || !is_ours(other) || !(theirs.data().end == mine.data().end) ||
            theirs.report().position() != mine.report().position())
            continue;
        fail(fmt::format("{}, whose data is damaged, is elected before {}", name(me), name(other)));
    }
}

bool Checkers::is_ours(int index) const {
    return std::ranges::count(parts_.world.plan.foreign, index) == 0;
}

// At rest: a damaged member leads only where no other could.
std::string Checkers::damaged_leads(int leads) const {
    const auto& world = parts_.world;
    Member& who = member(leads);
    const auto& state = who.state();
    constexpr Duration known = seconds(10);
    if (!world.plan.rots || !is_ours(leads) || !long_rotten(leads, true, known) ||
        !state.settings.corruption.switchover)
        return {};
    // One that was called off is not asked for again at once, and an operator's request stands.
    if (!who.decides() || parts_.dcs.truth()->failover ||
        world.mono(leads) < state.spare.ask_again_at + seconds(1))
        return {};
    for (int other = 0; other < world.size(); ++other) {
        const auto& theirs = parts_.postgres.at(other);
        const bool may = world.plan.settings.synchronous_mode == cluster::SyncMode::off ||
                         parts_.dcs.truth()->sync.names(name(other));
        if (other != leads && is_ours(other) && long_rotten(other, false, known) && may &&
            theirs.streams() && theirs.upstream() == leads && member(other).decides() &&
            !member(other).state().self.tags.nofailover() &&
            !core::watchdog_failed(member(other).state()))
            return fmt::format("{} leads with damaged data beside {}", name(leads), name(other));
    }
    return {};
}

}  // namespace relevo::sim
