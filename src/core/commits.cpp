// synchronous_commit, the leader's side. Whoever sets it below `on` for a role or a database has
// commits that wait for no standby, and in synchronous mode nothing is promised to them. PostgreSQL
// lets every user do that for a session or a transaction, which nobody else can see or forbid; what
// is set for sessions to come is seen here: told, and taken back where it is below the floor.
#include <fmt/core.h>

#include "core/mind.h"

namespace relevo::core {
namespace {

using cluster::CommitSetting;

constexpr const char* topic = "synchronous_commit";

std::string topic_of(const CommitSetting& setting) {
    return std::string(topic) + " " + cluster::place(setting);
}

std::string why_it_matters(const State& s) {
    if (s.settings.synchronous_mode == cluster::SyncMode::off)
        return "below synchronous_commit_floor";
    return "such commits wait for no standby's disk, and a failover may lose them";
}

bool undone(const Mind& m, const CommitSetting& setting) {
    return setting.level < m.s.settings.synchronous_commit_floor && setting.can_be_reset() &&
           !m.paused();
}

void report(Mind& m, const CommitSetting& setting) {
    const State& s = m.s;
    std::string text = fmt::format("synchronous_commit is {} {}: {}", to_string(setting.level),
                                   cluster::place(setting), why_it_matters(s));
    if (setting.level < s.settings.synchronous_commit_floor && !setting.can_be_reset())
        text += fmt::format(". The agent does not change that file: correct it, the floor is {}",
                            to_string(s.settings.synchronous_commit_floor));
    m.say(topic_of(setting), Note::Level::warning, std::move(text));
}

// What was said of places that are in order now is forgotten, so that it is said again.
void forget_others(Mind& m, const std::vector<CommitSetting>& lowered) {
    const bool was = std::ranges::any_of(
        m.s.said, [](const auto& said) { return said.first.starts_with(topic); });
    std::erase_if(m.s.said, [&](const auto& said) {
        return said.first.starts_with(topic) &&
               std::ranges::none_of(
                   lowered, [&](const CommitSetting& one) { return said.first == topic_of(one); });
    });
    if (was && lowered.empty())
        m.tell(Note{Note::Level::info, "synchronous_commit is lowered nowhere any more"});
}

}  // namespace

void keep_commits(Mind& m) {
    State& s = m.s;
    const auto wanted = s.settings.commit_level_wanted();
    if (!s.pg->primary() || !m.leading() || wanted == cluster::CommitLevel::off) {
        s.commits = {};
        return;
    }
    const bool acts =
        m.may_lead() && !s.pg_stale && !m.pg_busy() && holds<std::monostate>(s.procedure);
    if (!acts || m.running<AuditCommits>() || m.running<ResetCommit>()) return;
    // Nobody tells of an ALTER ROLE; it is looked for as often as everything else.
    if (m.now.mono < s.commits.again_at) return m.wake_by(s.commits.again_at);
    s.commits.again_at = m.now.mono + Duration(s.settings.loop_wait);
    m.emit(AuditCommits{});
}

// The answer to AuditCommits.
void commits_audited(Mind& m, const EffectDone& done) {
    State& s = m.s;
    const auto* audited = std::get_if<CommitsAudited>(&done.payload);
    if (!audited) return;  // looked for again; what is wrong with the server is said elsewhere
    std::vector<CommitSetting> lowered;
    for (const auto& setting : audited->settings)
        if (setting.level < s.settings.commit_level_wanted()) lowered.push_back(setting);
    forget_others(m, lowered);
    for (const auto& setting : lowered) report(m, setting);
    s.commits.lowered = std::move(lowered);
    if (!m.may_lead()) return;
    const auto first = std::ranges::find_if(
        s.commits.lowered, [&](const CommitSetting& one) { return undone(m, one); });
    if (first != s.commits.lowered.end()) m.emit(ResetCommit{*first});
}

// The answer to ResetCommit.
void commit_reset(Mind& m, const CommitSetting& setting, const EffectDone& done) {
    State& s = m.s;
    if (done.error) {
        m.say(topic_of(setting), Note::Level::error,
              fmt::format("synchronous_commit = {} {} cannot be taken back: {}",
                          to_string(setting.level), cluster::place(setting), done.error->message));
        return;  // again with the next look
    }
    m.forget(topic_of(setting));
    m.tell(
        Note{Note::Level::warning,
             fmt::format("synchronous_commit = {} {} was taken back: synchronous_commit_floor is "
                         "{}. Sessions that are open keep it until they end",
                         to_string(setting.level), cluster::place(setting),
                         to_string(s.settings.synchronous_commit_floor))});
    std::erase(s.commits.lowered, setting);
    s.commits.again_at = m.now.mono;  // there may be more
}

}  // namespace relevo::core
