// Pulses: the simulated agent listens to its leader by the daemon's own Suspicion. What would be a
// message each tenth of a second is looked up instead, whether it would have come; the core hears
// only of changes, as in the daemon.
#include <set>

#include "sim/member.h"

namespace relevo::sim {

using std::chrono::milliseconds;

namespace {
constexpr Duration tick = core::Suspicion::period / 2;
constexpr Duration idle_tick = milliseconds(500);  // nobody is listened to
}  // namespace

void Member::keep_listening() {
    const bool idle = state_.settings.synchronous_mode == cluster::SyncMode::off;
    if (!stalled_) next_tick_ = parts_.world.mono(index_) + (idle ? idle_tick : tick);
    parts_.world.tick_on_host(index_, idle ? idle_tick : tick, [this, incarnation = incarnation_] {
        if (incarnation != incarnation_ || !runs_) return;
        if (!stalled_ && overslept() > core::overslept) feed(core::TimerFired{});
        if (incarnation != incarnation_ || !runs_) return;
        if (!foreign() && !stalled_) listen();
        if (runs_) keep_listening();
    });
}

// What the core says about its view holds until there is another: asked at every tick, by every
// member, and about its leader.
const Member::Judged& Member::judged() {
    const auto mode = state_.settings.synchronous_mode;
    if (judged_.view == state_.dcs && judged_.mode == mode) return judged_;
    const auto* leader = core::listens_to(state_);
    judged_ = {state_.dcs, mode, leader ? parts_.world.index_of(leader->name) : -1,
               core::one_vote_is_enough(state_)};
    return judged_;
}

bool Member::hears(int leader) const {
    auto& world = parts_.world;
    const auto& there = *parts_.members[static_cast<std::size_t>(leader)];
    return there.answers() && world.host(leader).awake() && world.linked_both(index_, leader);
}

bool Member::connects_to(int leader) const {
    auto& world = parts_.world;
    const auto& pg = parts_.postgres.at(leader);
    return world.host(leader).awake() && world.linked_both(index_, leader) &&
           pg.server() != cluster::Server::stopped && !pg.hangs();
}

// The leader can write there and this member can read it. The check with a linearizable read is
// the core's.
bool Member::sees_in_dcs(int leader) const {
    auto& world = parts_.world;
    auto& there = *parts_.members[static_cast<std::size_t>(leader)];
    return parts_.dcs.up() && there.answers() && there.judged().one_vote &&
           world.host(leader).awake() && world.linked_both(leader, world.dcs_node()) &&
           world.linked_both(index_, world.dcs_node());
}

void Member::listen() {
    const Instant now = parts_.world.mono(index_);
    const int index = judged().listens_to;
    listener_.set_patience(state_.settings.suspect_after, state_.settings.ttl);
    listener_.listen(index >= 0 ? state_.dcs->leader->create_revision : 0, now);
    const auto due = listener_.tick(now);
    if (index >= 0) {
        if (due.pulse && hears(index)) listener_.heard(now);
        if (due.probe && connects_to(index)) listener_.connected(now);
        if (sees_in_dcs(index)) listener_.seen_in_dcs(now);
    }
    const bool suspects = listener_.suspects(), alone = listener_.alone();
    if (suspects) suspected_at_ = parts_.world.now();
    if (suspects != told_suspects_ || alone != told_alone_) {
        told_suspects_ = suspects;
        told_alone_ = alone;
        feed(core::LeaderSuspected{listener_.term(), suspects, alone});
    }
    if (runs_) back_leader();
}

// The leader's side: its voters' pulses that say that they follow it.
void Member::back_leader() {
    const Instant now = parts_.world.mono(index_);
    if (now < back_again_at_ || !core::wants_backing(state_, now)) return;
    back_again_at_ = now + milliseconds(500);
    const auto term = state_.last_led->leader->create_revision;
    std::set<cluster::MemberName> followers;
    for (int other = 0; other < parts_.world.size(); ++other) {
        if (other == index_ || !hears(other)) continue;
        const auto& there = *parts_.members[static_cast<std::size_t>(other)];
        if (core::follows_term(there.state()) == term) followers.insert(parts_.world.name(other));
    }
    if (!core::backed_by(state_, followers)) return;
    // Their word counts for 400 ms (agent/pulses.cpp): it may be that old when it is added up.
    const Duration old =
        parts_.world.faults_on ? parts_.world.dice.between({}, milliseconds(400)) : Duration{};
    later(old, [this, term] {
        feed(core::LeaderBacked{term, parts_.world.mono(index_) + milliseconds(1500)});
    });
}

// Its answer to POST /failsafe.
bool Member::agrees_to(const std::string& leader) {
    if (!answers() || !state_.settings.failsafe_mode ||
        !core::refuses_failsafe(state_, leader).empty())
        return false;
    feed(core::FailsafePing{leader, {}});
    return true;
}

void Member::do_failsafe(core::EffectId id, const core::AskFailsafe& ask) {
    struct Gather {
        std::size_t open = 0;
        bool over = false;
    };
    auto gather = std::make_shared<Gather>();
    gather->open = ask.members.size();
    auto& world = parts_.world;
    const auto end = [this, id, gather](bool agreed) {
        if (std::exchange(gather->over, true)) return;
        finish(id, {},
               agreed ? std::nullopt
                      : std::optional(Error{ErrorCode::denied, "a member does not agree"}));
    };
    if (ask.members.empty()) return later({}, [end] { end(true); });
    later(ask.deadline, [end] { end(false); });
    for (const auto& peer : ask.members) {
        const int other = world.index_of(peer.name);
        const auto there = world.plain_latency(), back = world.plain_latency();
        if (other < 0 || !world.linked(index_, other)) continue;
        world.on_host(other, there, [this, other, back, gather, end, incarnation = incarnation_] {
            auto& member = *parts_.members[static_cast<std::size_t>(other)];
            if (!parts_.world.linked(other, index_)) return;
            const bool agreed = member.agrees_to(parts_.world.name(index_));
            parts_.world.on_host(index_, back, [this, gather, end, agreed, incarnation] {
                if (incarnation != incarnation_) return;
                if (!agreed) return end(false);
                if (--gather->open == 0) end(true);
            });
        });
    }
}

}  // namespace relevo::sim
