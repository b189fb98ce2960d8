// A quorum that cannot be met, said by the leader: who is missing, and that commits wait. What is
// done about it is in sync.cpp; this looks at what PostgreSQL itself goes by, also while the DCS is
// away and nothing can be done.
#include <fmt/core.h>

#include "base/text.h"
#include "cluster/sync_names.h"
#include "core/mind.h"

namespace relevo::core {
namespace {

bool streams(const State& s, const std::string& name) {
    return std::ranges::any_of(s.pg->senders, [&](const cluster::Sender& sender) {
        return iequals(sender.application_name, name) && sender.state == "streaming";
    });
}

// Empty: they do not wait for anybody who is not there.
std::string why_commits_wait(const State& s) {
    if (s.pg->sync_names.empty()) return {};
    const auto names = cluster::parse_sync_names(s.pg->sync_names);
    if (!names || names->count == 0 || names->everybody) return {};
    int there = 0;
    std::string missing;
    for (const auto& name : names->names) {
        if (streams(s, name)) {
            ++there;
        } else if (name != cluster::strict_placeholder) {
            missing += (missing.empty() ? "" : ", ") + name;
        }
    }
    if (there >= names->count) return {};
    if (missing.empty())
        return "commits wait: synchronous_mode_strict is set, and no standby streams";
    return fmt::format(
        "commits wait: {} of {} standbys must confirm them, {} stream{}; missing: {}", names->count,
        names->names.size(), there == 0 ? "none" : std::to_string(there), there == 1 ? "s" : "",
        missing);
}

// A voter that is gone is let go within this, where the others allow it.
constexpr Duration let_go_within = std::chrono::seconds(3);

// Who of the voters is missing for an election without this leader. Empty: enough are there.
std::string why_no_election(const State& s) {
    const auto& key = s.dcs->sync;
    if (!sync_rules(s) || !iequals(key.leader, s.self.name)) return {};
    int voters = 0, there = 0;
    std::string missing;
    for (const auto& name : key.voters) {
        if (iequals(name, s.self.name)) continue;
        ++voters;
        if (streams(s, name))
            ++there;
        else
            missing += (missing.empty() ? "" : ", ") + name;
    }
    if (voters == 0 || there > key.quorum) return {};
    return fmt::format(
        "no failover is possible now: {} voters must take part, {} stream{}; "
        "missing: {}",
        key.quorum + 1, there == 0 ? "none" : std::to_string(there), there == 1 ? "s" : "",
        missing);
}

void tell_no_election(Mind& m, bool commits_wait) {
    State& s = m.s;
    auto why = s.lead && s.dcs ? why_no_election(s) : std::string();
    if (why.empty()) {
        s.no_election_since.reset();
        if (s.said.erase("no election") > 0)
            m.tell(Note{Note::Level::info, "enough voters stream again"});
        return;
    }
    if (!s.no_election_since) s.no_election_since = m.now.mono;
    if (m.now.mono < *s.no_election_since + let_go_within)
        return m.wake_by(*s.no_election_since + let_go_within);
    m.say("no election", Note::Level::warning,
          why + (commits_wait ? ". Commits wait too" : ". Commits do not wait"));
}

}  // namespace

void tell_waits(Mind& m) {
    State& s = m.s;
    if (!s.pg->primary() || s.pg_stale) return;
    const auto why = why_commits_wait(s);
    tell_no_election(m, !why.empty());
    if (!why.empty()) return m.say("commits wait", Note::Level::warning, why);
    if (!s.said.contains("commits wait")) return;
    m.forget("commits wait");
    m.tell(Note{Note::Level::info, "commits are confirmed again"});
}

}  // namespace relevo::core
