// Who of two members should lead by what they have: the cluster's own line first, then its
// timeline, then how far.
#include <algorithm>

#include "core/candidate.h"

namespace relevo::core {

// How much of the cluster's own history somebody has: what goes beyond the point where the cluster
// left that timeline is worth nothing to it.
cluster::Lsn on_the_line(const State& s, cluster::Timeline timeline, cluster::Lsn position) {
    if (!s.dcs->history) return position;
    for (const auto& line : *s.dcs->history)
        if (line.timeline == timeline) return std::min(position, line.switch_point);
    return position;
}

cluster::Lsn my_position(const State& s) {
    return on_the_line(s, s.pg->timeline, s.pg->position());
}

// Too far behind to take the key itself: waiting for it would have no end. Who went beyond the line
// that the status was written of cannot be behind it.
bool too_far_behind(const State& s, cluster::Timeline timeline, cluster::Lsn on_line) {
    return line_rank(s, timeline) != LineRank::beyond &&
           distance(s.dcs->status.optime, on_line) > s.settings.maximum_lag_on_failover;
}

Worth worth(const State& s, cluster::Timeline timeline, cluster::Lsn position) {
    return {line_rank(s, timeline), timeline, on_the_line(s, timeline, position)};
}

Worth my_worth(const State& s) { return worth(s, s.pg->timeline, s.pg->position()); }

namespace {
Worth worth(const State& s, const cluster::PeerStatus& peer) {
    return worth(s, peer.timeline ? peer.timeline : s.pg->timeline, peer.position);
}
}  // namespace

bool no_less(const State& s, const cluster::PeerStatus& peer) {
    return worth(s, peer) >= my_worth(s);
}

bool no_more_than(const State& s, const cluster::PeerStatus& peer) {
    return worth(s, peer) <= my_worth(s);
}

}  // namespace relevo::core
