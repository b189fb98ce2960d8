// A leader that should not go on where another could: its disk is nearly full (docs/adr/0018), or
// its data is known to be damaged (docs/adr/0022). The lead goes to a member with room, or whose
// data is not known to be damaged, by an ordinary switchover. In an election such a member lets one
// go first that has just as much.
#include <fmt/core.h>

#include <algorithm>
#include <tuple>
#include <utility>
#include <vector>

#include "core/mind.h"

namespace relevo::core {
namespace {

using For = State::SpareFor;

// One member asks for no more than one handover in this time, so that members whose disks fill one
// after the other cannot pass the lead round and round.
constexpr Duration once_in = std::chrono::seconds(60);
// After one that was called off, twice as long each time: it may have cost clients a stop.
constexpr Duration first_pause = std::chrono::seconds(10), longest_pause = std::chrono::minutes(5);

bool damaged(const State& s) { return s.corruption.corrupted; }

// Why this leader should hand over; the disk is the one that cannot wait.
std::vector<For> reasons(const State& s) {
    std::vector<For> out;
    if (in_hold(s) && s.settings.disk.switchover) out.push_back(For::room);
    if (damaged(s) && s.settings.corruption.switchover) out.push_back(For::clean);
    return out;
}

// For room: not nearly full itself; one that only warns goes on writing for what it has left, which
// is better than to refuse writes here (best_spare prefers one that is well). In no other way may
// it be worse than this one. For clean data likewise. A disk that takes no writes is worse than
// anything: not even data that is damaged is as bad.
std::string worse(const State& s, For what, const std::string& name, cluster::DiskState disk,
                  bool corrupted) {
    if (disk == cluster::DiskState::failed) return name + "'s own disk takes no writes";
    const bool full = cluster::unfit(disk) && (what == For::room || !in_hold(s));
    if (s.rules.roomier && full) return name + " has too little room on its own disk";
    const bool rotten = corrupted && (what == For::clean || !(damaged(s) || disk_failed(s)));
    return s.rules.cleaner && rotten ? name + "'s own data is damaged" : std::string();
}

// What the member's key says; its own answer is asked for before anything is stopped.
bool could_spare(const Mind& m, const cluster::MemberRecord& member, For what) {
    const State& s = m.s;
    // An agent of Patroni's says nothing of its disk, nor of its data.
    return member.name != s.self.name && !member.relevo.empty() && !member.api_url.empty() &&
           member.running() && !member.tags.nofailover() && !member.leaves_votes &&
           worse(s, what, member.name, member.disk, member.corrupted).empty() &&
           may_lead_by_sync(s, member.name);
}

bool may_take_over(const Mind& m, const cluster::MemberRecord& member, For what) {
    return member.replication_state == "streaming" && could_spare(m, member, what);
}

// Before those that could not take over when they were last asked to; one that is well in every way
// before one that would have to hand over next.
const cluster::MemberRecord* best_spare(const Mind& m, For what) {
    const auto* view = m.view();
    if (!view) return nullptr;
    const cluster::MemberRecord* best = nullptr;
    const auto rank = [&](const cluster::MemberRecord& member) {
        return std::tuple(!m.s.spare.could_not.contains(member.name),
                          !member.corrupted || !m.s.rules.cleaner,
                          member.disk == cluster::DiskState::ok || !m.s.rules.roomier,
                          member.tags.failover_priority());
    };
    for (const auto& [name, member] : view->members)
        if (may_take_over(m, member, what) && (!best || rank(member) > rank(*best))) best = &member;
    return best;
}

void ask(Mind& m, For what, const cluster::MemberRecord& to) {
    State& s = m.s;
    cluster::FailoverRequest request;
    request.leader = s.self.name;
    request.member = to.name;
    s.spare.what = what;
    s.spare.asked = request;
    s.spare.begun = false;
    // Only a disk makes writes wait for it (keep_writes).
    s.spare.asked_at = what == For::room ? m.now.mono : Instant{};
    s.spare.ask_again_at = m.now.mono + once_in;
    m.tell(
        what == For::room
            ? Note{Note::Level::warning,
                   fmt::format("{}: handing over to {}, which has room", disk_trouble(s), to.name),
                   "disk"}
            : Note{Note::Level::warning,
                   fmt::format("the data here is damaged: handing over to {}, whose data is not "
                               "known to be",
                               to.name),
                   "corruption"});
    m.commit(CommitFor::ask_handover,
             cluster::keys::ask_handover(request, m.view()->failover_revision, s.lead->term));
}

}  // namespace

const cluster::MemberRecord* with_room(const Mind& m) { return best_spare(m, For::room); }

// Who streams from a server that just ended does so no more: that is not asked here.
bool leaves_for_room(const Mind& m) {
    const State& s = m.s;
    if (!in_hold(s) || !s.settings.disk.switchover || m.paused() || !s.dcs) return false;
    if (!s.rules.leaves_full || m.now.mono < s.spare.stays_until) return false;
    return std::ranges::any_of(
        s.dcs->members, [&](const auto& one) { return could_spare(m, one.second, For::room); });
}

// Whom their keys said so of could not after all: it is started here, as well as it can be.
void stays_for_now(State& s, Instant now) { s.spare.stays_until = now + first_pause; }

// Through the key that an operator would write, on condition that there is no request of his: so
// everybody sees it, and whoever withdraws it is heard.
void spare_this_member(Mind& m) {
    State& s = m.s;
    const auto why = reasons(s);
    if (why.empty() || !m.leading() || !m.may_lead() || m.paused() || m.pg_busy()) return;
    const auto* view = m.view();
    if (!view || view->failover || !s.pg->primary()) return;
    if (!holds<std::monostate>(s.procedure) || m.committing(CommitFor::ask_handover) ||
        m.committing(CommitFor::clear_failover))
        return;
    for (const For what : why) {
        const auto* to = best_spare(m, what);
        if (!to) continue;
        Instant when = s.spare.ask_again_at;
        if (s.spare.gave_at != Instant{}) when = std::max(when, s.spare.gave_at + once_in);
        if (m.now.mono < when) return m.wake_by(when);
        return ask(m, what, *to);
    }
}

bool asked_to_be_spared(const State& s, const cluster::FailoverRequest& request) {
    const auto& asked = s.spare.asked;
    if (!asked) return false;
    // Until the answer is there, and where it was lost, by what was written.
    if (asked->mod_revision == 0)
        return !request.scheduled_at && asked->leader == request.leader &&
               asked->member == request.member;
    return asked->mod_revision == request.mod_revision;
}

void spare_begins(Mind& m, const cluster::FailoverRequest& request) {
    auto& spare = m.s.spare;
    if (!asked_to_be_spared(m.s, request)) return;
    spare.begun = true;
    spare.ask_again_at = m.now.mono + once_in;
}

// The key is given away, or it was not after all. One request may be carried out twice: who gave it
// away can have it again, and find its own request there.
void spare_given(Mind& m, const cluster::FailoverRequest& request, bool given) {
    if (asked_to_be_spared(m.s, request)) m.s.spare.gave_at = given ? m.now.mono : Instant{};
}

// Another may be tried sooner than after one that worked.
void spare_called_off(Mind& m, const cluster::FailoverRequest& request) {
    auto& spare = m.s.spare;
    if (!asked_to_be_spared(m.s, request)) return;
    // Each gets its turn.
    if (!spare.could_not.insert(request.member).second) spare.could_not = {request.member};
    spare.asked.reset();
    spare.asked_at = {};
    // While the server serves this cost nobody anything, and somebody else may be able to.
    const auto* p = procedure<HandingOver>(m);
    const bool serves = !p || p->stage == HandingOver::Stage::validate ||
                        p->stage == HandingOver::Stage::checkpoint;
    const auto* next = serves ? best_spare(m, spare.what) : nullptr;
    if (next && !spare.could_not.contains(next->name)) {
        spare.ask_again_at = m.now.mono + std::chrono::seconds(1);
        return;
    }
    spare.pause = std::clamp(2 * spare.pause, first_pause, longest_pause);
    spare.ask_again_at = m.now.mono + spare.pause;
}

void handover_asked(Mind& m, const EffectDone& done) {
    const auto* result = std::get_if<cluster::TxnResult>(&done.payload);
    auto& spare = m.s.spare;
    if (!done.error && result && result->succeeded) {
        if (spare.asked) spare.asked->mod_revision = result->revision;
        return;
    }
    // Of one whose answer was lost the view will tell, or has; a request of an operator's goes
    // first.
    if (done.error && done.error->code == ErrorCode::outcome_unknown) {
        if (spare.begun) return;
    } else {
        spare.asked.reset();
    }
    spare.asked_at = {};
    spare.ask_again_at = m.now.mono + std::chrono::seconds(1);  // nothing was stopped for it
}

// A candidate's own word. An operator's `failover` goes before it.
std::string not_spared_by(const Mind& m, const cluster::FailoverRequest& request,
                          const std::string& name, const cluster::PeerStatus& peer) {
    const State& s = m.s;
    if (request.leader.empty() && !request.member.empty()) return {};
    // One that an operator asked for may only be no worse.
    if (!asked_to_be_spared(s, request))
        return worse(s, For::clean, name, peer.disk.value_or(cluster::DiskState::ok),
                     peer.corrupted.value_or(false) && !damaged(s));
    if (s.rules.roomier && s.spare.what == For::room && !peer.disk)
        return name + " does not say how much room it has";
    if (s.rules.cleaner && s.spare.what == For::clean && !peer.corrupted)
        return name + " does not say whether its data is damaged";
    return worse(s, s.spare.what, name, peer.disk.value_or(cluster::DiskState::ok),
                 peer.corrupted.value_or(false));
}

std::string no_spare_any_more(const Mind& m, const cluster::FailoverRequest& request) {
    const auto* view = m.view();
    const auto* member = view ? view->member(request.member) : nullptr;
    if (!member || !asked_to_be_spared(m.s, request)) return {};
    return worse(m.s, m.s.spare.what, member->name, member->disk, member->corrupted);
}

namespace {

// What counts more comes first. Who does not say is taken for no better than this member where that
// makes this one wait for it, and for well elsewhere.
struct Soundness {
    bool writable = true, clean = true, roomy = true;
    auto operator<=>(const Soundness&) const = default;
};
Soundness soundness(const State& s) {
    return {!disk_failed(s), !s.rules.cleaner || !damaged(s), !in_hold(s)};
}
Soundness soundness(const State& s, const cluster::PeerStatus& peer, bool in_doubt_well) {
    auto out = soundness(s);
    if (in_doubt_well) out = {};
    if (peer.disk) {
        out.writable = *peer.disk != cluster::DiskState::failed;
        out.roomy = !cluster::unfit(*peer.disk);
    }
    if (s.rules.cleaner && peer.corrupted) out.clean = !*peer.corrupted;
    return out;
}

}  // namespace

bool roomier(const State& s, const cluster::PeerStatus& peer) {
    return in_hold(s) && peer.disk && !cluster::unfit(*peer.disk) &&
           (!s.rules.cleaner || damaged(s) || disk_failed(s) || !peer.corrupted.value_or(false));
}

// Nobody loses anything by it: they have the same.
bool sounder(const State& s, const cluster::PeerStatus& peer) {
    return soundness(s, peer, false) > soundness(s);
}
bool less_sound(const State& s, const cluster::PeerStatus& peer) {
    return soundness(s, peer, true) < soundness(s);
}

}  // namespace relevo::core
