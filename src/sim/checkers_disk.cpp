// What must hold of disks that fill (docs/adr/0018).
#include <fmt/core.h>

#include <algorithm>

#include "sim/checkers.h"

namespace relevo::sim {

using cluster::DiskState;
using std::chrono::milliseconds;
using std::chrono::seconds;

// From the candidate's own word to the stop: a checkpoint and the poolers' patience.
static constexpr Duration word_is_older = seconds(45);
// The shell's last look at its own disk, and what it held back meanwhile.
static constexpr Duration look_is_older = seconds(10);

void Checkers::check_room(Member& who, const core::Issued& issued) {
    auto& world = parts_.world;
    if (!world.plan.disks) return;
    const auto& state = who.state();
    const auto* commit = std::get_if<core::Commit>(&issued.effect);
    const auto* p = std::get_if<core::HandingOver>(&state.procedure);
    const auto since = [&](int m) { return world.now() - world.host(m).disk_state_since; };
    if (commit && commit->purpose == core::CommitFor::ask_handover) {
        const auto full = [&](int m) {
            return world.host(m).disk_state != DiskState::ok && since(m) > word_is_older;
        };
        bool all = true;
        for (int m = 0; m < world.size(); ++m) all = all && full(m);
        // Its key may be as old as its lease where the member cannot reach the DCS.
        if (all && world.now() - world.last_fault > 2 * Duration(world.plan.settings.ttl))
            fail(name(who.index()) + " hands over for its disk while all disks are full");
        auto& last = spared_[who.index()];
        // Clocks run at different speeds. One that did not come about may be asked for again.
        if (last.agent == who.deciding_since() && last.came_about &&
            world.now() - last.asked < seconds(55))
            fail(name(who.index()) + " hands over for its disk twice within a minute");
        last = {world.now(), who.deciding_since(), false};
        if (state.settings.pause) fail(name(who.index()) + " hands over in maintenance mode");
    }
    if (const auto* writes = std::get_if<core::RefuseWrites>(&issued.effect);
        writes && !writes->on && world.host(who.index()).disk_state == DiskState::hold &&
        since(who.index()) > look_is_older)
        fail(name(who.index()) + " lets writes in while its disk is nearly full");
    const auto& asked = state.spare.asked;
    const bool for_room =
        p && asked &&
        (asked->mod_revision == 0 || asked->mod_revision == p->request.mod_revision) &&
        asked->leader == p->request.leader && asked->member == p->request.member;
    if (!for_room) return;
    const int to = world.index_of(p->request.member);
    if (holds<core::StopPg>(issued.effect) && to >= 0 &&
        world.host(to).disk_state == DiskState::hold && since(to) > word_is_older)
        fail(fmt::format("{} hands over to {}, whose disk is full", name(who.index()), name(to)));
    if (p->stage == core::HandingOver::Stage::call_off) spared_[who.index()].came_about = false;
    if (!commit || commit->purpose != core::CommitFor::release) return;
    ++findings.spared;
    spared_[who.index()].came_about = true;
}

// Clients filled it. The agent had seconds to hand over or to refuse them, and nothing else was
// wrong.
void Checkers::on_panic(int index) {
    ++findings.panics;
    auto& world = parts_.world;
    const auto& host = world.host(index);
    Member& who = member(index);
    if (!world.plan.disks || host.disk_state != DiskState::hold || !host.filled_by_writes) return;
    const Instant began = host.disk_state_since;
    const bool calm =
        world.last_fault < began - seconds(20) && began - who.deciding_since() > seconds(20);
    if (!calm || leader() != index || !who.decides() || who.stalls() || who.pause_seen()) return;
    if (parts_.postgres.at(index).primary_since() > began - seconds(20)) return;
    fail(name(index) + " had to PANIC on a disk that its clients filled");
}

}  // namespace relevo::sim
