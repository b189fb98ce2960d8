// R16 of docs/adr/0006. A standby that has more of the old timeline than its new leader had is not
// refused by PostgreSQL: streaming begins at a segment's start, and until the timeline ends
// upstream the standby reports all that it has as flushed. The leader lets commits through by that
// (tried with 15), and the standby never has them. So a standby is given a leader, in each term
// anew, only when what it holds is known to be the leader's: it is on the leader's own timeline, or
// it is cut off, has replayed all it has, and that ends where the leader left that same timeline or
// earlier, or was compared with the leader's history.
//
// Beside Patroni's agents nobody can count on it, and their guarantee is the lease: as they do.
#include "core/mind.h"

namespace relevo::core {
namespace {

// A standby that was not copied opens with its own WAL, however long it replays. One of which that
// is not so (another program copied it) is given its upstream then all the same, when pg_control
// fits: it would never open.
constexpr Duration opens_within = std::chrono::seconds(60);

// Its flush lets commits through there.
bool acknowledges(const Mind& m, const cluster::Upstream& upstream) {
    const State& s = m.s;
    const auto* leader = primary_member(m);
    return sync_rules(s) && leader && upstream.member == leader->name && !leader->relevo.empty() &&
           !s.self.relevo_version.empty();
}

// The key was written in the present term.
bool told_now(const State& s) {
    return s.dcs->granted.mod_revision >= s.dcs->leader->create_revision;
}

// Nobody but the leader wrote this timeline, and has told so as a primary. (With a take the key
// has the last leader's line, and a number that nothing is settled of.)
bool its_own(const State& s, cluster::Timeline timeline) {
    const auto& key = s.dcs->granted;
    return told_now(s) && timeline != 0 && key.line == timeline && key.settled == key.number;
}

bool ends_before(const State& s) {
    const auto& key = s.dcs->granted;
    return told_now(s) && key.from && s.pg->timeline == key.from_timeline &&
           s.pg->position() <= key.from;
}

bool copied_now(const State& s) { return s.copied_in != 0 && s.copied_in == term_of(s); }

// It cannot be asked, and may need its upstream to open.
bool starting_fits(const Mind& m) {
    const State& s = m.s;
    if (copied_now(s) || s.pg->backup_label) return true;
    return fits(m) && (s.pg->voteless || m.now.mono >= s.standby_started + opens_within);
}

// What it replayed when it ran last.
cluster::Timeline last_timeline(const cluster::LocalPostgres& pg) {
    if (pg.server == cluster::Server::stopped && pg.control)
        return pg.control->min_recovery_end ? pg.control->min_recovery_end_timeline : 0;
    return pg.in_recovery ? pg.timeline : 0;
}

}  // namespace

cluster::Revision term_of(const State& s) {
    return s.dcs && s.dcs->leader ? s.dcs->leader->create_revision : 0;
}

bool at_its_end(const State& s) {
    return s.pg->server == cluster::Server::running && s.pg->in_recovery && s.follow_known &&
           !s.followed && !s.pg->receiving && s.pg->received_all;
}

Fit fit_for(const Mind& m, const cluster::Upstream& upstream) {
    const State& s = m.s;
    const auto& pg = *s.pg;
    if (!s.rules.fits || !acknowledges(m, upstream)) return Fit::yes;
    if (pg.server == cluster::Server::starting) return starting_fits(m) ? Fit::yes : Fit::compare;
    if (its_own(s, pg.timeline)) return Fit::yes;
    if (!s.follow_known || s.followed) return Fit::cut;
    if (!at_its_end(s)) return Fit::wait;
    if (ends_before(s)) return Fit::yes;
    return fits(m) && s.judged->at_its_end ? Fit::yes : Fit::compare;
}

std::optional<cluster::Upstream> upstream_at_start(const Mind& m) {
    const State& s = m.s;
    auto upstream = upstream_for(m);
    if (!upstream || !s.rules.fits || !acknowledges(m, *upstream)) return upstream;
    if (copied_now(s) || its_own(s, last_timeline(*s.pg))) return upstream;
    return std::nullopt;
}

void note_followed(Mind& m, const std::optional<cluster::Upstream>& upstream) {
    State& s = m.s;
    s.followed = upstream;
    s.follow_known = true;
    s.followed_in = term_of(s);
    s.compared_at_end = false;
}

void cut_off(Mind& m) {
    note_followed(m, std::nullopt);
    m.say("role", Note::Level::info, "another leads: not receiving WAL from before");
    m.emit(FollowPg{std::nullopt});
}

void look_for_the_end(Mind& m) {
    // The receiver ends within milliseconds; what is left to replay may take longer, and PostgreSQL
    // itself asks for no more before.
    const Duration again =
        m.s.pg->receiving ? std::chrono::milliseconds(10) : std::chrono::milliseconds(50);
    const Instant due = m.s.pg_seen + again;
    if (m.now.mono < due)
        m.wake_by(due);
    else if (!m.running<Observe>())
        m.emit(Observe{});
}

}  // namespace relevo::core
