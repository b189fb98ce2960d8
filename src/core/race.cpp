// The leader key is free: who takes it? Every member asks the others for their live positions and
// takes the key only when it finds nobody better (contract 7.3). The guard in the DCS settles ties.
#include <fmt/core.h>

#include "base/text.h"
#include "core/candidate.h"
#include "core/mind.h"

namespace relevo::core {
namespace {

constexpr Duration race_again_after = std::chrono::milliseconds(500);
// A leader that its voters deposed leaves them this long to elect another before it goes on.
constexpr Duration stand_back = std::chrono::seconds(2);
// A voter that is about to cut itself off.
constexpr Duration vote_again_after = std::chrono::milliseconds(30);
// A member whose disk is full, or whose data is damaged, waits so long for one that has the same
// and is better. No longer: that one may have its reasons not to lead, and all that this one has is
// promised to somebody.
constexpr Duration sounder_goes_first = std::chrono::seconds(2);
// One that was silent once has been waited for already.
constexpr Duration ask_again_after = std::chrono::milliseconds(10);

// A leader that was deposed since nobody heard it: its member key says nothing about its life.
bool known_silent(const State& s, const std::string& name) {
    return s.dcs->deposed.leader == name && s.last_led &&
           s.dcs->deposed.term == s.last_led->leader->create_revision;
}

std::vector<ProbePeers::Peer> rivals(const Mind& m) {
    std::vector<ProbePeers::Peer> peers;
    const State& s = m.s;
    // After a silence that took the leader's key away there is no time for another one: it is not
    // asked, and nobody else is waited for longer than for the dead.
    const bool urgent = known_silent(s, s.dcs->deposed.leader);
    for (const auto& [name, member] : s.dcs->members)
        if (name != s.self.name && !member.api_url.empty() && !known_silent(s, name))
            peers.push_back({member, urgent ? lost_peer_deadline : alive_peer_deadline});
    // Members whose keys are gone: most likely dead, perhaps only cut off from the DCS, and with
    // more WAL than anybody else.
    for (const auto& [name, member] : s.known) {
        const auto seen = s.slot_seen.find(cluster::slot_name(name));
        const bool lately = seen != s.slot_seen.end() &&
                            m.now.mono - seen->second <=
                                std::max<Duration>(s.settings.member_slots_ttl, s.settings.ttl);
        if (name != s.self.name && !member.api_url.empty() && !s.dcs->members.contains(name) &&
            lately)
            peers.push_back({member, lost_peer_deadline});
    }
    return peers;
}

void take(Mind& m) {
    State& s = m.s;
    if (m.committing(CommitFor::acquire)) return;
    // A lease that is about to run out gives a right that ends before the promotion does.
    // Nor is one of use that the server may have forgotten: a write failed for it, or keeping it
    // did.
    const bool doubted = s.lease && s.lease_retry_at > s.lease->asked_at;
    if (!s.lease || doubted || s.lease->until - m.now.mono < Duration(s.settings.ttl) / 3) {
        if (!m.running<KeepLease>() && m.now.mono >= s.lease_retry_at)
            m.emit(KeepLease{s.settings.ttl, Duration(s.settings.ttl) / 3});
        return;
    }
    m.tell(Note{Note::Level::info, "taking the leader key"});
    // A running primary goes on with its own, and tells so in the same breath.
    const auto grant = s.pg->primary() ? line_as_written(m) : next_timeline(m);
    const auto sync = sync_after_taking(m);
    remember_tail(m);
    s.taken_over.reset();
    s.fine = {};
    if (sync) s.taken_over = State::TakenOver{*sync, s.dcs->sync.leader};
    m.commit(CommitFor::acquire,
             cluster::keys::acquire_leader(s.self.name, grant, sync, s.dcs->sync.mod_revision,
                                           s.dcs->restoration ? s.dcs->restoration->revision : 0));
}

// The last leader did not ask it, and may go on without it.
bool unnamed_by_failsafe(const State& s, const cluster::MemberName& name) {
    return !sync_rules(s) && s.settings.failsafe_mode && !s.dcs->failsafe.empty() &&
           !s.dcs->failsafe.contains(name);
}

// failsafe_mode: who gave its word leaves the lead to that leader for a ttl. What an agent had
// agreed to before it was started nobody knows any more. An operator's order does not break such a
// word, no more than it breaks a lease. By the votes it is safe to race.
std::string left_to_another(const Mind& m) {
    const State& s = m.s;
    if (sync_rules(s) || s.pg->primary()) return {};
    if (const auto leader = failsafe_leader(s, m.now.mono))
        return *leader + " goes on as leader without the DCS (failsafe_mode)";
    if (!s.settings.failsafe_mode || s.dcs->failsafe.empty()) return {};
    if (unnamed_by_failsafe(s, s.self.name))
        return "failsafe_mode: the failsafe key does not name me, so the last leader may go on "
               "without having asked me; a member that it names can take over, and, when the last "
               "leader is known to be down, any after `relevoctl edit-config -s "
               "failsafe_mode=false`";
    const bool alone = s.dcs->failsafe.size() == 1;
    if (!alone && m.now.mono < s.started_at + Duration(s.settings.ttl))
        return "failsafe_mode: before I was started I may have agreed that another goes on";
    return {};
}

// Reasons of our own not to run; empty: may run.
std::string unfit(const Mind& m) {
    const State& s = m.s;
    const auto& pg = *s.pg;
    if (watchdog_failed(s) && !m.paused())
        return "watchdog.mode is required, but " + s.watchdog.problem;
    if (m.now.mono < s.no_race_until) return "my promotion failed a moment ago";
    if (s.self.tags.nofailover()) return "nofailover is set here";
    if (pg.server != cluster::Server::running) return "PostgreSQL does not run here";
    if (auto why = held_by_restore(s); !why.empty()) return why;
    if (pg.position().value == 0) return "my WAL position is not known";
    if (auto why = unfit_by_sync(m); !why.empty()) return why;
    // Whom the sync key names as leader led last, or was chosen by an operator against all this.
    const bool led_by_key = sync_rules(s) && iequals(s.dcs->sync.leader, s.self.name);
    if (!asked_for(s) && !led_by_key && line_rank(s, pg.timeline) == LineRank::left)
        return fmt::format(
            "my timeline {} left the one that the last leader wrote ({}): what is acknowledged "
            "there "
            "is not here. `relevoctl failover --candidate {}` overrides this",
            pg.timeline, s.dcs->granted.line, s.self.name);
    if (!asked_for(s) && known_twin(s))
        return "my timeline " + std::to_string(pg.timeline) +
               " was begun twice, and this is not the one that the last leader wrote";
    if (pg.primary()) {
        const auto known = s.dcs->timeline();
        if (known > 0 && pg.timeline < known)
            return fmt::format("my timeline {} is behind the cluster's {}", pg.timeline, known);
        return {};
    }
    if (auto why = left_to_another(m); !why.empty()) return why;
    if (s.settings.standby_cluster) return "standby_cluster is set, which is not implemented yet";
    if (asked_for(s)) return {};
    if (m.paused() && !named(s)) return "maintenance mode is on";
    if (!led_by_key && s.settings.check_timeline && pg.timeline < s.dcs->timeline())
        return fmt::format("check_timeline: my timeline {} is behind {}", pg.timeline,
                           s.dcs->timeline());
    return {};
}

bool lags(const Mind& m, std::string& why) {
    const State& s = m.s;
    const auto behind = distance(s.dcs->status.optime, my_position(s));
    // The votes say more than a position that was written some time ago.
    if (sync_rules(s) && !asked_for(s)) return false;
    if (s.pg->primary() || !too_far_behind(s, s.pg->timeline, my_position(s))) return false;
    why = fmt::format(
        "my position {} is {} bytes behind the last leader's {}, more than maximum_lag_on_failover "
        "{}. "
        "`relevoctl failover --candidate {}` overrides this",
        to_string(my_position(s)), behind, to_string(s.dcs->status.optime),
        s.settings.maximum_lag_on_failover, s.self.name);
    return true;
}

// Compares with one peer's answer: true when it should lead rather than we.
bool beats_me(const Mind& m, const std::string& name, const cluster::PeerStatus& peer,
              std::string& why) {
    const State& s = m.s;
    if (peer.primary) {
        why = name + " is still a primary";
        return true;
    }
    if (peer.nofailover || peer.watchdog_failed || !peer.running) return false;
    // What it has beyond us nobody was promised: by the votes it cannot lead. Nor can one that the
    // DCS does not hear, for as long as that lasts.
    if (!electable(s, name, peer) || (sync_rules(s) && !s.dcs->member(name))) return false;
    const auto timeline = peer.timeline ? peer.timeline : s.pg->timeline;
    const auto mine = my_worth(s);
    const auto theirs = worth(s, timeline, peer.position);
    if (theirs.rank == LineRank::left || too_far_behind(s, theirs.timeline, theirs.position))
        return false;
    if (theirs > mine) {
        why = fmt::format("{} is ahead of me: timeline {} at {}, mine {} at {}", name,
                          theirs.timeline, to_string(theirs.position), mine.timeline,
                          to_string(mine.position));
        return true;
    }
    // Who just led and gave the key back is not waited for: it may not be able to.
    const bool led_last = s.last_led && s.last_led->leader && s.last_led->leader->name == name;
    // An operator's choice goes before a priority; the others wait for it already.
    const bool equals = theirs == mine && !led_last && !named(s);
    if (equals && sounder(s, peer) && s.unlocked_since &&
        m.now.mono < *s.unlocked_since + sounder_goes_first) {
        why = disk_failed(s) ? name + "'s disk takes writes, and mine does not"
              : s.corruption.corrupted && !peer.corrupted.value_or(true)
                  ? name + "'s data is not known to be damaged, and mine is"
                  : name + " has room on its disk, and mine is full";
        return true;
    }
    if (equals && !less_sound(s, peer) &&
        peer.failover_priority > s.self.tags.failover_priority()) {
        why = name + " has a higher failover_priority";
        return true;
    }
    return false;
}

// A primary that knows of nobody who led after it may take its key back at once. One whose agent
// was away must ask: others may have gone on without it, on a timeline that the history key does
// not show because their leader was cut off before it could write it.
bool must_ask(const Mind& m) {
    const State& s = m.s;
    if (overrides_votes(m)) return false;
    if (!s.pg->primary()) return true;
    return !s.last_led || s.last_led->leader->name != s.self.name;
}

// A running primary against those on a newer timeline: the cluster went on without it, however far
// they got. A silent one is taken by its word in the DCS.
std::string left_behind(const State& s) {
    cluster::Timeline newest = s.pg->timeline;
    std::string whose;
    const auto learn = [&](const std::string& name, cluster::Timeline timeline) {
        if (std::pair(line_rank(s, timeline), timeline) <= std::pair(line_rank(s, newest), newest))
            return;
        newest = timeline;
        whose = name;
    };
    for (const auto& [name, member] : s.dcs->members)
        if (name != s.self.name) learn(name, member.timeline);
    if (s.race_answers)
        for (const auto& [name, answer] : *s.race_answers)
            if (answer) learn(name, answer->timeline);
    if (whose.empty()) return {};
    return fmt::format(
        "{} is on timeline {}, this primary is still on {}: the cluster went on without it. If "
        "that "
        "is not so, `relevoctl failover --candidate {}` makes it the leader",
        whose, newest, s.pg->timeline, s.self.name);
}

// The failover key's word on who leads next. nullopt: it says nothing, compare positions.
std::optional<bool> ordered(Mind& m, std::string& why) {
    State& s = m.s;
    const auto& request = s.dcs->failover;
    if (!request || request->scheduled_at) return std::nullopt;
    if (named(s)) return true;
    if (m.paused()) {
        why = "maintenance mode is on";
        return s.pg->primary() ? std::nullopt : std::optional(false);
    }
    // By the votes a candidate may need others that do not answer: then it is not waited for for
    // ever.
    const bool patient =
        !sync_rules(s) || !s.unlocked_since || m.now.mono < *s.unlocked_since + votes_within;
    if (!request->member.empty() && s.race_answers) {
        const auto at = s.race_answers->find(request->member);
        const bool able = at != s.race_answers->end() && at->second && !at->second->nofailover &&
                          at->second->running && !unnamed_by_failsafe(s, request->member);
        // In a switchover whose leader died before the candidate had it all, whoever has more goes
        // first.
        if (able &&
            (request->leader.empty() ||
             (patient && electable(s, request->member, *at->second) && no_less(s, *at->second)))) {
            why = "waiting for " + request->member + ", which was asked to lead";
            return false;
        }
    }
    if (request->leader == s.self.name && s.race_answers && patient) {
        for (const auto& [name, answer] : *s.race_answers)
            // One that has less waits for us in turn.
            if (answer && !answer->nofailover && answer->running && no_less(s, *answer) &&
                electable(s, name, *answer) && !unnamed_by_failsafe(s, name) &&
                !too_far_behind(s, answer->timeline,
                                on_the_line(s, answer->timeline, answer->position))) {
                why = "a switchover away from me is under way";
                return false;
            }
    }
    return std::nullopt;
}

// Why a silent member is waited for all the same; empty: it is not. again_after: when it is worth
// asking again, if not as usual.
std::string may_be_ahead(const Mind& m, const std::string& name, const State::Rival& rival,
                         Duration& again_after) {
    const State& s = m.s;
    const auto* record = s.dcs->member(name);
    const bool able = record && record->running() && !record->tags.nofailover() &&
                      may_lead_by_sync(s, name) && !unnamed_by_failsafe(s, name) &&
                      record->role != cluster::Role::primary;
    const auto& request = s.dcs->failover;
    const bool named = request && !request->scheduled_at && request->member == name;
    const Instant since = std::max(*s.unlocked_since, rival.heard.value_or(Instant{}));
    if (able && m.now.mono < since + 2 * alive_peer_deadline) {
        if (named) return name + " was asked to lead and does not answer: it goes first";
        const auto by_key =
            worth(s, record->timeline, record->xlog_location.value_or(cluster::Lsn{}));
        if (by_key > my_worth(s))
            return name + " has more by its key and does not answer: it goes first";
    }
    // Its key is as old as its last full look. By the votes it is known who is needed.
    if (sync_rules(s) || rival.silent > 1 || (!able && !rival.heard)) return {};
    again_after = ask_again_after;
    return name + " does not answer and may have more: it is asked once more";
}

// Silent to us, but alive by its key in the DCS or by its own word a moment ago: the network
// between us may be cut, or one answer was lost, which is no sign of its end. When it has more by
// its key, or is the one that was named, it goes first for as long as its own questions may take.
std::string head_start(const Mind& m, Duration& again_after) {
    const State& s = m.s;
    if (s.pg->primary() || !s.unlocked_since || asked_for(s)) return {};
    for (const auto& [name, answer] : *s.race_answers) {
        const auto rival = s.rivals.find(name);
        if (answer || rival == s.rivals.end()) continue;
        if (auto why = may_be_ahead(m, name, rival->second, again_after); !why.empty()) return why;
    }
    return {};
}

void wait(Mind& m, const std::string& why, Duration again_after) {
    State& s = m.s;
    m.say("race", Note::Level::info, "not taking the leader key: " + why);
    s.race_probe_at = m.now.mono + again_after;
    s.race_answers.reset();
    m.wake_by(s.race_probe_at);
}

// The others' answers, asked for where they are not there yet. false: not now.
bool answered(Mind& m) {
    State& s = m.s;
    if (s.race_answers) return true;
    if (m.probing(ProbeFor::race)) return false;
    if (m.now.mono < s.race_probe_at) {
        m.wake_by(s.race_probe_at);
        return false;
    }
    // In a switchover nobody comes back: who has it all waited for nothing, and one that hears
    // nobody was faster.
    const bool asked_for_one = s.dcs->failover && !s.dcs->failover->scheduled_at;
    const auto& backoff = s.settings.primary_race_backoff;
    if (backoff.count() > 0 && !asked_for_one && s.pg->replication_state == "streaming" &&
        s.unlocked_since && m.now.mono < *s.unlocked_since + backoff) {
        m.wake_by(*s.unlocked_since + backoff);
        return false;
    }
    auto asked = rivals(m);
    if (asked.empty()) {
        s.race_answers = PeerAnswers{};
        return true;
    }
    m.emit(ProbePeers{ProbeFor::race, std::move(asked)});
    // Our own position must be as fresh as theirs. A sealed one moves no more.
    if (!s.sealed && !m.running<Observe>()) m.emit(Observe{});
    return false;
}

// In maintenance mode nothing ends a primary that has lost its key: who was to hand over to this
// member is known to have stopped, or a person decides. Empty: it has.
std::string may_lead_on(const Mind& m) {
    const State& s = m.s;
    if (!m.paused() || s.pg->primary() || asked_for(s)) return {};
    const auto& leader = s.dcs->failover->leader;
    const auto at = s.race_answers->find(leader);
    if (at != s.race_answers->end() && at->second) return {};  // beats_me() sees what it is
    const auto* record = s.dcs->member(leader);
    if (record && record->state == cluster::State::stopped) return {};
    return fmt::format(
        "{} was to hand over to me and does not answer: in maintenance mode it may go on as a "
        "primary. When it is known to be down, `relevoctl failover --candidate {}` overrides this",
        leader, s.self.name);
}

// By what the others have answered: why somebody else goes first, or not yet. Empty: take it.
std::string must_wait(Mind& m, Duration& again_after) {
    State& s = m.s;
    std::string why;
    if (const auto answer = ordered(m, why); answer && !*answer) return why;
    if (s.pg->primary() && !(why = left_behind(s)).empty()) return why;
    if (!(why = may_lead_on(m)).empty()) return why;
    if (lags(m, why)) return why;
    // By an operator's word it goes first; by the votes only with those who have no more than it.
    for (const auto& [name, answer] : *s.race_answers)
        if (answer && !asked_for(s) && beats_me(m, name, *answer, why)) return why;
    bool soon = false;
    if (auto missing = votes_missing(m, soon)) {
        if (soon) again_after = vote_again_after;
        return *std::move(missing);
    }
    return head_start(m, again_after);
}

}  // namespace

bool race(Mind& m) {
    State& s = m.s;
    const auto* view = m.view();
    if (!view || view->leader) {
        m.forget("race");
        return false;
    }
    if (!view->initialized()) return false;
    if (const auto why = unfit(m); !why.empty()) {
        m.say("race", Note::Level::info, "not taking the leader key: " + why);
        if (m.now.mono < s.no_race_until) m.wake_by(s.no_race_until);
        if (s.settings.failsafe_mode || s.failsafe_ping) m.wake_by(m.now.mono + race_again_after);
        return false;
    }
    if (m.committing(CommitFor::acquire)) return true;
    if (was_deposed(s) && s.unlocked_since && m.now.mono < *s.unlocked_since + stand_back) {
        m.say("race", Note::Level::warning,
              "not taking the leader key: my voters did not hear me any more and elect another");
        m.wake_by(*s.unlocked_since + stand_back);
        return false;
    }
    if (!must_ask(m)) {
        if (asked_for(s) && sync_rules(s) && !s.pg->primary())
            m.say("race", Note::Level::warning,
                  "taking the leader key as an operator asked, without the votes: what the last "
                  "leader acknowledged may be lost");
        take(m);
        return true;
    }
    if (!answered(m)) return m.probing(ProbeFor::race);
    if (m.running<Observe>()) return true;
    Duration again_after = race_again_after;
    if (const auto why = must_wait(m, again_after); !why.empty()) {
        wait(m, why, again_after);
        return false;
    }
    take(m);
    s.race_answers.reset();
    s.race_probe_at = m.now.mono + race_again_after;
    return true;
}

}  // namespace relevo::core
