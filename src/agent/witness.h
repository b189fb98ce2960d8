// What of all that passes through the agent's loop belongs into the journal: whatever a person
// wants to know about a change of leader, and nothing that comes by itself every few seconds. It
// reads events, effects and the core's state, and touches nothing; the core knows nothing of it.
//
// A cluster that stays without a leader asks the same questions again and again: an answer or a
// reason is told once, until it changes or somebody leads.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cluster/journal.h"
#include "core/state.h"

namespace relevo::agent {

class Witness {
public:
    // Before the step: of the effect that this event ends, the core keeps nothing afterwards.
    void before(const core::State& state, const core::Event& event);
    // After it. Entries in their order; the sequence is the journal's to give.
    std::vector<cluster::JournalEntry> after(const core::State& state, const core::Event& event,
                                             const std::vector<core::Issued>& effects,
                                             core::Now now);

private:
    using Kind = cluster::JournalKind;
    struct Answered {
        std::string answer;
        cluster::Lsn lsn;
        bool operator==(const Answered&) const = default;
    };

    cluster::JournalEntry& add(Kind kind, std::string text);
    void see_event(const core::State& s, const core::Event& event);
    void see_suspicion(const core::State& s, const core::LeaderSuspected& e);
    void see_backing(const core::LeaderBacked& e);
    void see_done(const core::State& s, const core::EffectDone& done);
    void see_commit(const core::State& s, core::CommitFor purpose, const core::EffectDone& done);
    void see_answers(const core::State& s, core::ProbeFor purpose, const core::PeerAnswers& all);
    void see_server(const core::State& s, const core::EffectDone& done);
    void see_leader(const core::State& s);
    void see_end(const core::State& s);
    cluster::JournalEntry& depose();
    cluster::JournalEntry& take(const core::State& s, cluster::Revision term);
    void see_lead(const core::State& s);
    void see_order(const core::State& s);
    void see_seal(const core::State& s);
    void see_dcs(const core::State& s);
    void see_effect(const core::Effect& effect);
    void see_note(const core::Note& note);
    void new_term(cluster::Revision term);
    void time(cluster::JournalEntry& entry) const;

    // What the last step left.
    cluster::Revision leader_ = 0, term_ = 0, lead_ = 0, served_ = 0, ordered_ = 0, took_ = 0;
    bool deposed_ = false;  // told before the write was answered
    std::string leader_name_;
    std::optional<cluster::Revision> sealed_;
    bool began_ = false, crashed_ = false, dcs_silent_ = false, lease_failing_ = false,
         suspects_ = false, alone_ = false;
    Instant backed_until_{};
    std::map<std::string, Answered> answered_;
    std::set<std::string> said_;

    // Of the step under way.
    std::optional<core::Running> ended_;
    bool released_ = false;
    core::Now now_;
    cluster::MemberName self_;
    std::vector<cluster::JournalEntry> out_;
};

}  // namespace relevo::agent
