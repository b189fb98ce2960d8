// A standby that comes back after a loss of power or a cut finds its slot held by the walsender of
// its old connection, which PostgreSQL does not miss before a timeout. Its member key says that it
// runs and does not stream; where a walsender of its name lives here all the same, the standby is
// asked, and the walsender that was there before the question is ended.
#include <fmt/core.h>

#include "core/mind.h"

namespace relevo::core {
namespace {

// One that has just connected shows so at its next look, and one that cannot be asked may later.
constexpr Duration ask_again_after = std::chrono::seconds(1);

const cluster::Sender* sender_of(const State& s, const std::string& name) {
    const auto found = std::ranges::find(s.pg->senders, name, &cluster::Sender::application_name);
    return found == s.pg->senders.end() || found->pid == 0 ? nullptr : &*found;
}

}  // namespace

void end_stale_senders(Mind& m) {
    State& s = m.s;
    const auto* view = m.view();
    if (!view || !m.may_lead() || !s.pg->primary() || s.pg_stale || m.pg_busy()) return;
    if (s.fine.senders == m.known(*view)) return;
    if (m.probing(ProbeFor::sender) || m.running<EndSender>()) return;
    ProbePeers ask{ProbeFor::sender, {}};
    std::map<cluster::MemberName, int> pids;
    for (const auto& [name, member] : view->members) {
        // One of Patroni's before 4 says nothing of its stream, nor does its answer.
        if (name == s.self.name || member.relevo.empty() || !member.running() ||
            member.replication_state == "streaming")
            continue;
        if (const auto* sender = sender_of(s, name)) {
            pids[name] = sender->pid;
            ask.peers.push_back({member, alive_peer_deadline});
        }
    }
    if (pids.empty()) {
        s.fine.senders = m.known(*view);
        return;
    }
    if (m.now.mono < s.doubted.again_at) return m.wake_by(s.doubted.again_at);
    s.doubted = {std::move(pids), m.now.mono + ask_again_after};
    m.emit(std::move(ask));
}

// What those standbys say, as they were seen when they were asked.
void senders_told(Mind& m, const PeerAnswers& answers) {
    State& s = m.s;
    if (!s.pg || !s.pg->primary() || !m.may_lead()) return;
    for (const auto& [name, answer] : answers) {
        const auto before = s.doubted.pids.find(name);
        if (!answer || !answer->running || answer->primary || answer->streams ||
            before == s.doubted.pids.end())
            continue;
        m.tell(Note{Note::Level::warning,
                    fmt::format("ending the replication connection that {} had before (process "
                                "{}): it does not stream, and waits for its slot",
                                name, before->second)});
        m.emit(EndSender{before->second, name});
    }
}

}  // namespace relevo::core
