// What must hold of disks that fill (docs/adr/0018) and of those that take no writes (0022).
#include <fmt/core.h>

#include <algorithm>
#include <utility>
#include <vector>

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
    const bool handed_over_for_it = state.spare.what == core::State::SpareFor::room;
    const auto* commit = std::get_if<core::Commit>(&issued.effect);
    const auto* p = std::get_if<core::HandingOver>(&state.procedure);
    const auto since = [&](int m) { return world.now() - world.host(m).disk_state_since; };
    if (handed_over_for_it && commit && commit->purpose == core::CommitFor::ask_handover) {
        const auto full = [&](int m) {
            return cluster::unfit(world.host(m).disk_state) && since(m) > word_is_older;
        };
        bool all = true;
        for (int m = 0; m < world.size(); ++m) all = all && full(m);
        // Its key may be as old as its lease where the member cannot reach the DCS.
        if (all && world.now() - world.last_fault > 2 * Duration(world.plan.settings.ttl))
            fail(name(who.index()) + " hands over for its disk while all disks are full");
        check_asks_again(who);
    }
    if (const auto* writes = std::get_if<core::RefuseWrites>(&issued.effect);
        writes && !writes->on && world.host(who.index()).disk_state == DiskState::hold &&
        since(who.index()) > look_is_older)
        fail(name(who.index()) + " lets writes in while its disk is nearly full");
    const auto& asked = state.spare.asked;
    const bool for_room =
        handed_over_for_it && p && asked &&
        (asked->mod_revision == 0 || asked->mod_revision == p->request.mod_revision) &&
        asked->leader == p->request.leader && asked->member == p->request.member;
    if (!for_room) return;
    const int to = world.index_of(p->request.member);
    if (holds<core::StopPg>(issued.effect) && to >= 0 &&
        cluster::unfit(world.host(to).disk_state) && since(to) > word_is_older)
        fail(fmt::format("{} hands over to {}, whose disk is full or takes no writes",
                         name(who.index()), name(to)));
    if (p->stage == core::HandingOver::Stage::call_off) spared_[who.index()].came_about = false;
    if (!commit || commit->purpose != core::CommitFor::release) return;
    ++findings.spared;
    spared_[who.index()].came_about = true;
}

// A disk may be full before anybody has seen it fill. Where others have room that costs no more
// than seeing it and an ordinary failover; with all that may be slow beside, less than this.
void Checkers::on_disk_full(int index) {
    static constexpr Duration at_most = seconds(8), calm_for = seconds(8);
    auto& world = parts_.world;
    const auto& plan = world.plan;
    const Instant began = world.now();
    const auto calm = [&](int m) {
        const Member& who = member(m);
        return who.decides() && !who.stalls() && !who.pause_seen() &&
               began - who.deciding_since() > calm_for && world.host(m).awake() &&
               world.linked_both(m, world.dcs_node()) &&
               (m == index || world.linked_both(m, index));
    };
    const auto truth = parts_.dcs.truth();
    const auto& pg = parts_.postgres.at(index);
    const auto& spare = member(index).state().spare;
    const Instant mono = world.mono(index);
    const bool may_lose = plan.settings.synchronous_mode == cluster::SyncMode::off &&
                          plan.settings.wal_tail_timeout.count() == 0;
    const bool obstacles = !plan.nofailover.empty() || !plan.foreign.empty() || plan.slow > 1 ||
                           plan.loss > 0 || plan.poolers == Poolers::silent ||
                           plan.poolers == Poolers::busy;
    const bool no_mark =
        !world.host(index).files_left && world.host(index).disk_state != DiskState::failed;
    if (!plan.disks || may_lose || obstacles || no_mark) return;
    if (leader() != index || !calm(index) || !pg.is_primary() || truth->failover) return;
    if (world.last_fault > began - calm_for || pg.primary_since() > began - calm_for) return;
    if (mono < spare.ask_again_at || mono < spare.gave_at + seconds(60)) return;
    std::vector<std::pair<int, int>> states;
    bool somebody = false;
    for (int m = 0; m < world.size(); ++m) {
        const auto& host = world.host(m);
        states.emplace_back(host.filling, host.rots);
        if (m == index) continue;
        if (!calm(m) || !parts_.postgres.at(m).streams()) return;
        // Not to damaged data: docs/adr/0022.
        const bool clean = !plan.rots || long_rotten(m, false, calm_for);
        somebody = somebody ||
                   (host.disk_state == DiskState::ok && began - host.disk_state_since > calm_for &&
                    clean && (truth->sync.leader.empty() || truth->sync.names(name(m))));
    }
    if (!somebody) return;
    world.after(at_most, [this, index, began, states] {
        auto& here = parts_.world;
        for (int m = 0; m < here.size(); ++m)
            if (std::pair(here.host(m).filling, here.host(m).rots) !=
                states[static_cast<std::size_t>(m)])
                return;
        if (here.last_fault >= began || leader() != index) return;
        fail(fmt::format("{} leads for {:.0f} s on a full disk while others have room", name(index),
                         to_s(at_most)));
    });
}

// For whichever reason.
void Checkers::check_asks_again(const Member& who) {
    const auto now = parts_.world.now();
    auto& last = spared_[who.index()];
    // Clocks run at different speeds. One that did not come about may be asked for again.
    if (last.agent == who.deciding_since() && last.came_about && now - last.asked < seconds(55))
        fail(name(who.index()) + " hands over by itself twice within a minute");
    last = {now, who.deciding_since(), false};
    if (who.state().settings.pause) fail(name(who.index()) + " hands over in maintenance mode");
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
    // What refuses writes is a file, too.
    if (host.disk_slow > Duration{} || host.disk_mended > began) return;
    const bool calm =
        world.last_fault < began - seconds(20) && began - who.deciding_since() > seconds(20);
    if (!calm || leader() != index || !who.decides() || who.stalls() || who.pause_seen()) return;
    if (parts_.postgres.at(index).primary_since() > began - seconds(20)) return;
    fail(name(index) + " had to PANIC on a disk that its clients filled");
}

}  // namespace relevo::sim
