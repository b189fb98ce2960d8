// One line for each event and effect, for traces and the log.
#include <fmt/core.h>

#include "core/effect.h"

namespace relevo::core {
namespace {

template <class... F>
struct Match : F... {
    using F::operator()...;
};

const char* name(CommitFor purpose) {
    switch (purpose) {
        case CommitFor::acquire: return "acquire leader";
        case CommitFor::depose: return "depose leader";
        case CommitFor::timeline: return "timeline";
        case CommitFor::rewrite_leader: return "rewrite leader";
        case CommitFor::release: return "release leader";
        case CommitFor::member: return "member";
        case CommitFor::status: return "status";
        case CommitFor::sync: return "sync";
        case CommitFor::remove_sync: return "remove sync";
        case CommitFor::history: return "history";
        case CommitFor::failsafe: return "failsafe";
        case CommitFor::config: return "config";
        case CommitFor::claim_initialize: return "claim initialize";
        case CommitFor::put_initialize: return "initialize";
        case CommitFor::cancel_initialize: return "cancel initialize";
        case CommitFor::finish_bootstrap: return "finish bootstrap";
        case CommitFor::clear_failover: return "clear failover";
        case CommitFor::ask_handover: return "ask for a handover";
        case CommitFor::failover_due: return "the switchover is due";
        case CommitFor::give_way: return "give way to a restore";
        case CommitFor::grant_restore: return "the restore's timeline";
        case CommitFor::finish_restore: return "finish the restore";
        case CommitFor::cancel_restore: return "cancel the restore";
        case CommitFor::claim_rebuild: return "the turn to be made anew";
        case CommitFor::end_rebuild: return "the end of that turn";
    }
    return "?";
}

std::string upstream(const std::optional<cluster::Upstream>& up) {
    return up ? fmt::format("{} ({}:{})", up->member, up->host, up->port) : std::string("nobody");
}

const char* verdict(cluster::Divergence::Verdict v) {
    switch (v) {
        case cluster::Divergence::Verdict::streams: return "streams";
        case cluster::Divergence::Verdict::must_rewind: return "must rewind";
        case cluster::Divergence::Verdict::undecided: return "undecided";
    }
    return "?";
}

const char* server(cluster::Server s) {
    switch (s) {
        case cluster::Server::stopped: return "stopped";
        case cluster::Server::starting: return "starting";
        case cluster::Server::running: return "running";
        case cluster::Server::stopping: return "stopping";
        case cluster::Server::hung: return "hung";
    }
    return "?";
}

std::string payload(const Payload& p) {
    return std::visit(
        Match{
            [](std::monostate) { return std::string(); },
            [](const cluster::TxnResult& r) {
                return fmt::format(" {} at {}", r.succeeded ? "written" : "refused", r.revision);
            },
            [](const LeaseKept& l) {
                return fmt::format(" lease {}{}", l.lease.id, l.lease.fresh ? " (new)" : "");
            },
            [](const cluster::LocalPostgres& pg) {
                std::string text = fmt::format(" {} {} timeline {} at {}", server(pg.server),
                                               pg.in_recovery ? "standby" : "primary", pg.timeline,
                                               to_string(pg.position()));
                for (const auto& one : pg.senders)
                    text += fmt::format(", {}{} sent {} flushed {}", one.application_name,
                                        one.sync_priority > 0 ? "*" : "", to_string(one.sent),
                                        to_string(one.flush));
                return text;
            },
            [](const cluster::Divergence& d) {
                return fmt::format(" {} ({})", verdict(d.verdict), d.why);
            },
            [](const cluster::WalTail& tail) {
                return fmt::format(" timeline {} ends before {}", tail.timeline,
                                   to_string(tail.end));
            },
            [](const TailTaken& taken) { return " up to " + to_string(taken.end); },
            [](const WatchdogFed& fed) { return fmt::format(" counting {} s", to_s(fed.timeout)); },
            [](const SyncNamesSet& set) {
                return fmt::format(" told before {}", to_string(set.marker));
            },
            [](const CommitsAudited& all) { return " " + cluster::describe(all.settings); },
            [](const PeerAnswers& peers) {
                std::string text;
                for (const auto& [who, answer] : peers)
                    text += answer ? fmt::format(" {}:{}{}{}{}", who, to_string(answer->position),
                                                 answer->primary ? "(primary)" : "",
                                                 answer->sealed     ? "(sealed)"
                                                 : answer->suspects ? "(suspects)"
                                                                    : "",
                                                 answer->tail ? "(tail)" : "")
                                   : fmt::format(" {}:silent", who);
                return text;
            }},
        p);
}

}  // namespace

std::string describe(const Effect& effect) {
    return std::visit(
        Match{
            [](const ReadDcs&) { return std::string("read the DCS"); },
            [](const KeepLease& e) { return fmt::format("keep the lease ({} s)", e.ttl.count()); },
            [](const Commit& e) { return fmt::format("write: {}", name(e.purpose)); },
            [](const Observe& e) {
                return std::string(e.look == cluster::Look::files ? "look at PostgreSQL's files"
                                                                  : "look at PostgreSQL");
            },
            [](const StartPg& e) {
                return e.plan.as_primary ? std::string("start as primary")
                                         : "start as standby of " + upstream(e.plan.upstream);
            },
            [](const StopPg& e) {
                return fmt::format("stop ({})",
                                   e.mode == cluster::StopMode::fast ? "fast" : "immediate");
            },
            [](const KillPg&) { return std::string("kill PostgreSQL"); },
            [](const MakeStandby&) { return std::string("make it a standby by default"); },
            [](const PromotePg& e) { return fmt::format("promote to timeline {}", e.plan.to); },
            [](const FollowPg& e) { return "follow " + upstream(e.upstream); },
            [](const BootstrapPg& e) {
                return e.restore ? fmt::format("restore {} to timeline {}", e.restore->backup,
                                               e.restore->timeline)
                                 : std::string("initialise a new cluster");
            },
            [](const PostBootstrapPg&) { return std::string("create the roles"); },
            [](const ClonePg& e) {
                return "clone from " + upstream(e.source) +
                       (e.keep.empty() ? "" : ", the old data kept as *" + e.keep);
            },
            [](const ComparePg& e) { return "compare with " + upstream(e.source); },
            [](const RewindPg& e) { return "rewind to " + upstream(e.source); },
            [](const CrashRecoverPg&) { return std::string("crash recovery in single-user mode"); },
            [](const CheckpointPg&) { return std::string("checkpoint"); },
            [](const SetAsidePg& e) {
                return "set the data directory aside" + (e.keep.empty() ? "" : " for " + e.keep);
            },
            [](const PutBackPg& e) { return "put back what was set aside for " + e.id; },
            [](const ArchiveRestPg&) { return std::string("archive what is left"); },
            [](const SyncSlots& e) {
                return fmt::format("synchronise {} slots", e.plan.wanted.size());
            },
            [](const SetSyncNames& e) {
                return e.names ? fmt::format("synchronous_standby_names = '{}'", *e.names)
                               : std::string("synchronous_standby_names as configured");
            },
            [](const EndSenders& e) {
                return "end walsenders that hang before " + to_string(e.sent_below);
            },
            [](const EndSender& e) {
                return fmt::format("end the walsender of {} ({})", e.application_name, e.pid);
            },
            [](const RefuseWrites& e) {
                return std::string(e.on ? "refuse writes" : "let writes in again");
            },
            [](const AuditCommits&) { return std::string("where synchronous_commit is set"); },
            [](const ResetCommit& e) {
                return "take back synchronous_commit " + cluster::place(e.setting);
            },
            [](const RestoreVote&) { return std::string("give the vote back"); },
            [](const FindWalEnd& e) { return fmt::format("where timeline {} ends", e.timeline); },
            [](const TakeTail& e) {
                return fmt::format("take {}'s WAL from {} to {}", e.member.name, to_string(e.at),
                                   to_string(e.tail.end));
            },
            [](const CheckRebuild&) { return std::string("look whether it can be made anew"); },
            [](const AdmitPg&) { return std::string("let clients in"); },
            [](const ProbePeers& e) { return fmt::format("ask {} peers", e.peers.size()); },
            [](const AskFailsafe& e) {
                return fmt::format("ask {} members whether to go on", e.members.size());
            },
            [](const HoldPoolers& e) {
                return fmt::format("hold the poolers, {} ms for transactions", to_ms(e.drain));
            },
            [](const ArmWatchdog& e) {
                return fmt::format("arm the watchdog ({} s)", to_s(e.timeout));
            },
            [](const FeedWatchdog&) { return std::string("feed the watchdog"); },
            [](const DisarmWatchdog&) { return std::string("disarm the watchdog"); },
            [](const CheckWatchdog&) { return std::string("look at the watchdog"); },
            [](const Callback& e) {
                return fmt::format("callback {} {}", e.action, to_string(e.role));
            },
            [](const Answer& e) { return fmt::format("answer {}: {}", e.code, e.text); },
            [](const Note& e) { return e.text; },
            [](const Exit& e) { return fmt::format("exit {}: {}", e.code, e.text); }},
        effect);
}

std::string describe(const Event& event) {
    return std::visit(
        Match{
            [](const DcsView& e) {
                return fmt::format("view at {}: leader {}", e.snapshot->revision,
                                   e.snapshot->leader ? e.snapshot->leader->name : "none");
            },
            [](const PostmasterExited&) { return std::string("the postmaster ended"); },
            [](const SelfChanged&) { return std::string("local configuration changed"); },
            [](const SettingsChanged&) { return std::string("settings changed"); },
            [](const TimerFired&) { return std::string("timer"); },
            [](const StopAsked&) { return std::string("asked to stop"); },
            [](const RestartAsked&) { return std::string("asked to restart"); },
            [](const ReinitAsked&) { return std::string("asked to reinitialize"); },
            [](const LeaderSuspected& e) {
                return fmt::format("the leader of term {} is {}", e.term,
                                   !e.suspected ? "heard again"
                                   : e.alone    ? "silent, in the DCS too"
                                                : "silent");
            },
            [](const LeaderBacked& e) {
                return fmt::format("enough voters follow term {}", e.term);
            },
            [](const FailsafePing& e) { return e.from + " goes on without the DCS"; },
            [](const Woke& e) { return fmt::format("overslept by {} s", to_s(e.late)); },
            [](const EffectDone& e) {
                return fmt::format("done {}{}{}", e.id,
                                   e.error ? " FAILED: " + e.error->message : std::string(),
                                   payload(e.payload));
            },
            [](const ArchiveSeen& e) {
                return std::string(e.note.empty() ? "archive: whole" : "archive: lacks WAL");
            },
            [](const CorruptionSeen& e) {
                return std::string(e.corrupted ? "corruption: found" : "corruption: none");
            },
            [](const DiskSeen& e) { return fmt::format("disk: {}", cluster::to_string(e.state)); }},
        event);
}

}  // namespace relevo::core
