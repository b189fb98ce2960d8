// Which timeline a promotion begins. PostgreSQL takes the next number that it knows of, so two
// members that are promoted apart from each other take the same one, and then nothing tells their
// histories apart: not streaming, not pg_rewind. So the number comes from the DCS, with the leader
// key (docs/adr/0005).
#include <algorithm>

#include "core/mind.h"

namespace relevo::core {

namespace {

// The timeline that the last leader wrote; 0: not known, for one that does not tell (Patroni's) has
// led since: the key is older than its term, or the history key goes beyond it.
bool told(const State& s) {
    return !s.last_led || s.dcs->granted.mod_revision >= s.last_led->leader->create_revision;
}
cluster::Timeline last_line(const State& s) {
    const auto& key = s.dcs->granted;
    return told(s) && s.dcs->timeline() <= key.line ? key.line : 0;
}

// An older timeline that the line's history, as far back as it goes, does not name.
bool was_left_out(const State& s, cluster::Timeline line, cluster::Timeline timeline) {
    const auto& history = s.dcs->history;
    if (!history || history->empty() || history->back().timeline >= line) return false;
    return timeline > history->front().timeline &&
           std::ranges::none_of(*history,
                                [&](const auto& past) { return past.timeline == timeline; });
}

}  // namespace

LineRank line_rank(const State& s, cluster::Timeline timeline) {
    const auto line = last_line(s);
    if (line == 0) return LineRank::behind;
    if (timeline == line) return LineRank::on_it;
    if (timeline < line) return was_left_out(s, line, timeline) ? LineRank::left : LineRank::behind;
    // Given out since the line was told: whoever holds data of it led, and could not tell any more.
    const bool newer = timeline > s.dcs->granted.settled && timeline <= s.dcs->granted.number;
    return newer ? LineRank::beyond : LineRank::left;
}

cluster::keys::TimelineGrant next_timeline(Mind& m) {
    State& s = m.s;
    cluster::Timeline newest = std::max({s.dcs->granted.number, s.dcs->timeline(), s.pg->timeline,
                                         s.taken_timeline, cluster::Timeline{1}});
    // Agents of Patroni's promote without a grant, and so did ours before there were any.
    for (const auto& [name, member] : s.known) newest = std::max(newest, member.timeline);
    if (s.race_answers)
        for (const auto& [name, answer] : *s.race_answers)
            if (answer) newest = std::max(newest, answer->timeline);
    // One of theirs led last and was not seen on its timeline: it may have begun the next one and
    // died before it could show it. That number is left out.
    const bool unseen = !told(s) && s.shown_term != s.last_led->leader->create_revision;
    s.asked_timeline = newest + (unseen ? 2 : 1);
    const auto line = last_line(s);
    return {s.asked_timeline,
            line,
            line != 0 ? s.dcs->granted.settled : 0,
            s.dcs->granted.mod_revision,
            s.pg->position(),
            s.pg->timeline};
}

void learn_grant(Mind& m) {
    State& s = m.s;
    if (!s.lead || s.dcs->revision < s.lead->term) return;
    // Nobody but the holder of the term writes it, with the leader key or later.
    if (s.dcs->granted.mod_revision < s.lead->term) return;
    // Who took the key as a running primary told its line, and was given no number.
    if (s.dcs->granted.number <= s.dcs->granted.settled) return;
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

cluster::keys::TimelineGrant line_as_written(Mind& m) {
    State& s = m.s;
    s.asked_timeline = 0;
    const auto number = std::max(s.dcs->granted.number, s.pg->timeline);
    // Where it left the one before is of use to a standby that comes late.
    const bool began = s.dcs->granted.number == s.pg->timeline;
    return {number,
            s.pg->timeline,
            number,
            s.dcs->granted.mod_revision,
            began ? s.dcs->granted.from : cluster::Lsn{},
            began ? s.dcs->granted.from_timeline : 0,
            s.pg->wal.value > 0 ? std::optional(status_now(m)) : std::nullopt};
}

void tell_line(Mind& m) {
    State& s = m.s;
    const auto& key = s.dcs->granted;
    const bool told = key.line == s.pg->timeline && key.mod_revision >= s.lead->term;
    if (s.pg->timeline == 0 || told || m.committing(CommitFor::timeline)) return;
    if (m.now.mono < s.timeline_again_at) return m.wake_by(s.timeline_again_at);
    m.commit(CommitFor::timeline, cluster::keys::put_timeline(line_as_written(m), s.lead->term));
}

}  // namespace relevo::core
