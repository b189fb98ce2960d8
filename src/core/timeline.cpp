// Which timeline a promotion begins. PostgreSQL takes the next number that it knows of, so two
// members that are promoted apart from each other take the same one, and then nothing tells their
// histories apart: not streaming, not pg_rewind. So the number comes from the DCS, with the leader
// key (docs/adr/0005).
#include <algorithm>

#include "core/mind.h"

namespace relevo::core {

namespace {

// The timeline that the last leader wrote; 0: not known, for one that does not tell (Patroni's) has
// led since.
cluster::Timeline last_line(const State& s) {
    const auto& key = s.dcs->granted;
    const bool told = !s.last_led || key.mod_revision >= s.last_led->leader->create_revision;
    return told ? key.line : 0;
}

}  // namespace

LineRank line_rank(const State& s, cluster::Timeline timeline) {
    const auto line = last_line(s);
    if (line == 0 || timeline < line) return LineRank::behind;
    if (timeline == line) return LineRank::on_it;
    // Only the holder of the newest grant can have begun it, and perhaps could not tell any more.
    return timeline == s.dcs->granted.number ? LineRank::beyond : LineRank::left;
}

namespace {

// What to leave in the key for the others, should this promotion not come to its end: its number
// takes the place of the one that our own data may be the only sign of.
cluster::Timeline line_before(const State& s) {
    const bool ours = s.lead || line_rank(s, s.pg->timeline) >= LineRank::on_it;
    return last_line(s) != 0 && ours ? s.pg->timeline : last_line(s);
}

}  // namespace

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
    return {s.asked_timeline, line_before(s), s.dcs->granted.mod_revision};
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

void tell_line(Mind& m, const cluster::Snapshot& view) {
    State& s = m.s;
    if (s.pg->timeline == 0 || view.granted.line == s.pg->timeline ||
        m.committing(CommitFor::timeline))
        return;
    if (m.now.mono < s.timeline_again_at) return m.wake_by(s.timeline_again_at);
    s.asked_timeline = 0;
    // Written past the newest grant (a primary that was given the key as it ran): whoever holds the
    // granted number left the line, and must not be taken for its newest end.
    auto number = std::max(view.granted.number, s.pg->timeline);
    if (number != s.pg->timeline) ++number;
    m.commit(CommitFor::timeline,
             cluster::keys::put_timeline({number, s.pg->timeline, view.granted.mod_revision},
                                         s.lead->term));
}

}  // namespace relevo::core
