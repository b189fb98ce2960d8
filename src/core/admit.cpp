// Who may read a primary (R9 of docs/adr/0006; 0014 has the reasons). What a primary holds after a
// start is not what was acknowledged: a crash leaves commits that nobody confirmed, a promotion
// takes over what the last leader had sent and not acknowledged. Whoever read such a commit would
// have seen what the next election may lose. So nobody is let in before the end of WAL as it was
// after the start is confirmed as a commit would be.
#include <fmt/core.h>

#include "base/text.h"
#include "cluster/sync_names.h"
#include "core/mind.h"

namespace relevo::core {
namespace {

// PostgreSQL tells nobody when a standby has confirmed something; a standby needs some ten
// milliseconds to connect and to confirm, and clients wait. Later on only for a standby to come
// back.
constexpr Duration look_soon = std::chrono::milliseconds(10);
constexpr Duration look_later = std::chrono::milliseconds(200);
constexpr Duration soon_is = std::chrono::seconds(2);
// Less is how long it takes when all is well, and not worth a line in the log.
constexpr Duration say_after = std::chrono::milliseconds(500);
constexpr Duration admit_again_after = std::chrono::milliseconds(500);

bool confirmed_by(const State& s, const std::string& name) {
    return std::ranges::any_of(s.pg->senders, [&](const cluster::Sender& one) {
        return iequals(one.application_name, name) && one.state == "streaming" &&
               one.flush <= one.sent && one.flush >= *s.admission.end;
    });
}

// Whoever elects a leader without this one has, in one of its members, all that is here.
std::string votes_lack(const State& s) {
    const auto& key = s.dcs->sync;
    int without = 0;
    std::string names;
    for (const auto& name : key.voters) {
        if (iequals(name, s.self.name) || confirmed_by(s, name)) continue;
        ++without;
        names += (names.empty() ? "" : ", ") + name;
    }
    if (without <= key.quorum) return {};
    return fmt::format("{} of the voters {} must confirm what is here", without - key.quorum,
                       names);
}

// A commit would be let through.
std::string commit_waits(const State& s) {
    const auto names = cluster::parse_sync_names(s.pg->sync_names);
    if (!names) return "synchronous_standby_names cannot be read: " + s.pg->sync_names;
    std::set<std::string> have;
    std::string lacking;
    for (const auto& one : s.pg->senders)
        if (names->everybody && confirmed_by(s, one.application_name))
            have.insert(one.application_name);
    for (const auto& name : names->names) {
        if (confirmed_by(s, name))
            have.insert(name);
        else
            lacking += (lacking.empty() ? "" : ", ") + name;
    }
    const int missing = names->count - static_cast<int>(have.size());
    if (missing <= 0) return {};
    return fmt::format("a commit waits for {} of {}", missing,
                       lacking.empty() ? std::string("the standbys") : lacking);
}

// In maintenance mode a primary may run beside the leader: nothing of it was promised to anybody.
bool kept_by_operator(const Mind& m) {
    return m.paused() && !m.leading() && !iequals(m.s.dcs->sync.leader, m.s.self.name);
}

// Why what is here is not confirmed yet; empty: it is, or nobody has to.
std::string unconfirmed(Mind& m) {
    State& s = m.s;
    if (!s.dcs || !sync_rules(s)) return {};
    const auto& key = s.dcs->sync;
    if (!s.lead) return kept_by_operator(m) ? std::string() : "the leader key is not confirmed";
    // A write of it that is under way may elect others than it says.
    const bool settled = s.syncing.term == s.lead->term && !s.syncing.unsure &&
                         !m.committing(CommitFor::sync) && !m.committing(CommitFor::remove_sync);
    if (key.unreadable || !iequals(key.leader, s.self.name) || !settled)
        return "the sync key is being written";
    if (!s.admission.end) {
        // Seen after the start: the record that ends recovery is before it.
        if (!s.pg->wal) return "the end of its WAL is not known";
        s.admission.end = s.pg->wal;
    }
    if (auto why = votes_lack(s); !why.empty()) return why;
    return commit_waits(s);
}

void keep_out(Mind& m, const std::string& why) {
    auto& admission = m.s.admission;
    const Duration waited = m.now.mono - admission.since;
    if (waited < say_after) {
        m.wake_by(admission.since + say_after);
    } else {
        admission.why = why;
        m.say("admission", Note::Level::warning, "clients are kept out, readers too: " + why);
    }
    if (!admission.end) return;  // the DCS has the word, and its answers are events
    const Instant due = m.s.pg_seen + (waited < soon_is ? look_soon : look_later);
    if (m.now.mono < due)
        m.wake_by(due);
    else if (!m.running<Observe>())
        m.emit(Observe{});
}

void let_in(Mind& m) {
    State& s = m.s;
    if (m.running<AdmitPg>()) return;
    if (m.now.mono < s.admission.again_at) return m.wake_by(s.admission.again_at);
    s.admission.again_at = m.now.mono + admit_again_after;
    m.emit(AdmitPg{});
}

}  // namespace

void admit(Mind& m) {
    State& s = m.s;
    if (s.pg_stale || m.pg_busy()) return;
    // The promotion came to nothing, or the agent before this one left it so.
    const bool standby = s.pg->server == cluster::Server::running && s.pg->in_recovery;
    if (standby && s.pg->gated) return let_in(m);
    if (s.admission.open || !s.pg->primary()) return;
    if (holds<Bootstrapping>(s.procedure) || holds<Restoring>(s.procedure)) return;
    if (s.admission.since == Instant{}) s.admission.since = m.now.mono;
    if (const auto why = unconfirmed(m); !why.empty()) return keep_out(m, why);
    if (s.pg->gated) return let_in(m);
    s.admission.open = true;
    s.admission.why.clear();
    if (s.said.contains("admission")) {
        m.forget("admission");
        m.tell(Note{Note::Level::info, "what is here is confirmed: clients are let in"});
    }
}

// The answer to AdmitPg.
void admitted(Mind& m, const EffectDone& done) {
    State& s = m.s;
    if (done.error)
        m.say("admission", Note::Level::error, "clients cannot be let in: " + done.error->message);
    else if (s.pg)
        s.pg->gated = false;
}

bool keeps_clients_out(const State& s) { return !s.admission.open; }

bool needs_gate(const Mind& m) { return m.s.dcs && sync_rules(m.s) && !kept_by_operator(m); }

}  // namespace relevo::core
