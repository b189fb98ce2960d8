#include "agent/witness.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <utility>

namespace relevo::agent {
namespace {

using cluster::JournalEntry;
using cluster::Revision;
using Kind = cluster::JournalKind;

template <class... E>
bool is_one_of(const core::Effect& effect) {
    return (holds<E>(effect) || ...);
}

// What a server is told to do beside being led: shown as it begins and as it ends.
bool is_action(const core::Effect& effect) {
    return is_one_of<core::StartPg, core::StopPg, core::RewindPg, core::ClonePg,
                     core::CrashRecoverPg, core::SetAsidePg, core::BootstrapPg>(effect);
}

bool of_interest(const core::Effect& effect) {
    if (const auto* commit = std::get_if<core::Commit>(&effect))
        return commit->purpose == core::CommitFor::acquire ||
               commit->purpose == core::CommitFor::finish_bootstrap ||
               commit->purpose == core::CommitFor::depose ||
               commit->purpose == core::CommitFor::release;
    return is_action(effect) ||
           is_one_of<core::KillPg, core::PromotePg, core::FollowPg, core::SetSyncNames,
                     core::ProbePeers, core::KeepLease>(effect);
}

Revision leader_of(const core::State& s) {
    return s.dcs && s.dcs->leader ? s.dcs->leader->create_revision : 0;
}

bool writes(const core::State& s, core::CommitFor purpose) {
    return std::ranges::any_of(s.running, [&](const core::Running& one) {
        const auto* commit = std::get_if<core::Commit>(&one.effect);
        return commit && commit->purpose == purpose;
    });
}

std::string failure(const core::EffectDone& done) {
    return done.error ? ": " + done.error->message : std::string();
}

std::string answer_in_race(const std::optional<cluster::PeerStatus>& peer) {
    if (!peer) return "silent";
    if (peer->primary) return "primary";
    if (!peer->running) return "not running";
    if (peer->voteless) return "voteless";
    if (peer->sealed != 0) return "sealed";
    return "standby";
}

std::string answer_about_leader(const std::optional<cluster::PeerStatus>& peer, Revision term) {
    if (!peer) return "silent";
    if (peer->voteless) return "voteless";
    return peer->suspects == term ? "suspects" : "does not suspect";
}

std::string sentence(const std::string& name, const std::string& answer, cluster::Lsn lsn,
                     const std::string& leader) {
    if (answer == "silent") return name + " does not answer";
    if (answer == "suspects") return fmt::format("{} suspects {} too", name, leader);
    if (answer == "does not suspect") return fmt::format("{} does not suspect {}", name, leader);
    if (answer == "voteless") return name + " has no vote: its data was copied or rewound";
    if (answer == "not running") return "PostgreSQL does not run at " + name;
    if (answer == "standby")
        return fmt::format("{} is a standby at {}, not sealed", name, to_string(lsn));
    return fmt::format("{} is {} at {}", name, answer == "primary" ? "a primary" : answer,
                       to_string(lsn));
}

}  // namespace

JournalEntry& Witness::add(Kind kind, std::string text) {
    JournalEntry entry;
    entry.wall = now_.wall;
    entry.mono = now_.mono;
    entry.member = self_;
    entry.term = term_;
    entry.kind = kind;
    entry.text = std::move(text);
    out_.push_back(std::move(entry));
    return out_.back();
}

// How long the effect took that has just ended.
void Witness::time(JournalEntry& entry) const {
    if (ended_) entry.ms = std::max<std::int64_t>(to_ms(now_.mono - ended_->since), 0);
}

void Witness::new_term(Revision term) {
    if (term == term_) return;
    term_ = term;
    answered_.clear();
    said_.clear();
}

void Witness::before(const core::State& state, const core::Event& event) {
    ended_.reset();
    const auto* done = std::get_if<core::EffectDone>(&event);
    if (!done) return;
    const auto at = std::ranges::find(state.running, done->id, &core::Running::id);
    if (at != state.running.end() && of_interest(at->effect)) ended_ = *at;
}

std::vector<JournalEntry> Witness::after(const core::State& state, const core::Event& event,
                                         const std::vector<core::Issued>& effects, core::Now now) {
    now_ = now;
    self_ = state.self.name;
    out_.clear();
    released_ = false;
    if (!std::exchange(began_, true)) add(Kind::agent, "the agent begins");
    see_event(state, event);
    see_order(state);
    see_leader(state);
    see_lead(state);
    see_seal(state);
    see_dcs(state);
    for (const auto& issued : effects) see_effect(issued.effect);
    return std::exchange(out_, {});
}

void Witness::see_event(const core::State& s, const core::Event& event) {
    if (const auto* done = std::get_if<core::EffectDone>(&event)) {
        if (ended_) see_done(s, *done);
    } else if (const auto* suspected = std::get_if<core::LeaderSuspected>(&event)) {
        see_suspicion(s, *suspected);
    } else if (const auto* backed = std::get_if<core::LeaderBacked>(&event)) {
        see_backing(*backed);
    } else if (holds<core::StopAsked>(event)) {
        add(Kind::agent, "the agent was asked to stop").answer = "stop";
    }
    if (s.crashed && !crashed_) add(Kind::crashed, "PostgreSQL ended unexpectedly");
    crashed_ = s.crashed;
}

void Witness::see_suspicion(const core::State& s, const core::LeaderSuspected& e) {
    const std::string who = leader_name_.empty() ? "the leader" : leader_name_;
    if (e.suspected && !suspects_) {
        auto& entry = add(Kind::suspects, fmt::format("suspects {}: neither its agent nor its "
                                                      "PostgreSQL answered for {} ms",
                                                      who, to_ms(e.silence)));
        entry.term = e.term;
        entry.about = leader_name_;
        entry.ms = to_ms(e.silence);
    } else if (!e.suspected && suspects_ && e.term != 0 && e.term == leader_of(s)) {
        auto& entry = add(Kind::hears_again, fmt::format("hears {} again", who));
        entry.term = e.term;
        entry.about = leader_name_;
        // The next suspicion is another one, with questions of its own.
        answered_.clear();
        said_.clear();
    }
    if (e.suspected && e.alone && !alone_) {
        auto& entry =
            add(Kind::silent_in_dcs, fmt::format("{} shows no life in the DCS either", who));
        entry.term = e.term;
        entry.about = leader_name_;
    }
    suspects_ = e.suspected;
    alone_ = e.suspected && e.alone;
}

void Witness::see_backing(const core::LeaderBacked& e) {
    if (now_.mono > backed_until_)
        add(Kind::backed,
            "its lease is in doubt, but so many voters follow it that nobody else can be elected");
    backed_until_ = e.until;
}

void Witness::see_done(const core::State& s, const core::EffectDone& done) {
    const auto& effect = ended_->effect;
    if (const auto* commit = std::get_if<core::Commit>(&effect)) {
        see_commit(s, commit->purpose, done);
    } else if (const auto* probe = std::get_if<core::ProbePeers>(&effect)) {
        if (const auto* answers = std::get_if<core::PeerAnswers>(&done.payload))
            see_answers(s, probe->purpose, *answers);
    } else if (holds<core::KeepLease>(effect)) {
        if (done.error && s.lead && !lease_failing_)
            add(Kind::dcs_silent, "the lease could not be renewed" + failure(done));
        else if (!done.error && lease_failing_)
            add(Kind::dcs_answers, "the lease is kept again");
        lease_failing_ = done.error && s.lead;
    } else {
        see_server(s, done);
    }
}

void Witness::see_commit(const core::State& s, core::CommitFor purpose,
                         const core::EffectDone& done) {
    const auto* result = done.error ? nullptr : std::get_if<cluster::TxnResult>(&done.payload);
    const bool written = result && result->succeeded;
    const auto revision = result ? result->revision : 0;
    const std::string why = result ? ": somebody was faster" : failure(done);
    if (purpose == core::CommitFor::depose) {
        if (std::exchange(deposed_, false)) return;  // the view was faster
        auto& entry = written ? depose()
                              : add(Kind::not_deposed,
                                    "did not take the leader key "
                                    "away" +
                                        why);
        entry.about = leader_name_;
        entry.revision = revision;
        return time(entry);
    }
    if (purpose == core::CommitFor::release) {
        released_ = written;
        auto& entry = add(written ? Kind::released : Kind::note,
                          written ? "gave the leader key back"
                                  : "the leader key may not have been given back" + why);
        entry.revision = revision;
        return time(entry);
    }
    if (written && took_ == revision) return;  // the view was faster
    auto& entry = written ? take(s, revision)
                          : add(Kind::not_taken, (done.error ? "does not know whether it has the "
                                                               "leader key"
                                                             : "did not get the leader key") +
                                                     why);
    time(entry);
}

// The view that shows what a write of ours did may come before the write's own answer.
JournalEntry& Witness::depose() {
    return add(Kind::deposed, fmt::format("took the leader key away from {}", leader_name_));
}

JournalEntry& Witness::take(const core::State& s, Revision term) {
    new_term(term);
    took_ = lead_ = term;
    auto& entry = add(Kind::took, fmt::format("took the leader key: term {}", term));
    entry.revision = term;
    if (s.pg) entry.lsn = s.pg->position();
    return entry;
}

void Witness::see_answers(const core::State& s, core::ProbeFor purpose,
                          const core::PeerAnswers& all) {
    if (purpose == core::ProbeFor::vote) return;
    const bool race = purpose == core::ProbeFor::race;
    const bool suspicion = purpose == core::ProbeFor::suspicion;
    if (suspicion && leader_of(s) == 0) return;  // too late to mean anything
    for (const auto& [name, peer] : all) {
        const auto answer = suspicion
                                ? answer_about_leader(peer, s.suspected ? s.suspected->term : term_)
                                : answer_in_race(peer);
        const Answered now{answer, peer && !suspicion ? peer->position : cluster::Lsn{}};
        auto& last = answered_[fmt::format("{} {}", static_cast<int>(purpose), name)];
        if (last == now) continue;
        last = now;
        auto& entry =
            add(race ? Kind::counted : Kind::asked, sentence(name, answer, now.lsn, leader_name_));
        entry.about = name;
        entry.answer = answer;
        entry.lsn = now.lsn;
        if (peer) entry.timeline = peer->timeline;
        if (peer && !suspicion) entry.revision = peer->sealed;
        time(entry);
    }
}

void Witness::see_server(const core::State& s, const core::EffectDone& done) {
    const auto& effect = ended_->effect;
    const bool ok = !done.error;
    if (holds<core::KillPg>(effect)) {
        time(add(ok ? Kind::killed : Kind::note,
                 ok ? "PostgreSQL is stopped" : "PostgreSQL could not be stopped" + failure(done)));
    } else if (const auto* promote = std::get_if<core::PromotePg>(&effect)) {
        auto& entry = add(ok ? Kind::promoted : Kind::not_promoted,
                          ok ? fmt::format("promoted: timeline {}", promote->plan.to)
                             : "promotion failed" + failure(done));
        entry.timeline = promote->plan.to;
        time(entry);
    } else if (const auto* follow = std::get_if<core::FollowPg>(&effect)) {
        if (!ok) {
            time(add(Kind::note, "the upstream could not be changed" + failure(done)));
        } else if (follow->upstream) {
            auto& entry = add(Kind::follows, "follows " + follow->upstream->member);
            entry.about = follow->upstream->member;
            time(entry);
        }
    } else if (const auto* names = std::get_if<core::SetSyncNames>(&effect)) {
        // Those of a standby are only kept ready.
        if (!s.lead || !s.pg || s.pg->in_recovery) return;
        time(add(Kind::names, ok ? fmt::format("synchronous_standby_names = '{}'",
                                               names->names.value_or("as configured"))
                                 : "synchronous_standby_names could not be set" + failure(done)));
    } else if (is_action(effect)) {
        time(add(Kind::action, core::describe(effect) + (ok ? ": done" : failure(done))));
    }
}

namespace {

std::string who_asks(const core::State& s, const cluster::FailoverRequest& request) {
    const std::string to = request.member.empty() ? "whoever can" : request.member;
    if (request.leader.empty()) return fmt::format("an operator asks for a failover to {}", to);
    if (!core::asked_to_be_spared(s, request))
        return fmt::format("an operator asks for a switchover from {} to {}", request.leader, to);
    const bool failed = s.disk.state == cluster::DiskState::failed;
    const char* why = s.spare.what != core::State::SpareFor::room ? "data is damaged"
                      : failed                                    ? "disk takes no writes"
                                                                  : "disk is nearly full";
    return fmt::format("{} asks to hand over to {}: its {}", request.leader, to, why);
}

}  // namespace

// The request as its leader sees it, or without one whom it names; the others would repeat it.
void Witness::see_order(const core::State& s) {
    if (!s.dcs || s.dcs->failover_revision == ordered_) return;
    ordered_ = s.dcs->failover_revision;
    const auto& request = s.dcs->failover;
    if (!request || request->scheduled_at) return;
    const bool ours = s.dcs->leader ? s.dcs->led_by(s.self.name) : request->member == s.self.name;
    if (!ours) return;
    auto& entry = add(Kind::ordered, who_asks(s, *request));
    entry.about = request->member;
}

void Witness::see_leader(const core::State& s) {
    if (!s.dcs) return;
    const auto leader = leader_of(s);
    const bool first = term_ == 0;
    if (leader == leader_) {
        if (first) new_term(s.dcs->revision);
        return;
    }
    if (leader_ != 0) see_end(s);
    if (leader != 0) {
        const auto& name = s.dcs->leader->name;
        const bool mine = name == s.self.name;
        if (mine && took_ != leader && writes(s, core::CommitFor::acquire)) {
            take(s, leader);
        } else if (!mine || took_ != leader) {
            new_term(leader);
            add(Kind::leader,
                fmt::format("sees that {} leads: term {}", mine ? "it" : name, leader))
                .about = name;
        }
        leader_name_ = name;
    }
    leader_ = leader;
}

// Of the term that the last view showed.
void Witness::see_end(const core::State& s) {
    const auto& by = s.dcs->deposed;
    const bool deposed = by.term == leader_;
    if (deposed && by.by == s.self.name && writes(s, core::CommitFor::depose)) {
        deposed_ = true;
        auto& entry = depose();
        entry.about = leader_name_;
        entry.revision = s.dcs->revision;
        return;
    }
    auto& entry = add(Kind::gone, fmt::format("sees that {} leads no more{}",
                                              leader_name_ == s.self.name ? "it" : leader_name_,
                                              deposed ? fmt::format(": {} took the key away", by.by)
                                                      : std::string()));
    entry.term = leader_;
    entry.about = leader_name_;
    entry.revision = s.dcs->revision;
}

void Witness::see_lead(const core::State& s) {
    const Revision lead = s.lead ? s.lead->term : 0;
    if (lead_ != 0 && lead == 0 && !released_ && leader_ == lead_)
        add(Kind::lost,
            "its leader key is in doubt: it hangs on a lease that is gone, or was "
            "not kept");
    lead_ = lead;
    if (lead == 0 || !s.pg || !s.pg->primary() || s.pg->timeline == 0 || served_ == lead) return;
    served_ = lead;
    auto& entry = add(Kind::serves, fmt::format("serves as the primary on timeline {} at {}",
                                                s.pg->timeline, to_string(s.pg->wal)));
    entry.timeline = s.pg->timeline;
    entry.lsn = s.pg->wal;
}

void Witness::see_seal(const core::State& s) {
    if (s.sealed && !sealed_ && s.pg) {
        auto& entry =
            add(Kind::sealed, fmt::format("is sealed at {}: receives nothing until somebody leads",
                                          to_string(s.pg->position())));
        entry.lsn = s.pg->position();
        entry.timeline = s.pg->timeline;
        entry.revision = *s.sealed;
    }
    sealed_ = s.sealed;
}

void Witness::see_dcs(const core::State& s) {
    if (s.dcs_down == dcs_silent_) return;
    dcs_silent_ = s.dcs_down;
    if (dcs_silent_)
        add(Kind::dcs_silent, "the DCS does not answer");
    else
        add(Kind::dcs_answers, "the DCS answers again");
}

void Witness::see_effect(const core::Effect& effect) {
    if (const auto* note = std::get_if<core::Note>(&effect)) {
        see_note(*note);
    } else if (const auto* promote = std::get_if<core::PromotePg>(&effect)) {
        add(Kind::promotes, fmt::format("promotes PostgreSQL to timeline {}", promote->plan.to))
            .timeline = promote->plan.to;
    } else if (const auto* follow = std::get_if<core::FollowPg>(&effect)) {
        if (!follow->upstream) add(Kind::sealing, "stops receiving WAL: nobody leads");
    } else if (holds<core::KillPg>(effect)) {
        add(Kind::kills, "stops PostgreSQL at once");
    } else if (const auto* leave = std::get_if<core::Exit>(&effect)) {
        add(Kind::agent, "the agent ends: " + leave->text);
    } else if (is_action(effect)) {
        add(Kind::action, core::describe(effect));
    }
}

// The core says each sentence once until it changes; two that take turns would fill the journal.
void Witness::see_note(const core::Note& note) {
    constexpr std::size_t said_max = 64;
    constexpr std::array topics = {"race",  "suspect", "fence",  "lead",     "promote", "handover",
                                   "crash", "hung",    "rejoin", "diverged", "tail"};
    if (std::ranges::find(topics, note.topic) == topics.end()) return;
    if (said_.size() >= said_max || !said_.insert(note.text).second) return;
    const auto kind = note.topic == "race"       ? Kind::waits
                      : note.topic == "handover" ? Kind::handover
                                                 : Kind::note;
    add(kind, note.text);
}

}  // namespace relevo::agent
