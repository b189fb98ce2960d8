// A disk that fills (docs/adr/0018), the leader's side. When so little is left that PostgreSQL
// would soon fail to write, the lead goes to a member with room, by an ordinary switchover; where
// there is none, writes are refused and reads go on. Both end by themselves.
#include <fmt/core.h>

#include <algorithm>

#include "core/mind.h"

namespace relevo::core {
namespace {

// One member asks for no more than one handover in this time, so that members whose disks fill one
// after the other cannot pass the lead round and round.
constexpr Duration once_in = std::chrono::seconds(60);
// After one that was called off, twice as long each time: it may have cost clients a stop.
constexpr Duration first_pause = std::chrono::seconds(10), longest_pause = std::chrono::minutes(5);
// A switchover takes less than this until the server stops, unless somebody has a transaction that
// does not end. Then the disk goes first.
constexpr Duration writes_go_on = std::chrono::seconds(1);
// Who sets default_transaction_read_only to off in a session writes no longer than this.
constexpr Duration end_writers_every = std::chrono::seconds(1);

// What the member's key says; its own answer is asked for before anything is stopped.
bool has_room(const Mind& m, const cluster::MemberRecord& member) {
    const State& s = m.s;
    // An agent of Patroni's says nothing of its disk.
    return member.name != s.self.name && !member.relevo.empty() && !member.api_url.empty() &&
           member.running() && !member.tags.nofailover() && !member.leaves_votes &&
           (member.disk == cluster::DiskState::ok || !s.rules.roomier) &&
           may_lead_by_sync(s, member.name);
}

bool may_take_over(const Mind& m, const cluster::MemberRecord& member) {
    return member.replication_state == "streaming" && has_room(m, member);
}

// Before those that could not take over when they were last asked to.
const cluster::MemberRecord* with_room(const Mind& m) {
    const auto* view = m.view();
    if (!view) return nullptr;
    const cluster::MemberRecord* best = nullptr;
    const auto rank = [&](const cluster::MemberRecord& member) {
        return std::pair(!m.s.spare.could_not.contains(member.name),
                         member.tags.failover_priority());
    };
    for (const auto& [name, member] : view->members)
        if (may_take_over(m, member) && (!best || rank(member) > rank(*best))) best = &member;
    return best;
}

}  // namespace

bool in_hold(const State& s) { return s.disk.state == cluster::DiskState::hold; }

// Who streams from a server that just ended does so no more: that is not asked here.
bool leaves_for_room(const Mind& m) {
    const State& s = m.s;
    if (!in_hold(s) || !s.settings.disk.switchover || m.paused() || !s.dcs) return false;
    if (!s.rules.leaves_full || m.now.mono < s.spare.stays_until) return false;
    return std::ranges::any_of(s.dcs->members,
                               [&](const auto& one) { return has_room(m, one.second); });
}

// Whom their keys said so of could not after all: it is started here, as well as it can be.
void stays_for_now(State& s, Instant now) { s.spare.stays_until = now + first_pause; }

// Through the key that an operator would write, on condition that there is no request of his: so
// everybody sees it, and whoever withdraws it is heard.
void ask_for_room(Mind& m) {
    State& s = m.s;
    if (!in_hold(s) || !s.settings.disk.switchover || !m.leading() || !m.may_lead() || m.paused() ||
        m.pg_busy())
        return;
    const auto* view = m.view();
    if (!view || view->failover || !s.pg->primary()) return;
    if (!holds<std::monostate>(s.procedure) || m.committing(CommitFor::ask_handover) ||
        m.committing(CommitFor::clear_failover))
        return;
    const auto* to = with_room(m);
    if (!to) return;
    Instant when = s.spare.ask_again_at;
    if (s.spare.gave_at != Instant{}) when = std::max(when, s.spare.gave_at + once_in);
    if (m.now.mono < when) return m.wake_by(when);
    cluster::FailoverRequest request;
    request.leader = s.self.name;
    request.member = to->name;
    s.spare.asked = request;
    s.spare.begun = false;
    s.spare.asked_at = m.now.mono;
    s.spare.ask_again_at = m.now.mono + once_in;
    m.tell(
        Note{Note::Level::warning,
             fmt::format("the disk is nearly full: handing over to {}, which has room", to->name),
             "disk"});
    m.commit(CommitFor::ask_handover,
             cluster::keys::ask_handover(request, view->failover_revision, s.lead->term));
}

bool asked_for_room(const State& s, const cluster::FailoverRequest& request) {
    const auto& asked = s.spare.asked;
    if (!asked) return false;
    // Until the answer is there, and where it was lost, by what was written.
    if (asked->mod_revision == 0)
        return !request.scheduled_at && asked->leader == request.leader &&
               asked->member == request.member;
    return asked->mod_revision == request.mod_revision;
}

void room_asked_for(Mind& m, const cluster::FailoverRequest& request) {
    auto& spare = m.s.spare;
    if (!asked_for_room(m.s, request)) return;
    spare.begun = true;
    spare.ask_again_at = m.now.mono + once_in;
}

// The key is given away, or it was not after all. One request may be carried out twice: who gave it
// away can have it again, and find its own request there.
void room_given(Mind& m, const cluster::FailoverRequest& request, bool given) {
    if (asked_for_room(m.s, request)) m.s.spare.gave_at = given ? m.now.mono : Instant{};
}

// Another may be tried sooner than after one that worked.
void room_not_had(Mind& m, const cluster::FailoverRequest& request) {
    auto& spare = m.s.spare;
    if (!asked_for_room(m.s, request)) return;
    // Each gets its turn.
    if (!spare.could_not.insert(request.member).second) spare.could_not = {request.member};
    spare.asked.reset();
    spare.asked_at = {};
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
std::string too_full(const Mind& m, const cluster::FailoverRequest& request,
                     const std::string& name, const cluster::PeerStatus& peer) {
    const State& s = m.s;
    if (!s.rules.roomier || (request.leader.empty() && !request.member.empty())) return {};
    const bool for_room = asked_for_room(s, request);
    if (for_room && !peer.disk) return name + " does not say how much room it has";
    const bool full = for_room ? peer.disk != cluster::DiskState::ok
                               : peer.disk == cluster::DiskState::hold && !in_hold(s);
    return full ? name + " has too little room on its own disk" : std::string();
}

// Nothing was stopped yet, and its key says so by now.
bool room_is_gone(const Mind& m, const cluster::FailoverRequest& request) {
    const auto* view = m.view();
    const auto* member = view ? view->member(request.member) : nullptr;
    return member && m.s.rules.roomier && asked_for_room(m.s, request) &&
           member->disk != cluster::DiskState::ok;
}

// Between two that may both lead. Nobody loses anything by it: they have the same.
bool roomier(const State& s, const cluster::PeerStatus& peer) {
    return in_hold(s) && peer.disk && peer.disk != cluster::DiskState::hold;
}
bool less_room(const State& s, const cluster::PeerStatus& peer) {
    return !in_hold(s) && peer.disk == cluster::DiskState::hold;
}

namespace {

// Once: a look that began before may still show the server as it was.
void tell_of_writes(Mind& m, bool refused) {
    const State& s = m.s;
    if (!refused)
        return m.say("writes", Note::Level::info,
                     in_hold(s) ? "disk.refuse_writes is off: writes go on"
                                : "there is room on the disk: writes go on");
    const char* why = s.settings.disk.switchover && with_room(m)
                          ? "the lead could not be handed over yet"
                          : "no other member has room or may take over";
    m.say("writes", Note::Level::error,
          fmt::format("the disk is nearly full and {}: writes are refused until there is room, "
                      "reads go on. {}",
                      why, s.disk.note));
}

}  // namespace

// The leader: its writes are refused while there is no room, and let in again.
void keep_writes(Mind& m) {
    State& s = m.s;
    if (s.pg_stale || !s.pg->primary() || !m.leading() || m.pg_busy() || m.running<RefuseWrites>())
        return;
    const auto* p = procedure<HandingOver>(m);
    if (p ? p->stage > HandingOver::Stage::hold : !holds<std::monostate>(s.procedure)) return;
    const bool refuses = s.pg->refuses_writes, wanted = in_hold(s) && s.settings.disk.refuse_writes;
    if (!wanted && !refuses) return;
    // Refused before this agent was started: whether there is room is not known yet.
    if (!wanted && !s.spare.measured) return;
    // In maintenance mode nothing is done that was not asked for; what was done is taken back.
    if (wanted && m.paused()) return;
    Instant when = s.spare.writes_again_at;
    if (!refuses && s.spare.asked_at != Instant{})
        when = std::max(when, s.spare.asked_at + writes_go_on);
    if (m.now.mono < when) return m.wake_by(when);
    s.spare.writes_again_at = m.now.mono + end_writers_every;
    if (wanted != refuses) tell_of_writes(m, wanted);
    m.emit(RefuseWrites{wanted});
}

void writes_refused(Mind& m, const RefuseWrites& effect, const EffectDone& done) {
    State& s = m.s;
    if (done.error)
        m.say("refuse writes", Note::Level::error,
              (effect.on ? "writes cannot be refused: " : "writes cannot be let in again: ") +
                  done.error->message);
    else
        m.forget("refuse writes");
    if (!done.error && s.pg) s.pg->refuses_writes = effect.on;
}

}  // namespace relevo::core
