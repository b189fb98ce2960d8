// Quorum replication, a candidate's side: which votes it needs, which it has, and what the sync key
// becomes when it takes the lead (docs/adr/0006).
#include <fmt/core.h>

#include "base/text.h"
#include "core/candidate.h"

namespace relevo::core {

bool named(const State& s) {
    const auto& request = s.dcs->failover;
    return request && !request->scheduled_at && request->member == s.self.name;
}

// A manual failover names this member: the operator's word goes before every comparison. A
// switchover does not: when its leader died on the way, the candidate may lack what others have.
bool asked_for(const State& s) { return named(s) && s.dcs->failover->leader.empty(); }

// Whether the votes are set aside for it: they cannot be had, or were not within five seconds.
// Where they can, a member that an operator named takes over with them like any other.
bool overrides_votes(const Mind& m) {
    const State& s = m.s;
    if (!asked_for(s)) return false;
    const bool may_vote =
        sync_rules(s) && may_lead_by_sync(s, s.self.name) && !s.pg->voteless && !s.pg->primary();
    return !may_vote || (s.unlocked_since && m.now.mono >= *s.unlocked_since + votes_within);
}

// Only the leader changes: until the others hold the winner's WAL it may be the only one that has
// all that was acknowledged, and so whoever could be elected before must do (R1). Whom an operator
// chose against the votes may lack what the voters have: then nobody but it.
std::optional<cluster::SyncState> sync_after_taking(const Mind& m) {
    const State& s = m.s;
    if (!sync_rules(s)) return std::nullopt;
    auto sync = s.dcs->sync;
    const bool kept = may_lead_by_sync(s, s.self.name) && !s.pg->voteless && !overrides_votes(m);
    sync.leader = s.self.name;
    sync.unreadable = false;
    if (!kept) {
        sync.voters.clear();
        sync.quorum = 0;
    }
    return sync;
}

// What the sync key says against us; empty: nothing.
std::string unfit_by_sync(const Mind& m) {
    const State& s = m.s;
    if (!sync_rules(s) || overrides_votes(m)) return {};
    const auto& key = s.dcs->sync;
    if (key.unreadable)
        return "the sync key cannot be read, and with it who has all that was acknowledged. "
               "`relevoctl failover --candidate NAME` overrides this";
    if (!key.names_or_leader(s.self.name))
        return fmt::format(
            "the sync key does not name me: I may lack what was acknowledged. "
            "`relevoctl failover --candidate {}` overrides this",
            s.self.name);
    if (s.pg->primary())
        return iequals(key.leader, s.self.name) ? std::string()
                                                : key.leader + " has led since by the sync key";
    // The leader of the key may be one that an operator chose against the votes.
    if (s.pg->voteless && !iequals(key.leader, s.self.name))
        return "my data was copied or rewound and has not caught up with a leader since";
    const bool old = s.rules.newer_seal && s.sealed && *s.sealed < key.mod_revision;
    if (!s.sealed || old || s.pg->receiving || !s.pg->received_all)
        return "my own WAL has not come to its end yet";
    return {};
}

namespace {

// Whether a vote is for us: it has nothing of the cluster's line that we lack. How far somebody on
// a timeline that came to nothing shares the line may not be known to anybody; no further than it
// got.
bool votes_for_us(const State& s, const cluster::PeerStatus& peer) {
    const auto timeline = peer.timeline ? peer.timeline : s.pg->timeline;
    if (worth(s, timeline, peer.position).rank == LineRank::left && peer.position > my_position(s))
        return false;
    return no_more_than(s, peer);
}

}  // namespace

// How many of the voters say that they have cut themselves off and hold no more than we do, where
// more are needed. nullopt: enough, or none needed. The leader that the key names needs none:
// nobody has acknowledged anything that it lacks.
std::optional<std::string> votes_missing(const Mind& m, bool& soon) {
    const State& s = m.s;
    if (!sync_rules(s) || overrides_votes(m)) return std::nullopt;
    const auto& key = s.dcs->sync;
    if (iequals(key.leader, s.self.name)) return std::nullopt;
    int votes = 0;
    std::string without;
    for (const auto& name : key.voters) {
        if (iequals(name, s.self.name)) continue;
        const auto at = s.race_answers->find(name);
        const auto* peer = at != s.race_answers->end() && at->second ? &*at->second : nullptr;
        const auto* member = s.dcs->member(name);
        const bool alive = peer && peer->running && !peer->primary && !peer->voteless;
        // Patroni's own agents cannot tell: their word is taken as Patroni takes it.
        const bool able_to_tell = !member || !member->relevo.empty();
        const bool since = alive && (!s.rules.newer_seal || peer->sealed >= key.mod_revision);
        const bool ended = !able_to_tell || (since && peer->sealed != 0);
        if (alive && ended && votes_for_us(s, *peer)) {
            ++votes;
            continue;
        }
        if (alive && !ended) soon = true;
        without += (without.empty() ? "" : ", ") + name;
    }
    if (votes >= key.quorum) return std::nullopt;
    return fmt::format("{} of {} votes besides mine, without {}", votes, key.quorum, without);
}

// Whether the sync key lets it lead without an operator's order.
bool electable(const State& s, const std::string& name, const cluster::PeerStatus& peer) {
    return !sync_rules(s) || (!peer.voteless && may_lead_by_sync(s, name));
}

}  // namespace relevo::core
