// The tail of a crashed primary (docs/adr/0009): backends that outlive their postmaster go on
// acknowledging after the walsenders are gone. With asynchronous replication that would be lost in
// a failover. So the old leader's agent ends them, offers what its disk has, and the successor
// takes that into its own pg_wal before it is promoted: the promotion replays it.
//
// By the votes of synchronous replication nothing of this is needed, and nobody's WAL may grow.
#include <fmt/core.h>

#include "core/mind.h"

namespace relevo::core {
namespace {

// Beside its own patience with us, the successor asks its rivals and takes a timeline first.
constexpr Duration before_it_asks = std::chrono::seconds(1);

bool off(const State& s) { return s.settings.wal_tail_timeout.count() == 0 || sync_rules(s); }

}  // namespace

void end_remains(Mind& m) {
    State& s = m.s;
    if (!s.crashed || s.all_dead || !s.was_primary || m.paused() || m.pg_busy()) return;
    if (s.pg->server != cluster::Server::stopped) return;
    s.stop_wanted = true;
    m.emit(KillPg{});
    // Beside it: who could take over?
    if (m.leading() && holds<std::monostate>(s.procedure) && can_fail_over(m)) fail_over(m);
}

// --- the crashed leader

bool tail_found(Mind& m, CrashFailover& p) {
    State& s = m.s;
    if (p.tail_known || off(s) || s.led_timeline == 0) return true;
    if (!m.running<FindWalEnd>()) m.emit(FindWalEnd{s.led_timeline});
    return false;
}

void tail_found_done(Mind& m, CrashFailover& p, const EffectDone& done) {
    p.tail_known = true;
    const auto* tail = done.error ? nullptr : std::get_if<cluster::WalTail>(&done.payload);
    if (!tail) {
        m.say("tail", Note::Level::warning,
              "what was written here last cannot be given to the next leader: " +
                  (done.error ? done.error->message : std::string("no end of WAL")));
        return;
    }
    m.s.tail = State::Tail{*tail, {}};
    m.say("tail", Note::Level::info,
          fmt::format("WAL on disk ends before {} on timeline {}: the next leader may have it",
                      to_string(tail->end), tail->timeline));
}

bool keeps_tail(Mind& m, const cluster::MemberRecord& leader) {
    State& s = m.s;
    if (!s.tail || leader.role == cluster::Role::primary) return false;
    // A successor that dies has a successor.
    if (const auto term = s.dcs->leader->create_revision; s.tail->offered_in != term) {
        s.tail->offered_in = term;
        s.tail->until = m.now.mono + s.settings.wal_tail_timeout + before_it_asks;
    }
    if (m.now.mono >= s.tail->until) return false;
    m.wake_by(s.tail->until);
    return true;
}

// --- its successor

void remember_tail(Mind& m) {
    State& s = m.s;
    s.tail_wanted.reset();
    if (off(s) || !s.race_answers || s.pg->primary()) return;
    // Also those whose keys are gone: cut off from the DCS, and asked all the same.
    for (const auto& [name, record] : s.known) {
        const auto at = s.race_answers->find(name);
        std::optional<cluster::WalTail> tail;
        if (at != s.race_answers->end() && at->second) tail = at->second->tail;
        // An answer may be lost; what is on offer stands in the member's key too.
        const auto* key = s.dcs->member(name);
        if (!tail && key) tail = key->wal_tail;
        if (name == s.self.name || !tail) continue;
        // On another timeline it is no continuation of what is here.
        if (tail->timeline != s.pg->timeline || tail->end <= s.pg->position()) continue;
        if (!s.tail_wanted || s.tail_wanted->tail.end < tail->end)
            s.tail_wanted = State::TailWanted{record, *tail, {}, {}, false};
    }
}

bool tail_taken(Mind& m) {
    State& s = m.s;
    auto& wanted = s.tail_wanted;
    if (!wanted || wanted->over) return true;
    wanted->over = true;  // once: it has an end of its own
    const Duration patience =
        std::min<Duration>(s.settings.wal_tail_timeout, m.fence_at() - m.now.mono);
    wanted->from = s.pg->position();
    m.say("tail", Note::Level::info,
          fmt::format("asking {} for what it wrote last: timeline {} from {} to {}",
                      wanted->member.name, wanted->tail.timeline, to_string(wanted->from),
                      to_string(wanted->tail.end)));
    m.emit(TakeTail{wanted->member, wanted->tail, wanted->from, patience});
    return false;
}

void tail_taken_done(Mind& m, const EffectDone& done) {
    auto& wanted = m.s.tail_wanted;
    if (!wanted) return;
    if (const auto* taken = std::get_if<TailTaken>(&done.payload)) wanted->got = taken->end;
    const auto got = std::max(wanted->got, wanted->from);
    if (!done.error) {
        m.say("tail", Note::Level::info,
              fmt::format("has {} bytes of {}'s WAL, up to {}: the promotion replays them",
                          distance(got, wanted->from), wanted->member.name, to_string(got)));
        return;
    }
    m.say("tail", Note::Level::warning,
          fmt::format("up to {} bytes that {} may have acknowledged are lost, what it wrote last "
                      "could not be had: {}",
                      distance(wanted->tail.end, got), wanted->member.name, done.error->message));
}

void tell_tail(Mind& m) {
    State& s = m.s;
    if (!s.tail_wanted || s.pg->history.empty()) return;  // not read yet
    for (const auto& line : s.pg->history)
        if (line.timeline == s.tail_wanted->tail.timeline && s.tail_wanted->got)
            m.say("tail", Note::Level::info,
                  fmt::format("replayed {}'s WAL to {}, {} bytes more than was received",
                              s.tail_wanted->member.name, to_string(line.switch_point),
                              distance(line.switch_point, s.tail_wanted->from)));
    s.tail_wanted.reset();
    m.forget("tail");
}

}  // namespace relevo::core
