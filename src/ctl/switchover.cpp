#include "ctl/switchover.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"
#include "cluster/keys.h"
#include "ctl/access.h"
#include "ctl/dialogue.h"
#include "ctl/yaml.h"

namespace relevo::ctl {
namespace {

constexpr Duration answer_margin = std::chrono::seconds(15);
constexpr Duration poll_min = std::chrono::seconds(10);

const char* verb(const SwitchoverCommand& command) {
    return command.failover ? "failover" : "switchover";
}
const char* title(const SwitchoverCommand& command) {
    return command.failover ? "Failover" : "Switchover";
}

// What will be asked of the cluster.
struct Order {
    std::string leader, candidate;  // leader empty: failover of a cluster, whoever leads it
    std::optional<WallTime> at;
};

Result<std::string> ask_leader(Context& context, const Loaded& loaded,
                               const SwitchoverCommand& command) {
    const auto& leader = loaded.snapshot().leader;
    if (!leader || leader->name.empty())
        return fail(ErrorCode::not_found,
                    fmt::format("cluster {} has no leader that could hand over; use `relevoctl "
                                "failover {} --candidate NAME` to name one",
                                loaded.name(), loaded.name()));
    auto name = command.leader;
    if (name.empty()) {
        name = leader->name;
        const char* what = loaded.shown.settings.standby_cluster ? "Standby Leader" : "Primary";
        if (!command.force) {
            RLV_TRY(name, prompt(context.terminal, what, leader->name));
        }
    }
    if (name != leader->name)
        return fail(ErrorCode::invalid, fmt::format("{} is not the leader of cluster {}; {} is",
                                                    name, loaded.name(), leader->name));
    return name;
}

std::vector<std::string> candidates_of(const cluster::Snapshot& snapshot) {
    std::vector<std::string> names;
    for (const auto& [name, member] : snapshot.members)
        if (!snapshot.led_by(name) && !member.tags.nofailover()) names.push_back(name);
    return names;
}

Status check_candidate(const Loaded& loaded, const std::string& candidate,
                       const SwitchoverCommand& command,
                       const std::vector<std::string>& candidates) {
    if (candidate.empty()) {
        if (!command.failover) return {};
        return fail(ErrorCode::invalid,
                    fmt::format("failover needs a candidate: --candidate with one of {}",
                                join(candidates, ", ")));
    }
    if (std::ranges::find(candidates, candidate) != candidates.end()) return {};
    if (loaded.snapshot().led_by(candidate))
        return fail(ErrorCode::invalid,
                    fmt::format("{} leads cluster {} already", candidate, loaded.name()));
    if (loaded.snapshot().member(candidate))
        return fail(ErrorCode::invalid, fmt::format("{} is tagged nofailover; choose among {}",
                                                    candidate, join(candidates, ", ")));
    return fail(ErrorCode::not_found,
                fmt::format("{} is no member of cluster {}; choose among {}", candidate,
                            loaded.name(), join(candidates, ", ")));
}

Result<std::string> ask_candidate(Context& context, const Loaded& loaded,
                                  const SwitchoverCommand& command) {
    const auto candidates = candidates_of(loaded.snapshot());
    if (candidates.empty())
        return fail(ErrorCode::not_found,
                    fmt::format("cluster {} has no other member that may lead", loaded.name()));
    auto candidate = command.candidate;
    if (candidate.empty() && !command.force) {
        RLV_TRY(candidate, prompt(context.terminal, "Candidate " + choice_text(candidates), ""));
    }
    RLV_CHECK(check_candidate(loaded, candidate, command, candidates));
    return candidate;
}

// Synchronous mode keeps a list of those who surely have every acknowledged row.
Status confirm_unsynchronized(Context& context, const Loaded& loaded,
                              const SwitchoverCommand& command, const std::string& candidate) {
    const bool sync = loaded.shown.settings.synchronous_mode != cluster::SyncMode::off;
    if (!command.failover || command.force || !sync) return {};
    if (loaded.snapshot().sync.names_or_leader(candidate)) return {};
    return confirm_or_stop(
        context.terminal,
        fmt::format("Are you sure you want to failover to the asynchronous node {}? Rows that were "
                    "acknowledged may be lost",
                    candidate),
        "Failover");
}

Result<std::optional<WallTime>> ask_time(Context& context, const Loaded& loaded,
                                         const SwitchoverCommand& command) {
    std::optional<WallTime> at;
    if (command.failover) return at;
    auto text = command.scheduled;
    if (text.empty() && !command.force) {
        const auto example = context.clock.wall() + std::chrono::hours(1);
        RLV_TRY(text, prompt(context.terminal,
                             fmt::format("When should the switchover take place (e.g. {:.16} )",
                                         local_text(example, context.clock).replace(10, 1, "T")),
                             "now"));
    }
    RLV_TRY(at, parse_schedule(text, context.clock));
    if (at && loaded.shown.settings.pause)
        return fail(ErrorCode::invalid,
                    fmt::format("a switchover cannot be scheduled while the cluster is paused; "
                                "`relevoctl resume {}` first, or switch over now",
                                loaded.name()));
    return at;
}

Status confirm_order(Context& context, const Loaded& loaded, const SwitchoverCommand& command,
                     const Order& order) {
    if (command.force) return {};
    const auto& leader = loaded.snapshot().leader;
    const auto away = leader ? fmt::format(", demoting current leader {}", leader->name) : "";
    const auto question =
        order.at ? fmt::format("Are you sure you want to schedule {} of cluster {} at {}{}?",
                               verb(command), loaded.name(), to_iso(*order.at), away)
                 : fmt::format("Are you sure you want to {} cluster {}{}?", verb(command),
                               loaded.name(), away);
    return confirm_or_stop(context.terminal, question, title(command));
}

std::string body_of(const Order& order) {
    auto body = config::Node::map();
    if (!order.leader.empty()) body.set("leader", config::Node::string(order.leader));
    if (!order.candidate.empty()) body.set("candidate", config::Node::string(order.candidate));
    if (order.at) body.set("scheduled_at", config::Node::string(to_iso(*order.at)));
    return config::to_json(body);
}

// To the leader, who hands over; without one to the candidate, who will take the lead.
Result<HttpAnswer> send(Context& context, const Loaded& loaded, const SwitchoverCommand& command,
                        const Order& order) {
    const auto* member = loaded.snapshot().leader_member();
    if (!member) member = loaded.snapshot().member(order.candidate);
    if (!member) return fail(ErrorCode::unavailable, "the leader has no member key");
    // The agent answers when it is done, after at most twice the longer of 10 s and loop_wait.
    const auto deadline =
        2 * std::max<Duration>(poll_min, loaded.shown.settings.loop_wait) + answer_margin;
    const auto body = body_of(order);
    auto answer = call(context, *member, "POST", std::string("/") + verb(command), body, deadline);
    if (answer && answer->status == 501 && !command.failover)
        answer = call(context, *member, "POST", "/failover", body, deadline);
    return answer;
}

// Nobody's API took the order: it is left in the DCS, where the leader finds it.
Outcome leave_in_dcs(Context& context, const Loaded& loaded, const SwitchoverCommand& command,
                     const Order& order, const Error& why) {
    context.terminal.err(
        fmt::format("Warning: the API did not take the order ({}); it is written "
                    "to the DCS instead\n",
                    why.message));
    cluster::FailoverRequest request{.leader = order.leader,
                                     .member = order.candidate,
                                     .scheduled_at = order.at,
                                     .scheduled_at_text = order.at ? to_iso(*order.at) : "",
                                     .mod_revision = 0};
    RLV_TRY(const auto written, loaded.store->commit(cluster::keys::put_failover(
                                    request, loaded.snapshot().failover_revision)));
    if (!written.succeeded)
        return fail(ErrorCode::conflict,
                    fmt::format("somebody else has just ordered a switchover or failover; look at "
                                "`relevoctl list {}`",
                                loaded.name()));
    context.terminal.out(fmt::format("{} {} request has been written to the DCS\n",
                                     local_text(context.clock.wall(), context.clock, true),
                                     title(command)));
    return Exit::ok;
}

Outcome report(Context& context, Loaded& loaded, const SwitchoverCommand& command,
               const HttpAnswer& answer) {
    if (answer.status == 200 || answer.status == 202) {
        context.terminal.out(fmt::format(
            "{} {}\n", local_text(context.clock.wall(), context.clock, true), trim(answer.body)));
        RLV_CHECK(refresh(context, loaded));
        print_table(context, loaded);
        return Exit::ok;
    }
    const bool unknown = icontains(answer.body, "status unknown");
    context.terminal.out(fmt::format("{} {}, details: {}, {}\n", title(command),
                                     unknown ? "result unknown" : "failed", answer.status,
                                     trim(answer.body)));
    return Exit::failed;
}

}  // namespace

Outcome switchover(Context& context, const SwitchoverCommand& command) {
    RLV_TRY(auto loaded, load(context, command.cluster));
    context.terminal.out("Current cluster topology\n");
    print_table(context, loaded);

    Order order;
    if (!command.failover) {
        RLV_TRY(order.leader, ask_leader(context, loaded, command));
    }
    RLV_TRY(order.candidate, ask_candidate(context, loaded, command));
    RLV_CHECK(confirm_unsynchronized(context, loaded, command, order.candidate));
    RLV_TRY(order.at, ask_time(context, loaded, command));
    RLV_CHECK(confirm_order(context, loaded, command, order));

    const auto answer = send(context, loaded, command, order);
    if (answer) return report(context, loaded, command, *answer);
    if (answer.error().code != ErrorCode::outcome_unknown)
        return leave_in_dcs(context, loaded, command, order, answer.error());
    // It may have been taken: to order it again could switch over twice.
    context.terminal.out(fmt::format("{} result unknown: {}; look at `relevoctl list {}`\n",
                                     title(command), answer.error().message, loaded.name()));
    return Exit::failed;
}

}  // namespace relevo::ctl
