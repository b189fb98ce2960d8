// A replica whose data is damaged makes itself anew where that is switched on (docs/adr/0022): one
// member at a time, by a key in the DCS that is seen before anything is stopped, and never where
// another copy is lacking or the leader's is no better. What follows then is what an operator's
// reinit does (orders.cpp), but that the old directory is kept.
#include <fmt/core.h>

#include <algorithm>

#include "core/mind.h"

namespace relevo::core {
namespace {

using Stage = State::Rebuilding::Stage;
using Phase = cluster::Rebuild::Phase;

// After a look at the disk that found no place for two copies: the look reads the whole directory.
constexpr Duration look_again_after = std::chrono::minutes(10);
constexpr Duration again_after = std::chrono::minutes(1);
constexpr Duration write_again_after = std::chrono::seconds(2);
// From the claim to the stop.
constexpr Duration begins_within = std::chrono::seconds(60);
// The leader's own word on its data is this old when the server is stopped, at most.
constexpr Duration word_holds = std::chrono::seconds(2);

bool wanted(const Mind& m) {
    return m.s.corruption.corrupted && m.s.settings.corruption.rebuild_replica && !m.paused();
}

// Has what the leader acknowledges, and could take over from it.
bool is_copy(const Mind& m, const cluster::MemberRecord& member,
             const cluster::MemberRecord& leader) {
    return member.name != m.s.self.name && member.name != leader.name && member.running() &&
           member.replication_state == "streaming" && member.timeline == leader.timeline &&
           !member.leaves_votes && !member.voteless && !member.tags.nofailover();
}

// named: those count alone that the sync key names already, where there is one.
std::string too_few_copies(const Mind& m, const cluster::MemberRecord& leader, bool named) {
    const State& s = m.s;
    const auto& view = *m.view();
    const bool sync = s.settings.synchronous_mode != cluster::SyncMode::off;
    if (!s.rules.copies_left) return {};
    if (sync && (!view.sync.active() || view.sync.unreadable))
        return "the sync key does not say who has what was acknowledged";
    const auto copies = std::ranges::count_if(view.members, [&](const auto& entry) {
        const auto& [name, member] = entry;
        if (!is_copy(m, member, leader)) return false;
        return !sync || (!member.tags.nosync() && (!named || view.sync.names(name)));
    });
    const int needed = sync ? std::max(1, s.settings.synchronous_node_count) : 1;
    if (copies >= needed) return {};
    return needed == 1
               ? fmt::format("no other replica streams from {} that could take over from it",
                             leader.name)
               : fmt::format(
                     "only {} other replicas stream from {} that could take over "
                     "from it, and synchronous_node_count is {}",
                     copies, leader.name, needed);
}

// Empty: it may be made anew, as far as this member can see.
std::string cannot(const Mind& m, bool named) {
    const State& s = m.s;
    const auto* view = m.view();
    const auto* leader = view ? primary_member(m) : nullptr;
    if (m.leading() || s.pg->primary()) return "it leads";
    if (s.corruption.perhaps_replicated)
        return "amcheck alone has found something, and that may be the leader's damage as well, "
               "which "
               "a copy would bring again: run `relevoctl amcheck` for the other members, too";
    if (!leader || leader->role != cluster::Role::primary || !leader->running())
        return "no other member leads and runs as a primary";
    if (leader->relevo.empty())
        return fmt::format("the agent of {}, which leads, does not say how its data is",
                           leader->name);
    if (leader->corrupted)
        return fmt::format("the data of {}, which leads, is damaged too", leader->name);
    if (cluster::unfit(leader->disk))
        return fmt::format("the disk of {}, which leads, is {}", leader->name,
                           cluster::to_string(leader->disk));
    if (cluster::unfit(s.disk.state))
        return fmt::format("the disk here is {}", cluster::to_string(s.disk.state));
    if (view->failover) return "a switchover is asked for";
    if (view->restoration && view->restoration->goes_on())
        return "the cluster is being restored in place";
    // What does not stream may have what nobody else has: a person decides.
    if (s.pg->server != cluster::Server::running || s.pg->replication_state != "streaming" ||
        s.pg->timeline != leader->timeline)
        return fmt::format("it does not stream from {}'s line", leader->name);
    return too_few_copies(m, *leader, named);
}

// By the key: another has the turn, or this one had it lately.
std::string not_my_turn(const Mind& m) {
    const auto& key = m.view()->rebuild;
    if (!key) return {};
    if (key->phase == Phase::unreadable)
        return "the key `rebuild` cannot be read: repair or remove it";
    if (key->goes_on() && m.s.rules.one_rebuilds)
        return fmt::format("{} is being made anew", key->member);
    const auto after = cluster::rebuild_after(*key, m.s.self.name);
    if (!after || m.now.wall >= *after) return {};
    const auto& last = key->previous.at(m.s.self.name);
    if (last.failed == 0)
        return fmt::format(
            "it was made anew at {} already and its new data is damaged too, so "
            "look at its disk and controller; not again by itself before {}",
            to_iso(last.begun), to_iso(*after));
    return fmt::format("{} tries failed, the last one at {}; not again before {}", last.failed,
                       to_iso(last.begun), to_iso(*after));
}

void say_why_not(Mind& m, const std::string& why) {
    m.say("rebuild", Note::Level::warning,
          fmt::format("this member's data is damaged, and it is not made anew by itself now: {}. "
                      "`relevoctl reinit` does it all the same",
                      why));
}

// What passes by itself (a failover, a replica that starts, the look at a copy that was just made)
// is not told.
constexpr Duration told_after = std::chrono::seconds(15);

void tell_why_not(Mind& m, const std::string& why) {
    auto& r = m.s.rebuilding;
    if (r.why != why) {
        r.why = why;
        r.why_since = m.now.mono;
    }
    if (m.now.mono < r.why_since + told_after) return m.wake_by(r.why_since + told_after);
    say_why_not(m, why);
}

bool acts(const Mind& m) {
    const State& s = m.s;
    return !holds<std::monostate>(s.procedure) || m.pg_busy() || s.reinit_asked || s.restart_asked;
}

void write_end(Mind& m) {
    auto& r = m.s.rebuilding;
    if (!m.view() || m.committing(CommitFor::end_rebuild)) return;
    if (m.now.mono < r.write_at) return m.wake_by(r.write_at);
    m.commit(CommitFor::end_rebuild, cluster::keys::end_rebuild(r.claim, std::nullopt));
}

// Nothing was stopped.
void withdraw(Mind& m, const std::string& why) {
    State& s = m.s;
    auto& r = s.rebuilding;
    m.tell(Note{Note::Level::warning, "not made anew: " + why});
    if (!s.reinit_asked) s.leaves_votes_since.reset();
    r.claim = cluster::withdrawn_rebuild(r.claim, r.before, why);
    r.stage = Stage::end;
    r.again_at = m.now.mono + again_after;
    r.write_at = {};
    write_end(m);
}

// The key says that this member has the turn, and this agent does not know of it: the answer to its
// claim was lost, or the agent that claimed it is gone.
void settle_old(Mind& m, const cluster::Rebuild& key) {
    State& s = m.s;
    auto& r = s.rebuilding;
    if (key.since == r.claim.since && r.stage == Stage::idle && !r.stopped) {
        r.claim.revision = key.revision;
        return withdraw(m, "the answer of the DCS was lost");
    }
    // What an earlier agent made is known once the data was looked at.
    if (!s.corruption_known || acts(m) || s.pg->data_dir != cluster::DataDir::initialized) return;
    const bool made = !s.corruption.corrupted;
    r.claim = cluster::ended_rebuild(key, made, made ? "" : "the agent ended in the midst of it");
    r.stage = Stage::end;
    r.write_at = {};
    write_end(m);
}

void begins(Mind& m) {
    State& s = m.s;
    auto& r = s.rebuilding;
    const auto* view = m.view();
    if (!view) return;
    if (view->rebuild && view->rebuild->goes_on() && view->rebuild->member == s.self.name)
        return settle_old(m, *view->rebuild);
    if (!wanted(m) || m.leading()) {
        r.why.clear();
        m.forget("rebuild");
        return;
    }
    if (m.now.mono < r.again_at) return m.wake_by(r.again_at);
    if (acts(m) || s.leaves_votes_since) return;
    auto why = not_my_turn(m);
    if (why.empty()) why = cannot(m, false);
    if (!why.empty()) return tell_why_not(m, why);
    r.stage = Stage::check;
    m.emit(CheckRebuild{});
}

// What must hold until the server is stopped. Empty: it does.
std::string called_off(const Mind& m) {
    const State& s = m.s;
    if (!s.settings.corruption.rebuild_replica) return "corruption.rebuild_replica is off";
    if (m.paused()) return "maintenance mode began";
    if (!s.corruption.corrupted) return "its data is not known to be damaged any more";
    if (s.reinit_asked || s.restart_asked || !holds<std::monostate>(s.procedure))
        return "another action came first";
    return cannot(m, false);
}

// The leader takes this voter out of the sync key first, or does not put it in: meanwhile it is a
// member like any other.
bool still_votes(Mind& m) {
    State& s = m.s;
    if (!sync_rules(s)) return false;
    if (!s.leaves_votes_since) s.leaves_votes_since = m.now.mono;
    const auto* shown = m.view()->member(s.self.name);
    if (shown && shown->leaves_votes && !m.view()->sync.names(s.self.name)) return false;
    const Instant until = *s.leaves_votes_since + let_go_within;
    if (m.now.mono < until)
        m.wake_by(until);
    else
        withdraw(m, fmt::format("{} has not let this voter go within {} s", m.view()->leader->name,
                                to_s(let_go_within)));
    return true;
}

void stop(Mind& m) {
    State& s = m.s;
    auto& r = s.rebuilding;
    r.stage = Stage::make;
    r.stopped = true;
    s.leaves_votes_since.reset();
    m.tell(Note{Note::Level::warning,
                fmt::format("this member's data is damaged: it is made anew from {}, and the old "
                            "directory is kept as *{}",
                            m.view()->leader->name, r.claim.kept),
                "corruption"});
    Reinitializing p;
    p.keep = r.claim.kept;
    s.procedure = p;
    s.stop_wanted = true;
    m.emit(KillPg{});
}

// It has the turn. True: the server is being stopped.
bool goes_on(Mind& m) {
    State& s = m.s;
    auto& r = s.rebuilding;
    const Instant due = r.claimed_at + begins_within;
    if (m.now.mono >= due) {
        withdraw(m, "it could not begin within a minute");
        return false;
    }
    m.wake_by(due);
    const auto* view = m.view();
    if (!view || view->revision < r.claim.revision) return false;
    if (!view->rebuild || view->rebuild->revision != r.claim.revision) {
        m.tell(Note{Note::Level::warning, "not made anew: another has the turn"});
        if (!s.reinit_asked) s.leaves_votes_since.reset();
        r.stage = Stage::idle;
        r.again_at = m.now.mono + again_after;
        return false;
    }
    if (const auto why = called_off(m); !why.empty()) {
        withdraw(m, why);
        return false;
    }
    if (still_votes(m) || m.pg_busy()) return false;
    if (!cannot(m, true).empty()) return false;  // the key will name another, or it is too late
    if (r.word_of == term_of(s) && m.now.mono < r.word_until) {
        stop(m);
        return true;
    }
    if (!m.probing(ProbeFor::rebuild))
        m.emit(ProbePeers{ProbeFor::rebuild, {{*primary_member(m), alive_peer_deadline}}});
    return false;
}

// The leader: who had the turn and is gone from the cluster has it no more.
void clear_stale(Mind& m) {
    State& s = m.s;
    auto& gone = s.rebuild_gone;
    if (!s.dcs || !s.dcs->rebuild || !s.dcs->rebuild->goes_on() || !m.may_lead()) {
        gone = {};
        return;
    }
    const auto& key = *s.dcs->rebuild;
    if (s.dcs->member(key.member) || s.dcs_down) {
        gone = {};
        return;
    }
    if (!m.view()) return;  // after each write of our own, for a moment
    if (gone.revision != key.revision) gone = {key.revision, m.now.mono, {}};
    const Instant due = std::max(gone.since + Duration(s.settings.ttl), gone.write_at);
    if (m.now.mono < due) return m.wake_by(due);
    if (m.committing(CommitFor::end_rebuild)) return;
    gone.write_at = m.now.mono + write_again_after;
    m.commit(CommitFor::end_rebuild,
             cluster::keys::end_rebuild(
                 cluster::ended_rebuild(key, false, "it is gone from the cluster"), s.lead->term));
}

}  // namespace

bool rebuild(Mind& m) {
    clear_stale(m);
    switch (m.s.rebuilding.stage) {
        case Stage::idle: begins(m); return false;
        case Stage::check:
        case Stage::claim: return false;
        case Stage::leave: return goes_on(m);
        case Stage::make:
            // reinit_done says how it ended; where something else ended the procedure:
            rebuild_ended(m, "it was given up");
            return false;
        case Stage::end: write_end(m); return false;
    }
    return false;
}

void rebuild_checked(Mind& m, const EffectDone& done) {
    auto& r = m.s.rebuilding;
    if (r.stage != Stage::check) return;
    r.stage = Stage::idle;
    if (done.error) {
        r.again_at = m.now.mono + look_again_after;
        return say_why_not(m, done.error->message);
    }
    const auto* view = m.view();
    if (!view || !view->leader || !wanted(m)) return;
    if (!not_my_turn(m).empty() || !cannot(m, false).empty()) return;
    r.before.reset();
    if (view->rebuild)
        if (const auto at = view->rebuild->previous.find(m.s.self.name);
            at != view->rebuild->previous.end())
            r.before = at->second;
    r.claim = cluster::claim_rebuild(view->rebuild, m.s.self.name, m.now.wall);
    r.stage = Stage::claim;
    r.stopped = false;
    r.word_until = {};
    m.commit(CommitFor::claim_rebuild, cluster::keys::claim_rebuild(r.claim, term_of(m.s)));
}

void rebuild_claimed(Mind& m, const EffectDone& done) {
    auto& r = m.s.rebuilding;
    if (r.stage != Stage::claim) return;
    const auto* result = done.error ? nullptr : std::get_if<cluster::TxnResult>(&done.payload);
    r.stage = Stage::idle;
    if (!result || !result->succeeded) {
        r.again_at = m.now.mono + again_after;
        return;
    }
    r.claim.revision = result->revision;
    r.claimed_at = m.now.mono;
    r.stage = Stage::leave;
}

void rebuild_answered(Mind& m, const PeerAnswers& answers) {
    State& s = m.s;
    auto& r = s.rebuilding;
    if (r.stage != Stage::leave) return;
    for (const auto& [name, answer] : answers) {
        if (!s.dcs || !s.dcs->led_by(name)) continue;
        if (!answer || !answer->primary)
            return withdraw(m, fmt::format("{} does not say that it runs as a primary", name));
        if (!answer->corrupted || *answer->corrupted)
            return withdraw(m, answer->corrupted
                                   ? fmt::format("the data of {} is damaged too", name)
                                   : fmt::format("{} does not say how its data is", name));
        r.word_of = term_of(s);
        r.word_until = m.now.mono + word_holds;
    }
}

void rebuild_ended(Mind& m, const std::string& why) {
    auto& r = m.s.rebuilding;
    if (r.stage != Stage::make) return;
    if (why.empty())
        m.tell(Note{Note::Level::warning,
                    fmt::format("this member is made anew; its old, damaged directory is kept as "
                                "*{} and not removed by itself",
                                r.claim.kept),
                    "corruption"});
    else
        m.tell(Note{Note::Level::error,
                    "this member was not made anew: " + why + "; it goes on with its old data",
                    "corruption"});
    r.claim = cluster::ended_rebuild(r.claim, why.empty(), why);
    r.stage = Stage::end;
    r.write_at = {};
}

// Refused: somebody has written since, and goes by that.
void rebuild_end_written(Mind& m, const EffectDone& done) {
    auto& r = m.s.rebuilding;
    if (r.stage != Stage::end) return;
    if (done.error) {
        r.write_at = m.now.mono + write_again_after;
        return;
    }
    r.stage = Stage::idle;
}

}  // namespace relevo::core
