#include <fmt/core.h>

#include "base/text.h"
#include "ctl/access.h"
#include "ctl/dialogue.h"
#include "ctl/settings.h"

namespace relevo::ctl {
namespace {

constexpr Duration poll = std::chrono::seconds(1);

// Members say in their own key that they know. Those who never do (they are down) are named.
Outcome wait_for_pause(Context& context, Loaded& loaded, bool on) {
    const auto until =
        context.clock.now() + loaded.shown.settings.loop_wait + std::chrono::seconds(1);
    context.terminal.out(
        fmt::format("'{}' request sent, waiting until it is recognized by all "
                    "members\n",
                    on ? "pause" : "resume"));
    for (;;) {
        RLV_CHECK(refresh(context, loaded));
        std::vector<std::string> missing;
        for (const auto& [name, member] : loaded.snapshot().members)
            if (member.pause != on) missing.push_back(name);
        if (missing.empty()) return Exit::ok;
        if (context.clock.now() >= until) {
            context.terminal.out(fmt::format("Failed: {} not recognized yet by {}\n",
                                             on ? "pause" : "resume", join(missing, ", ")));
            return Exit::failed;
        }
        context.clock.sleep(poll);
    }
}

Result<HttpAnswer> patch_leader(Context& context, const Loaded& loaded, const std::string& body) {
    const auto* leader = loaded.snapshot().leader_member();
    if (!leader)
        return fail(ErrorCode::not_found,
                    fmt::format("cluster {} has no leader now; look at `relevoctl list {}`",
                                loaded.name(), loaded.name()));
    return call(context, *leader, "PATCH", "/config", body, api_deadline);
}

// A line a second until the leader of the moment has the role and runs.
Outcome wait_for_role(Context& context, Loaded& loaded, cluster::Role wanted,
                      const std::string& old_leader) {
    for (;;) {
        context.clock.sleep(poll);
        RLV_CHECK(refresh(context, loaded));
        const auto* leader = loaded.snapshot().leader_member();
        const auto* old = loaded.snapshot().member(old_leader);
        const auto said =
            leader ? fmt::format("{} is {} {}", leader->name, cluster::to_string(leader->state),
                                 cluster::to_string(leader->role))
                   : std::string("no leader");
        context.terminal.out(fmt::format("{} cluster {}: {}\n",
                                         local_text(context.clock.wall(), context.clock),
                                         loaded.name(), said));
        const bool there = leader && leader->role == wanted && leader->running();
        if (there && (!old || old->running())) return Exit::ok;
    }
}

Outcome change_cluster_role(Context& context, Loaded& loaded, const std::string& body,
                            cluster::Role wanted, const char* what) {
    RLV_TRY(const auto answer, patch_leader(context, loaded, body));
    if (answer.status != 200) {
        context.terminal.out(fmt::format("Failed: {} cluster {}, status code={}, ({})\n", what,
                                         loaded.name(), answer.status, trim(answer.body)));
        return Exit::failed;
    }
    const auto leader = loaded.snapshot().leader->name;
    RLV_TRY(const auto exit, wait_for_role(context, loaded, wanted, leader));
    context.terminal.out(fmt::format("Success: cluster {} is {}d\n", loaded.name(), what));
    return exit;
}

}  // namespace

Outcome pause(Context& context, const std::string& cluster, bool on, bool wait) {
    RLV_TRY(auto loaded, load(context, cluster));
    if (loaded.shown.settings.pause == on)
        return fail(ErrorCode::conflict,
                    fmt::format("cluster {} is {} paused", loaded.name(), on ? "already" : "not"));
    RLV_TRY(const auto answered, call_any(context, loaded, "PATCH", "/config",
                                          on ? R"({"pause":true})" : R"({"pause":null})"));
    if (answered.answer.status != 200) {
        context.terminal.out(
            failure_line(on ? "pause" : "resume", answered.member->name, answered.answer));
        return Exit::failed;
    }
    auto exit = Exit::ok;
    if (wait) {
        RLV_TRY(exit, wait_for_pause(context, loaded, on));
    }
    if (exit == Exit::ok)
        context.terminal.out(
            fmt::format("Success: cluster management is {}\n", on ? "paused" : "resumed"));
    return exit;
}

Outcome demote_cluster(Context& context, const DemoteClusterCommand& command) {
    if (command.host.empty() && command.port.empty() && command.restore_command.empty())
        return fail(ErrorCode::invalid,
                    "demote-cluster needs --host, --port or --restore-command: where the standby "
                    "cluster gets its WAL from");
    RLV_TRY(auto loaded, load(context, command.cluster));
    if (loaded.shown.settings.standby_cluster)
        return fail(ErrorCode::conflict,
                    fmt::format("cluster {} is a standby cluster already", loaded.name()));
    auto standby = config::Node::map();
    const auto put = [&](const char* key, const std::string& value) {
        if (!value.empty()) standby.set(key, config::Node::string(value));
    };
    put("host", command.host);
    if (const auto port = parse_decimal(command.port))
        standby.set("port", config::Node::integer(*port));
    else
        put("port", command.port);
    put("restore_command", command.restore_command);
    put("primary_slot_name", command.primary_slot_name);
    auto patch = config::Node::map();
    patch.set("standby_cluster", std::move(standby));
    print_table(context, loaded);
    if (!command.force)
        RLV_CHECK(confirm_or_stop(
            context.terminal,
            fmt::format("Are you sure you want to demote {} cluster?", loaded.name()), "Demotion"));
    return change_cluster_role(context, loaded, config::to_json(patch),
                               cluster::Role::standby_leader, "demote");
}

Outcome promote_cluster(Context& context, const std::string& cluster, bool force) {
    RLV_TRY(auto loaded, load(context, cluster));
    if (!loaded.shown.settings.standby_cluster)
        return fail(ErrorCode::conflict,
                    fmt::format("cluster {} is no standby cluster", loaded.name()));
    print_table(context, loaded);
    if (!force)
        RLV_CHECK(confirm_or_stop(
            context.terminal,
            fmt::format("Are you sure you want to promote {} cluster?", loaded.name()),
            "Promotion"));
    return change_cluster_role(context, loaded, R"({"standby_cluster":null})",
                               cluster::Role::primary, "promote");
}

}  // namespace relevo::ctl
