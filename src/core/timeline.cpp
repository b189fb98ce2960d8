// Which timeline a promotion begins. PostgreSQL takes the next number that it knows of, so two
// members that are promoted apart from each other take the same one, and then nothing tells their
// histories apart: not streaming, not pg_rewind. So the number comes from the DCS, with the leader
// key (docs/adr/0005).
#include <algorithm>

#include "core/mind.h"

namespace relevo::core {

cluster::keys::TimelineGrant next_timeline(Mind& m) {
    State& s = m.s;
    cluster::Timeline newest = std::max({s.dcs->granted.number, s.dcs->timeline(), s.pg->timeline,
                                         s.taken_timeline, cluster::Timeline{1}});
    // Agents of Patroni's promote without a grant, and so did ours before there were any.
    for (const auto& [name, member] : s.known) newest = std::max(newest, member.timeline);
    if (s.race_answers)
        for (const auto& [name, answer] : *s.race_answers)
            if (answer) newest = std::max(newest, answer->timeline);
    s.asked_timeline = newest + 1;
    return {s.asked_timeline, s.dcs->granted.mod_revision};
}

void learn_grant(Mind& m) {
    State& s = m.s;
    if (!s.lead || s.dcs->revision < s.lead->term) return;
    // Nobody but the holder of the term writes it, with the leader key or later.
    if (s.dcs->granted.mod_revision < s.lead->term) return;
    if (s.grant && s.grant->term == s.lead->term && s.grant->number >= s.dcs->granted.number)
        return;
    s.grant = Grant{s.dcs->granted.number, s.lead->term};
}

bool timeline_granted(Mind& m) {
    State& s = m.s;
    if (s.grant && s.grant->term == s.lead->term && s.grant->number > s.pg->timeline &&
        s.grant->number > s.taken_timeline)
        return true;
    const auto* view = m.view();
    if (!view || m.committing(CommitFor::timeline)) return false;
    if (m.now.mono < s.timeline_again_at) {
        m.wake_by(s.timeline_again_at);
        return false;
    }
    m.commit(CommitFor::timeline, cluster::keys::put_timeline(next_timeline(m), s.lead->term));
    return false;
}

}  // namespace relevo::core
