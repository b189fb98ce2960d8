// A disk that fills (docs/adr/0018) or takes no writes (docs/adr/0022), the leader's side: where
// nobody can take over who is better off (spare.cpp), writes are refused and reads go on. It ends
// by itself.
#include <fmt/core.h>

#include <algorithm>

#include "core/mind.h"

namespace relevo::core {
namespace {

// A switchover takes less than this until the server stops, unless somebody has a transaction that
// does not end. Then the disk goes first.
constexpr Duration writes_go_on = std::chrono::seconds(1);
// Who sets default_transaction_read_only to off in a session writes no longer than this.
constexpr Duration end_writers_every = std::chrono::seconds(1);

}  // namespace

bool in_hold(const State& s) { return cluster::unfit(s.disk.state); }

bool disk_failed(const State& s) { return s.disk.state == cluster::DiskState::failed; }

const char* disk_trouble(const State& s) {
    return disk_failed(s) ? "the disk takes no writes" : "the disk is nearly full";
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
    // Nothing can be set where nothing can be written; what clients write fails by itself.
    if (disk_failed(s)) return;
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
