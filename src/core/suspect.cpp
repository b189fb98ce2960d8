// Quorum replication: voters that hear nothing of the leader any more do not wait for its lease.
//
// They take the leader key away, nothing else: from then on it is as if the lease had run out, and
// whoever wants to lead needs sealed voters (seal.cpp, race.cpp), whatever the old leader does. So
// a wrong suspicion costs a change of leader and never a commit. It takes as many voters to
// suspect as to elect: one bad link deposes nobody, and a leader that so many do not reach could
// not commit anyway. docs/adr/0007-takeover-before-the-lease.md.
#include <fmt/core.h>

#include "base/text.h"
#include "core/mind.h"

namespace relevo::core {
namespace {

constexpr Duration ask_again_after = Duration(std::chrono::milliseconds(50));
// While it suspects, an agent that is awake takes a step this often; without one for so long it
// slept (a host that was frozen, a machine that was suspended or starved), and what it knew of the
// leader is of before. Listening for two pulses shows whether it still holds.
constexpr Duration step_every = std::chrono::milliseconds(250);
constexpr Duration slept_after = std::chrono::milliseconds(1000);
constexpr Duration listen_for = std::chrono::milliseconds(200);
// What others said is of the moment at which they said it: they may hear the leader again since.
constexpr Duration answers_hold = 2 * lost_peer_deadline;

bool ours(const cluster::Snapshot& view, const std::string& name) {
    const auto* record = view.member(name);
    return !record || !record->relevo.empty();
}

// Patroni's agents neither send pulses nor seal: beside them the lease decides.
bool all_can_seal(const cluster::Snapshot& view) {
    return ours(view, view.leader->name) &&
           std::ranges::all_of(view.sync.voters,
                               [&](const std::string& name) { return ours(view, name); });
}

// By what is known here, whether or not the DCS answers now.
bool judged_by_voters(const State& s) {
    return s.dcs && s.dcs->leader && sync_rules(s) && !s.dcs->sync.unreadable &&
           s.dcs->sync.leader == s.dcs->leader->name && !s.dcs->sync.voters.empty() &&
           all_can_seal(*s.dcs);
}

std::string unable(const Mind& m) {
    const State& s = m.s;
    if (!s.dcs->sync.names(s.self.name)) return "I am no voter";
    if (s.self.tags.nofailover()) return "nofailover is set here";
    if (s.pg->server != cluster::Server::running || s.pg->primary())
        return "PostgreSQL does not run as a standby here";
    if (s.pg->voteless) return "my data was copied or rewound and has not caught up since";
    if (m.now.mono < s.no_race_until) return "my promotion failed a moment ago";
    return {};
}

void ask(Mind& m) {
    State& s = m.s;
    s.suspected->asked_at = m.now.mono;
    ProbePeers probe{ProbeFor::suspicion, {}};
    for (const auto& name : s.dcs->sync.voters) {
        const auto* member = s.dcs->member(name);
        if (member && name != s.self.name && name != s.dcs->leader->name)
            probe.peers.push_back({*member, lost_peer_deadline});
    }
    m.emit(std::move(probe));
}

// Whether as many voters besides this one suspect the leader as must elect the next.
bool enough_suspect(Mind& m) {
    State& s = m.s;
    const auto& key = s.dcs->sync;
    if (key.quorum == 0) {
        if (!s.suspected->alone) {
            m.say(
                "suspect", Note::Level::info,
                "waiting for the lease: the leader is silent, but shows in the DCS that it lives");
            return false;
        }
        // The watch might be what is late.
        if (s.read_asked >= std::max(s.suspected->since, s.suspected->awake_since)) return true;
        if (!m.running<ReadDcs>()) m.emit(ReadDcs{m.dcs_deadline()});
        return false;
    }
    const Instant asked_at = s.suspected->asked_at;
    if (asked_at < s.suspected->awake_since || m.now.mono - asked_at > answers_hold)
        s.suspected->answers.reset();
    if (!s.suspected->answers) {
        if (m.probing(ProbeFor::suspicion)) return false;
        if (m.now.mono < s.suspected->ask_again_at)
            m.wake_by(s.suspected->ask_again_at);
        else
            ask(m);
        return false;
    }
    int votes = 0;
    for (const auto& [name, answer] : *s.suspected->answers)
        if (answer && key.names(name) && answer->suspects == s.suspected->term && !answer->voteless)
            ++votes;
    if (votes >= key.quorum) return true;
    m.say("suspect", Note::Level::info,
          fmt::format("waiting for the lease: {} of {} other voters suspect the leader too", votes,
                      key.quorum));
    s.suspected->answers.reset();
    s.suspected->ask_again_at = m.now.mono + ask_again_after;
    m.wake_by(s.suspected->ask_again_at);
    return false;
}

}  // namespace

const cluster::MemberRecord* listens_to(const State& s) {
    if (!judged_by_voters(s) || s.dcs->led_by(s.self.name)) return nullptr;
    return s.dcs->leader_member();
}

bool one_vote_is_enough(const State& s) { return judged_by_voters(s) && s.dcs->sync.quorum == 0; }

cluster::Revision follows_term(const State& s) {
    const bool streams = s.pg && !s.pg->voteless && s.pg->receiving && s.followed && !s.cut;
    if (s.suspected || !streams || !s.dcs || !s.dcs->leader) return 0;
    if (s.followed->member != s.dcs->leader->name || s.followed_in != term_of(s)) return 0;
    return s.followed_in;
}

bool wants_backing(const State& s, Instant now) {
    if (!s.pg || !s.pg->primary() || !sync_rules(s) || !s.last_led ||
        s.last_led->leader->name != s.self.name)
        return false;
    return !s.lead || !s.lease || s.lease->until - now < Duration(s.settings.ttl) / 2;
}

bool backed_by(const State& s, const std::set<cluster::MemberName>& followers) {
    if (!judged_by_voters(s)) return false;
    const auto& key = s.dcs->sync;
    int others = 0, agree = 0;
    for (const auto& name : key.voters) {
        if (iequals(name, s.self.name)) continue;
        ++others;
        agree += static_cast<int>(followers.contains(name));
    }
    // One must say it even where the key lets nobody be elected: it may be an old one.
    return agree > 0 && others - agree < key.quorum + 1;
}

bool was_deposed(const State& s) {
    return s.dcs && !s.dcs->leader && s.last_led && s.dcs->deposed.leader == s.self.name &&
           s.dcs->deposed.term == s.last_led->leader->create_revision;
}

void notice_sleep(Mind& m) {
    auto& suspected = m.s.suspected;
    if (!suspected) return;
    m.wake_by(m.now.mono + step_every);
    const Duration since = m.now.mono - std::exchange(suspected->stepped_at, m.now.mono);
    if (since < slept_after) return;
    suspected->awake_since = m.now.mono;
    suspected->listens_until = suspected->ask_again_at = m.now.mono + listen_for;
}

Instant suspects_until(const State& s) {
    return s.suspected ? s.suspected->stepped_at + slept_after : Instant{};
}

cluster::Revision suspects_term(const State& s, Instant now) {
    if (!s.suspected || now < s.suspected->listens_until || now >= suspects_until(s)) return 0;
    return s.suspected->term;
}

void depose(Mind& m) {
    State& s = m.s;
    const auto* view = m.view();
    if (!s.suspected || !view || !view->leader ||
        view->leader->create_revision != s.suspected->term) {
        m.forget("suspect");
        return;
    }
    if (!judged_by_voters(s) || m.paused() || m.leading() || m.committing(CommitFor::depose))
        return;
    if (m.now.mono < s.suspected->ask_again_at) return m.wake_by(s.suspected->ask_again_at);
    if (const auto why = unable(m); !why.empty()) {
        s.suspected->answers.reset();
        m.say("suspect", Note::Level::info,
              fmt::format("the leader {} is silent; left to others: {}", view->leader->name, why));
        return;
    }
    if (!enough_suspect(m)) return;
    m.say("suspect", Note::Level::warning,
          fmt::format("the leader {} is silent, its agent and its PostgreSQL: taking the leader "
                      "key away from it",
                      view->leader->name));
    m.commit(CommitFor::depose,
             cluster::keys::depose_leader({s.suspected->term, view->leader->name, s.self.name},
                                          view->sync.mod_revision));
}

}  // namespace relevo::core
