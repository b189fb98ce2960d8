// Inside the core only: what a candidate asks itself before it takes the leader key (race.cpp).
#pragma once

#include <compare>
#include <optional>
#include <string>

#include "core/mind.h"

namespace relevo::core {

// worth.cpp: who has more of the cluster's history.
struct Worth {  // in the order in which members should lead
    LineRank rank{};
    cluster::Timeline timeline = 0;
    cluster::Lsn position;
    auto operator<=>(const Worth&) const = default;
};
Worth worth(const State& s, cluster::Timeline timeline, cluster::Lsn position);
Worth my_worth(const State& s);
bool no_less(const State& s, const cluster::PeerStatus& peer);       // than this member has
bool no_more_than(const State& s, const cluster::PeerStatus& peer);  // the same
cluster::Lsn on_the_line(const State& s, cluster::Timeline timeline, cluster::Lsn position);
cluster::Lsn my_position(const State& s);
bool too_far_behind(const State& s, cluster::Timeline timeline, cluster::Lsn on_line);

// votes.cpp: what the sync key asks for.
// A candidate that has not got its votes by then will not get them soon.
inline constexpr Duration votes_within = std::chrono::seconds(5);
bool named(const State& s);           // an operator's failover or switchover names this member
bool asked_for(const State& s);       // a failover does
bool overrides_votes(const Mind& m);  // and goes before the votes
std::optional<cluster::SyncState> sync_after_taking(const Mind& m);  // nullopt: not in sync mode
std::string unfit_by_sync(const Mind& m);                            // empty: fit
// Sentence on what is missing; nullopt: enough. soon: a voter is about to be sealed.
std::optional<std::string> votes_missing(const Mind& m, bool& soon);
bool electable(const State& s, const std::string& name, const cluster::PeerStatus& peer);

}  // namespace relevo::core
