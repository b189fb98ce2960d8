#include "sim/faults.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "cluster/keys.h"

namespace relevo::sim {

using std::chrono::milliseconds;
using std::chrono::seconds;

Faults::Faults(Parts parts, Checkers& checkers)
    : parts_(parts),
      checkers_(checkers),
      host_dice_(parts.world.plan.seed ^ 0x57A11U),
      disk_dice_(parts.world.plan.seed ^ 0xF111ED5U),
      rot_dice_(parts.world.plan.seed ^ 0x2077E2U),
      restore_dice_(parts.world.plan.seed ^ 0x4E5703EU) {}

void Faults::happened(int member, const std::string& what) {
    world().last_fault = world().now();
    if (!world().trace.on()) return;
    if (member >= 0)
        world().say(member, "** " + what);
    else
        world().say("** " + what);
}

int Faults::leader_or_anyone() const {
    const auto truth = parts_.dcs.truth();
    if (truth->leader && world().dice.chance(0.6)) return world().index_of(truth->leader->name);
    return anyone();
}

int Faults::another(int member) const {
    if (world().size() < 2) return member;
    const auto others = static_cast<std::uint64_t>(world().size() - 1);
    const auto picked = static_cast<int>(world().dice.below(others));
    return picked < member ? picked : picked + 1;
}

Duration Faults::length() const {
    if (world().plan.aimed) return world().dice.between(milliseconds(100), seconds(5));
    const auto ttl = Duration(world().plan.settings.ttl);
    if (world().dice.chance(0.5)) return world().dice.between(milliseconds(10), seconds(5));
    return world().dice.between(seconds(1), 2 * ttl + seconds(10));
}

void Faults::power_loss(int index) {
    happened(index, "loses power");
    parts_.postgres.at(index).power_lost();
    member(index).kill_agent();
    world().power_off(index);
}

void Faults::power_back(int index) {
    if (world().host(index).powered) return;
    happened(index, "power is back");
    world().power_on(index);
    service_starts_it(index);
    world().on_host(index, world().dice.between(milliseconds(500), seconds(5)),
                    [this, index] { member(index).start_agent(); });
}

void Faults::reset(int index) {
    checkers_.on_reset(index);
    power_loss(index);
    world().after(world().dice.between(seconds(2), seconds(20)),
                  [this, index] { power_back(index); });
}

void Faults::stall_agent(int index, Duration how_long) {
    if (!world().host(index).awake() || !member(index).answers()) return;
    happened(index, fmt::format("the agent hangs for {:.1f} s", to_s(how_long)));
    member(index).stall();
    world().on_host(index, how_long, [this, index] {
        if (!member(index).stalls()) return;
        happened(index, "the agent goes on");
        checkers_.excuse(index);
        member(index).resume();
    });
}

void Faults::stick(int index, Duration how_long) {
    auto& pg = parts_.postgres.at(index);
    if (!world().host(index).awake() || pg.server() != cluster::Server::running) return;
    happened(index, fmt::format("PostgreSQL's processes cannot die for {:.1f} s", to_s(how_long)));
    pg.stick(world().now() + how_long);
}

void Faults::crash_agent(int index, Duration back_after) {
    if (!world().host(index).awake()) return;
    happened(index, "the agent crashes");
    member(index).kill_agent();
    world().on_host(index, back_after, [this, index] { member(index).start_agent(); });
}

void Faults::crash_postgres(int index) {
    if (!world().host(index).awake()) return;
    happened(index, "kill -9 of the postmaster");
    // Its backends do not know yet, nor do their clients.
    busy_until = std::max(busy_until, world().now() + milliseconds(30));
    parts_.postgres.at(index).crash();
}

void Faults::freeze(int index, Duration how_long) {
    if (!world().host(index).awake()) return;
    happened(index, fmt::format("freezes for {:.1f} s", to_s(how_long)));
    world().freeze(index);
    world().after(how_long, [this, index, boot = world().host(index).boot] {
        if (world().host(index).boot != boot || !world().host(index).frozen) return;
        happened(index, "awakes");
        checkers_.excuse(index);
        // Its clients have waited: a primary that does not know yet is written to at once.
        busy_until = world().now() + milliseconds(300);
        world().thaw(index);
    });
}

void Faults::hang(int index, Duration how_long) {
    auto& pg = parts_.postgres.at(index);
    if (!world().host(index).awake() || pg.server() == cluster::Server::stopped) return;
    happened(index, fmt::format("PostgreSQL hangs for {:.1f} s", to_s(how_long)));
    pg.hang(true);
    world().on_host(index, how_long, [this, index] {
        happened(index, "PostgreSQL hangs no longer");
        parts_.postgres.at(index).hang(false);
    });
}

void Faults::cut(int a, int b, bool one_way, Duration how_long) {
    const auto label = [this](int node) {
        return node == world().dcs_node() ? std::string("the DCS") : world().name(node);
    };
    happened(-1, fmt::format("cut {} {} {} for {:.1f} s", label(a), one_way ? "->" : "<->",
                             label(b), to_s(how_long)));
    world().set_cut(a, b, true);
    if (!one_way) world().set_cut(b, a, true);
    world().changed();
    world().after(how_long, [this, a, b] {
        happened(-1, "mended a link");
        world().set_cut(a, b, false);
        world().set_cut(b, a, false);
        world().changed();
    });
}

void Faults::dcs_away(Duration how_long) {
    if (!parts_.dcs.up()) return;
    happened(-1, fmt::format("the DCS is away for {:.1f} s", to_s(how_long)));
    parts_.dcs.go_down();
    world().after(how_long, [this] {
        if (parts_.dcs.up()) return;
        happened(-1, "the DCS is back");
        parts_.dcs.come_back();
    });
}

// The old leader's followers are cut off with answers on their way; leases begin anew.
void Faults::dcs_new_leader() {
    if (!parts_.dcs.up()) return;
    happened(-1, "the DCS elects another leader");
    parts_.dcs.go_down();
    world().after(world().dice.between({}, milliseconds(300)), [this] { parts_.dcs.come_back(); });
}

void Faults::split(int index, bool one_way, Duration how_long) {
    const bool out = world().dice.chance(0.5);
    for (int other = 0; other < world().size(); ++other)
        if (other != index) cut(out ? index : other, out ? other : index, one_way, how_long);
}

void Faults::slow_disk(int index, Duration at_most, Duration how_long) {
    happened(index, fmt::format("its disk takes up to {:.2f} s for {:.1f} s", to_s(at_most),
                                to_s(how_long)));
    world().host(index).disk_slow = at_most;
    world().after(how_long, [this, index] {
        happened(index, "its disk is as fast as ever");
        world().host(index).disk_slow = {};
        world().host(index).disk_mended = world().now();
    });
}

void Faults::full_disk(int index, Duration how_long) {
    happened(index, fmt::format("its disk is full for {:.1f} s", to_s(how_long)));
    auto& host = world().host(index);
    host.disk_full = true;
    host.only_tables = host.files_left = false;
    world().after(how_long, [this, index] {
        happened(index, "there is room on its disk");
        world().host(index).disk_full = false;
        world().host(index).disk_mended = world().now();
    });
}

void Faults::step_clock(int index, Duration by) {
    happened(index, fmt::format("its wall clock is set by {:.1f} s", to_s(by)));
    world().host(index).wall_offset += by;
}

void Faults::switchover(const std::string& leader, const std::string& candidate, Duration ahead) {
    happened(-1, fmt::format("an operator asks: {} from '{}' to '{}'",
                             leader.empty() ? "failover" : "switchover", leader, candidate));
    cluster::FailoverRequest request;
    request.leader = leader;
    request.member = candidate;
    if (ahead > Duration{})
        request.scheduled_at =
            world().wall(0) + std::chrono::duration_cast<std::chrono::microseconds>(ahead);
    parts_.dcs.operate(cluster::keys::put_failover(request, std::nullopt));
}

void Faults::pause(bool on) {
    const auto truth = parts_.dcs.truth();
    if (!truth->config) return;
    const auto patched =
        cluster::patch_json(truth->config->json, on ? R"({"pause":true})" : R"({"pause":null})");
    if (!patched || !parts_.dcs.operate(cluster::keys::put_config(*patched, std::nullopt))) return;
    happened(-1, on ? "maintenance mode on" : "maintenance mode off");
    checkers_.excuse_pause(on);
}

void Faults::operator_acts() {
    auto& dice = world().dice;
    const auto truth = parts_.dcs.truth();
    const std::string leader = truth->leader ? truth->leader->name : std::string();
    const std::string candidate = dice.chance(0.5) ? world().name(anyone()) : std::string();
    switch (dice.below(8)) {
        case 0:
        case 1:
        case 2:
            if (!leader.empty())
                switchover(leader, candidate,
                           dice.chance(0.2) ? dice.between(seconds(1), seconds(30)) : Duration{});
            break;
        case 3: switchover({}, world().name(anyone()), {}); break;
        case 4: {
            const int index = leader_or_anyone();
            happened(index, "an operator asks for a restart");
            world().on_host(index, {}, [this, index] { member(index).order_restart(); });
            break;
        }
        case 5: {
            const int index = anyone();
            happened(index, "an operator asks for reinit");
            world().on_host(index, {}, [this, index] { member(index).order_reinit(); });
            break;
        }
        case 6: pause(true); break;
        case 7: pause(false); break;
        default: break;
    }
}

void Faults::one() {
    auto& dice = world().dice;
    const int index = leader_or_anyone();
    switch (dice.below(20)) {
        case 0:
            power_loss(index);
            if (dice.chance(0.8)) world().after(length(), [this, index] { power_back(index); });
            break;
        case 1:
            crash_agent(index,
                        dice.chance(0.7) ? dice.between(milliseconds(100), seconds(5)) : length());
            break;
        case 2:
        case 3: crash_postgres(index); break;
        case 4: freeze(index, length()); break;
        case 5: hang(index, length()); break;
        case 6:
        case 14: cut(index, another(index), dice.chance(0.4), length()); break;
        case 15: split(index, dice.chance(0.4), length()); break;
        case 16: dcs_new_leader(); break;
        case 17:
        case 18: slow_disk(index, dice.between(milliseconds(20), seconds(4)), length()); break;
        case 19:
            if (dice.chance(0.5))
                full_disk(index, length());
            else
                step_clock(index, dice.between(-seconds(7200), seconds(7200)));
            break;
        case 7:
        case 8:
            if (dice.chance(0.3))
                cut(world().dcs_node(), index, true, length());
            else
                cut(index, world().dcs_node(), dice.chance(0.3), length());
            break;
        case 9:
            dcs_away(dice.chance(0.6) ? dice.between(milliseconds(100), seconds(3)) : length());
            break;
        case 10:
            for (int m = 0; m < world().size(); ++m) {
                if (!world().host(m).awake() ||
                    parts_.postgres.at(m).server() != cluster::Server::stopped)
                    continue;
                happened(m, "somebody starts PostgreSQL past the agent");
                checkers_.on_outside_start(m);
                parts_.postgres.at(m).start_outside();
                break;
            }
            break;
        case 11:
            if (dice.chance(0.3)) {
                happened(index, "the agent is asked to stop");
                world().on_host(index, {}, [this, index] { member(index).stop_agent(); });
            } else {
                happened(index, "the next start will fail");
                parts_.postgres.at(index).fail_next_start();
            }
            break;
        case 12:
        case 13: operator_acts(); break;
        default: break;
    }
}

void Faults::on_effect(const Member& who, const core::Issued& issued) {
    if (!world().faults_on || world().plan.profile != Profile::rough) return;
    if (world().plan.aimed) return aim(who, issued.effect);
    const auto* commit = std::get_if<core::Commit>(&issued.effect);
    const auto* probe = std::get_if<core::ProbePeers>(&issued.effect);
    if (probe && probe->purpose == core::ProbeFor::race)
        busy_until = world().now() + milliseconds(100);
    const bool turns = holds<core::SetSyncNames>(issued.effect) ||
                       (commit && commit->purpose == core::CommitFor::sync) ||
                       (holds<core::PromotePg>(issued.effect) &&
                        world().plan.settings.synchronous_mode != cluster::SyncMode::off);
    if (!turns) return;
    busy_until = world().now() + milliseconds(300);
    if (!world().dice.chance(0.25)) return;
    const int index = world().dice.chance(0.6) ? who.index() : anyone();
    const auto delay = world().dice.between({}, milliseconds(200));
    world().after(delay, [this, index, generation = generation_] {
        if (generation == generation_) ambush(index);
    });
}

void Faults::ambush(int index) {
    auto& dice = world().dice;
    switch (dice.below(7)) {
        case 0:
            power_loss(index);
            world().after(length(), [this, index] { power_back(index); });
            break;
        case 1: freeze(index, length()); break;
        case 2: crash_postgres(index); break;
        case 3: cut(index, another(index), dice.chance(0.4), length()); break;
        case 4: {
            // A flush that takes its time, and the power gone before it ends.
            const auto at_most = dice.between(milliseconds(20), seconds(2));
            slow_disk(index, at_most, length());
            if (!dice.chance(0.6)) break;
            world().after(dice.between({}, at_most), [this, index, generation = generation_] {
                if (generation != generation_ || !world().host(index).powered) return;
                power_loss(index);
                world().after(length(), [this, index] { power_back(index); });
            });
            break;
        }
        case 5: split(index, dice.chance(0.4), length()); break;
        default: {
            // Cut off from the DCS and from one other, with somebody left to acknowledge to.
            const auto how_long = length();
            cut(index, world().dcs_node(), false, how_long);
            cut(index, another(index), false, how_long);
            break;
        }
    }
}

void Faults::next() {
    auto wait = world().dice.between(milliseconds(50), 2 * world().plan.fault_every);
    if (world().plan.profile == Profile::blinks) wait += 2 * Duration(world().plan.settings.ttl);
    world().after(wait, [this, generation = generation_] {
        if (generation != generation_) return;
        if (world().plan.profile == Profile::blinks) {
            // Shorter than what is left of a lease at its worst moment: the margin, the time
            // between two renewals, and one failed try.
            const auto& s = world().plan.settings;
            const auto ttl = Duration(s.ttl);
            const auto worst =
                ttl - core::fence_margin(s) - std::min<Duration>(s.loop_wait, ttl / 3) - seconds(1);
            if (worst > milliseconds(200))
                dcs_away(world().dice.between(milliseconds(10), worst * 8 / 10));
        } else if (world().plan.aimed) {
            strike(leader_or_anyone());
        } else {
            one();
            // Trouble seldom comes alone.
            while (world().dice.chance(0.25)) one();
        }
        next();
    });
}

void Faults::next_on_host() {
    const auto& plan = world().plan;
    const auto wait = host_dice_.between(seconds(1), 3 * plan.fault_every);
    world().after(wait, [this, generation = generation_] {
        if (generation != generation_) return;
        const auto truth = parts_.dcs.truth();
        const int index = truth->leader && host_dice_.chance(0.8)
                              ? world().index_of(truth->leader->name)
                              : anyone();
        const auto ttl = Duration(world().plan.settings.ttl);
        const auto how_long = host_dice_.between(seconds(1), 3 * ttl);
        const auto kind = host_dice_.below(4);
        if (kind < 2) {
            stall_agent(index, how_long);
        } else {
            stick(index, how_long);
            // And something because of which it should.
            cut(index, world().dcs_node(), false, how_long);
            if (kind == 3) stall_agent(index, host_dice_.between({}, how_long));
        }
        next_on_host();
    });
}

void Faults::begin() {
    world().faults_on = true;
    until_ = world().now() + world().plan.faults_for;
    ++generation_;
    if (world().plan.profile == Profile::rough || world().plan.profile == Profile::blinks) next();
    if (world().plan.profile == Profile::rough &&
        world().plan.watchdog.mode != core::WatchdogUse::Mode::off)
        next_on_host();
    if (world().plan.profile == Profile::rough && world().plan.disks) next_disk();
    if (world().plan.profile == Profile::rough && world().plan.rots) next_rot();
    if (world().plan.profile == Profile::rough && world().plan.in_place) next_restore();
}

void Faults::mend() {
    ++generation_;
    happened(-1, "==== no more faults");
    world().faults_on = false;
    world().heal_all();
    parts_.dcs.come_back();
    for (int m = 0; m < world().size(); ++m) {
        world().host(m).disk_slow = {};
        world().host(m).disk_full = false;
        set_disk(m, cluster::DiskState::ok, milliseconds(1500));
        if (world().host(m).frozen) {
            checkers_.excuse(m);
            world().thaw(m);
        }
        power_back(m);
        parts_.postgres.at(m).hang(false);
        parts_.postgres.at(m).stick({});
        if (member(m).stalls()) {
            checkers_.excuse(m);
            member(m).resume();
        }
        world().on_host(m, seconds(1), [this, m] { member(m).start_agent(); });
    }
    world().changed();
    pause(false);
}

}  // namespace relevo::sim
