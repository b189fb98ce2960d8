// failsafe_mode (contract 7.16): a leader that cannot reach the DCS goes on when *every* other
// member that the failsafe key names agrees. Who agrees leaves the lead to it for a ttl, so that
// word is a lease given by all who could take over: no less than the DCS's own, and no more.
#include "core/mind.h"

namespace relevo::core {
namespace {

constexpr Duration ask_again_after = std::chrono::seconds(1);

bool in_doubt(const Mind& m) {
    const State& s = m.s;
    // Not m.view(): that our own newest write does not show yet is no silence of the DCS, and who
    // agreed for nothing is bound for a ttl, whoever may lead next.
    if (s.dcs_down || !s.dcs_seen || m.now.mono - *s.dcs_seen > s.settings.ttl) return true;
    // The DCS answers: who leads is decided there.
    if (!s.lead || !s.lease) return false;
    return m.now.mono >= s.lease->asked_at + Duration(s.settings.ttl) / 2;
}

// It led last, by all that it knows.
bool led_last(const State& s) {
    return s.settings.failsafe_mode && !s.settings.pause && s.dcs && s.last_led &&
           s.last_led->leader->name == s.self.name &&
           s.last_led->leader->create_revision != s.given_up &&
           s.dcs->failsafe.contains(s.self.name);
}

}  // namespace

Instant failsafe_until(const State& s) {
    // Where votes decide they elect another whatever was agreed to: its voters' word is enough.
    if (sync_rules(s) && !s.dcs->sync.voters.empty()) return Instant{};
    return led_last(s) && s.failsafe.term == s.last_led->leader->create_revision ? s.failsafe.until
                                                                                 : Instant{};
}

std::optional<cluster::MemberName> failsafe_leader(const State& s, Instant now) {
    const bool holds = s.failsafe_ping && now < s.failsafe_ping->until;
    return holds ? std::optional(s.failsafe_ping->from) : std::nullopt;
}

std::string refuses_failsafe(const State& s, const cluster::MemberName& from) {
    if (s.pg && (s.pg->primary() || s.lead)) return "I am a primary myself";
    const bool taking = std::ranges::any_of(s.running, [](const Running& r) {
        const auto* commit = std::get_if<Commit>(&r.effect);
        return commit && commit->purpose == CommitFor::acquire;
    });
    if (taking) return "I am just taking the lead";
    if (!s.dcs) return "I have not seen the DCS yet";
    const bool known = s.dcs->failsafe.contains(from) && s.dcs->failsafe.contains(s.self.name);
    if (!known) return "the failsafe key does not name us both";
    const bool current = !s.dcs_down && s.dcs->leader;
    if (current && s.dcs->leader->name != from) return s.dcs->leader->name + " leads";
    return {};
}

void ask_failsafe(Mind& m) {
    State& s = m.s;
    if (!led_last(s) || !s.pg || !s.pg->primary()) return;
    if (m.running<AskFailsafe>() || m.running<KillPg>()) return;
    if (!in_doubt(m)) {
        if (!s.lead || !s.lease) return;  // what was granted lasts until the key is ours again
        if (s.failsafe.until != Instant{}) m.tell(Note{Note::Level::info, "failsafe mode is over"});
        s.failsafe = {};
        m.forget("failsafe");
        return m.wake_by(s.lease->asked_at + Duration(s.settings.ttl) / 2);
    }
    if (m.now.mono < s.failsafe.ask_again_at) return m.wake_by(s.failsafe.ask_again_at);
    AskFailsafe ask;
    auto all = s.dcs->failsafe;
    all.insert(s.failsafe_tried.begin(), s.failsafe_tried.end());
    for (const auto& [name, api_url] : all) {
        if (name == s.self.name) continue;
        cluster::MemberRecord member;
        if (const auto known = s.known.find(name); known != s.known.end()) member = known->second;
        member.name = name;
        member.api_url = api_url;
        ask.members.push_back(std::move(member));
    }
    for (const auto& slot : s.pg->slots)
        if (slot.type != "logical" && slot.restart) ask.slots[slot.name] = slot.restart;
    ask.ttl = s.settings.ttl;
    ask.deadline = std::min<Duration>(std::chrono::seconds(2), Duration(s.settings.ttl) / 6);
    s.failsafe.term = s.last_led->leader->create_revision;
    s.failsafe.asked_at = m.now.mono;
    m.emit(std::move(ask));
}

void failsafe_answered(Mind& m, const EffectDone& done) {
    State& s = m.s;
    if (done.error) {
        m.say("failsafe", Note::Level::warning,
              "the DCS does not answer, and not every member agrees that this one goes on: " +
                  done.error->message);
        s.failsafe.ask_again_at = m.now.mono + ask_again_after;
        return;
    }
    m.say("failsafe", Note::Level::warning,
          "the DCS does not answer: going on as leader, since every other member agrees "
          "(failsafe_mode)");
    s.failsafe.until = s.failsafe.asked_at + Duration(s.settings.ttl) - fence_margin(s.settings);
    s.failsafe.ask_again_at =
        m.now.mono + std::min<Duration>(s.settings.loop_wait, Duration(s.settings.ttl) / 4);
}

}  // namespace relevo::core
