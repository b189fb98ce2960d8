#include "ctl/members.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"
#include "cluster/keys.h"
#include "ctl/dialogue.h"

namespace relevo::ctl {
namespace {

using cluster::MemberRecord;
using Members = std::vector<const MemberRecord*>;

// A restart ends when PostgreSQL is up again: a shutdown checkpoint may take long.
constexpr Duration restart_deadline = std::chrono::hours(1);

// One line for each member; failed when any of them is no success.
class Report {
public:
    Report(Context& context, std::string what) : context_(context), what_(std::move(what)) {}

    void success(const MemberRecord& member) {
        success(fmt::format("{} on member {}", what_, member.name));
    }
    void success(const std::string& text) { context_.terminal.out("Success: " + text + "\n"); }
    void failure(const MemberRecord& member, const HttpAnswer& answer) {
        line(failure_line(what_, member.name, answer));
    }
    void failure(const MemberRecord& member, const Error& error) {
        line(failure_line(what_, member.name, error));
    }
    void line(const std::string& text) {
        context_.terminal.out(text);
        exit_ = Exit::failed;
    }
    Exit exit() const { return exit_; }

private:
    Context& context_;
    std::string what_;
    Exit exit_ = Exit::ok;
};

// ---- restart

struct RestartOrder {
    Members members;
    std::optional<WallTime> at;
    std::string version;
};

Result<std::optional<WallTime>> restart_time(Context& context, const Loaded& loaded,
                                             const RestartCommand& command) {
    auto text = command.scheduled.value_or("now");
    if (!command.scheduled && !command.force) {
        const auto example = context.clock.wall() + std::chrono::hours(1) + std::chrono::minutes(1);
        RLV_TRY(text, prompt(context.terminal,
                             fmt::format("When should the restart take place (e.g. {:.16}) ",
                                         local_text(example, context.clock).replace(10, 1, "T")),
                             "now"));
    }
    RLV_TRY(const auto at, parse_schedule(text, context.clock));
    if (at && loaded.shown.settings.pause)
        return fail(ErrorCode::invalid,
                    fmt::format("a restart cannot be scheduled while the cluster is paused; "
                                "`relevoctl resume {}` first, or restart now",
                                loaded.name()));
    return at;
}

Status confirm_restart(Context& context, const RestartCommand& command, const RestartOrder& order) {
    if (command.force) return {};
    const auto names = names_text(order.members);
    const auto question =
        order.at && command.pending
            ? fmt::format(
                  "Are you sure you want to schedule a restart of those of members {} that "
                  "will need it at {}?",
                  names, to_iso(*order.at))
        : order.at ? fmt::format("Are you sure you want to schedule a restart of members {} at {}?",
                                 names, to_iso(*order.at))
                   : fmt::format("Are you sure you want to restart members {}?", names);
    return confirm_or_stop(context.terminal, question, "Restart");
}

Result<RestartOrder> ask_restart(Context& context, const Loaded& loaded,
                                 const RestartCommand& command) {
    RestartOrder order;
    RLV_TRY(order.members, choose_members(context, loaded, command.role, command.members));
    RLV_TRY(order.at, restart_time(context, loaded, command));
    // What is pending when the time has come nobody knows yet: then the member decides itself.
    if (command.pending && !order.at) {
        std::erase_if(order.members, [](const auto* member) { return !member->pending_restart; });
        if (order.members.empty())
            return fail(
                ErrorCode::not_found,
                fmt::format("no member of cluster {} has a restart pending", loaded.name()));
    }
    if (command.any) order.members = {order.members[context.desk.pick(order.members.size())]};
    RLV_CHECK(confirm_restart(context, command, order));
    if (command.pg_version) {
        order.version = *command.pg_version;
    } else if (!command.force) {
        RLV_TRY(order.version,
                prompt(context.terminal,
                       "Restart only if the PostgreSQL version is less than (e.g. 15.4) ", ""));
    }
    return order;
}

std::string restart_body(const RestartCommand& command, const RestartOrder& order) {
    auto body = config::Node::map();
    if (command.pending) body.set("restart_pending", config::Node::boolean(true));
    if (!order.version.empty()) body.set("postgres_version", config::Node::string(order.version));
    if (order.at) body.set("schedule", config::Node::string(to_iso(*order.at)));
    if (command.timeout) body.set("timeout", config::Node::string(*command.timeout));
    return config::to_json(body);
}

void restart_one(Context& context, Report& report, const MemberRecord& member,
                 const std::string& body, const RestartCommand& command, bool scheduled) {
    if (scheduled && command.force && member.scheduled_restart) {
        // The new time takes the old one's place; a failure shows in the answer to the new order.
        const auto flushed = call(context, member, "DELETE", "/restart", "", api_deadline);
        if (flushed && flushed->status == 200)
            report.success("flush scheduled restart on member " + member.name);
    }
    const auto answer = call(context, member, "POST", "/restart", body,
                             scheduled ? api_deadline : restart_deadline);
    if (!answer) return report.failure(member, answer.error());
    switch (answer->status) {
        case 200: return report.success(member);
        case 202: return report.success("restart scheduled on member " + member.name);
        case 409:
            return report.line(fmt::format(
                "Failed: another restart is already scheduled on member {}\n", member.name));
        default: return report.failure(member, *answer);
    }
}

// ---- reinit

Result<Members> reinit_members(Context& context, const Loaded& loaded,
                               const ReinitCommand& command) {
    auto names = command.members;
    const auto replicas = members_with(loaded.snapshot(), RoleFilter::replica);
    if (names.empty() && command.force) return Members{};
    if (names.empty() && !replicas.empty()) {
        RLV_TRY(const auto name,
                prompt(context.terminal,
                       fmt::format("Which member do you want to reinitialize [{}]?",
                                   names_text(replicas)),
                       ""));
        if (name.empty())
            return fail(ErrorCode::invalid, "no member was named; nothing was changed");
        names = {name};
    }
    return choose_members(context, loaded, RoleFilter::replica, names);
}

std::string reinit_body(bool force, bool from_leader) {
    auto body = config::Node::map();
    body.set("force", config::Node::boolean(force));
    body.set("from_leader", config::Node::boolean(from_leader));
    return config::to_json(body);
}

// true: the member has begun.
Result<bool> reinit_one(Context& context, Report& report, const MemberRecord& member,
                        const ReinitCommand& command) {
    auto body = reinit_body(command.force, command.from_leader);
    for (int round = 0;; ++round) {
        const auto answer = call(context, member, "POST", "/reinitialize", body, api_deadline);
        if (!answer) {
            report.failure(member, answer.error());
            return false;
        }
        if (answer->status == 200) {
            report.success(member);
            return true;
        }
        const bool busy = trim(answer->body).ends_with(" already in progress");
        if (!busy || round > 0) {
            report.failure(member, *answer);
            return false;
        }
        context.terminal.out(std::string(trim(answer->body)) + "\n");
        RLV_TRY(const bool cancel,
                confirm(context.terminal, "Do you want to cancel it and reinitialize anyway?"));
        if (!cancel) {
            report.line(fmt::format("Failed: reinitialize for member {} was not asked for again\n",
                                    member.name));
            return false;
        }
        body = reinit_body(true, command.from_leader);
    }
}

void wait_for_reinit(Context& context, Members waiting) {
    while (!waiting.empty()) {
        context.terminal.out(
            fmt::format("Waiting for reinitialize to complete on: {}\n", names_text(waiting)));
        context.clock.sleep(std::chrono::seconds(2));
        Members done;
        for (const auto* member : waiting) {
            const auto status = member_status(context, *member);
            const auto* state = status ? status->find("state") : nullptr;
            if (state && state->text != "creating replica") done.push_back(member);
        }
        for (const auto* member : done) {
            context.terminal.out(fmt::format("Reinitialize is completed on: {}\n", member->name));
            std::erase(waiting, member);
        }
    }
}

// ---- flush, reload

// Those that are meant, once the operator has agreed. `question` has {} where their names belong.
Result<Members> agreed_members(Context& context, const Loaded& loaded,
                               const MembersCommand& command, const std::string& question,
                               const char* verb) {
    RLV_TRY(auto members, choose_members(context, loaded, command.role, command.members));
    if (!command.force)
        RLV_CHECK(confirm_or_stop(context.terminal,
                                  fmt::format(fmt::runtime(question), names_text(members)), verb));
    return members;
}

Outcome flush_restart(Context& context, const Loaded& loaded, const MembersCommand& command) {
    RLV_TRY(const auto members,
            agreed_members(context, loaded, command,
                           "Are you sure you want to flush the scheduled restart of members {}?",
                           "Flush"));
    Report report(context, "flush scheduled restart");
    for (const auto* member : members) {
        // Asked of the member itself: its key in the DCS is a moment behind, and whoever flushes
        // wants no restart to be left.
        const auto answer = call(context, *member, "DELETE", "/restart", "", api_deadline);
        const bool none = answer ? answer->status == 404 : !member->scheduled_restart;
        if (none)
            context.terminal.out(fmt::format("No scheduled restart for member {}\n", member->name));
        else if (!answer)
            report.failure(*member, answer.error());
        else if (answer->status == 200)
            report.success(*member);
        else
            report.failure(*member, *answer);
    }
    return report.exit();
}

// From then on it counts as clean: may lead, and is copied from.
Outcome flush_corruption(Context& context, const Loaded& loaded, const MembersCommand& command) {
    RLV_TRY(const auto members,
            agreed_members(context, loaded, command, "Is the data of members {} known to be good?",
                           "Flush"));
    Report report(context, "flush corruption");
    for (const auto* member : members) {
        const auto answer = call(context, *member, "DELETE", "/corruption", "", api_deadline);
        if (!answer)
            report.failure(*member, answer.error());
        else if (answer->status == 404)
            context.terminal.out(fmt::format("Nothing was found on member {}\n", member->name));
        else if (answer->status == 200)
            report.success(*member);
        else
            report.failure(*member, *answer);
    }
    return report.exit();
}

Outcome flush_switchover(Context& context, const Loaded& loaded) {
    const auto& request = loaded.snapshot().failover;
    if (!request || request->scheduled_at_text.empty()) {
        context.terminal.out(
            fmt::format("No pending scheduled switchover in cluster {}\n", loaded.name()));
        return Exit::ok;
    }
    const auto answered = call_any(context, loaded, "DELETE", "/switchover", "");
    if (answered) {
        const auto& [member, answer] = *answered;
        if (answer.status == 200) {
            context.terminal.out("Success: scheduled switchover deleted\n");
            return Exit::ok;
        }
        context.terminal.out(failure_line("flush switchover", member->name, answer));
        return Exit::failed;
    }
    context.terminal.err("Warning: " + answered.error().message + "\n");
    RLV_TRY(
        const auto cleared,
        loaded.store->commit(cluster::keys::clear_failover(loaded.snapshot().failover_revision)));
    if (!cleared.succeeded)
        return fail(ErrorCode::conflict,
                    "the scheduled switchover changed meanwhile; look at "
                    "`relevoctl list` and try again");
    context.terminal.out("Success: scheduled switchover deleted (in the DCS)\n");
    return Exit::ok;
}

}  // namespace

Outcome restart(Context& context, const RestartCommand& command) {
    RLV_TRY(const auto loaded, load(context, command.cluster));
    print_table(context, loaded);
    RLV_TRY(const auto order, ask_restart(context, loaded, command));
    const auto body = restart_body(command, order);
    Report report(context, "restart");
    for (const auto* member : order.members)
        restart_one(context, report, *member, body, command, order.at.has_value());
    return report.exit();
}

Outcome reload(Context& context, const MembersCommand& command) {
    RLV_TRY(const auto loaded, load(context, command.cluster));
    print_table(context, loaded);
    RLV_TRY(const auto members,
            agreed_members(context, loaded, command, "Are you sure you want to reload members {}?",
                           "Reload"));
    Report report(context, "reload");
    for (const auto* member : members) {
        const auto answer = call(context, *member, "POST", "/reload", "", api_deadline);
        if (!answer) {
            report.failure(*member, answer.error());
        } else if (answer->status == 202) {
            context.terminal.out(fmt::format(
                "Reload request received for member {} and will be processed within {} seconds\n",
                member->name, loaded.shown.settings.loop_wait.count()));
        } else if (answer->status == 200) {
            context.terminal.out(fmt::format("No changes to apply on member {}\n", member->name));
        } else {
            report.failure(*member, *answer);
        }
    }
    return report.exit();
}

Outcome reinit(Context& context, const ReinitCommand& command) {
    RLV_TRY(const auto loaded, load(context, command.cluster));
    print_table(context, loaded);
    RLV_TRY(const auto members, reinit_members(context, loaded, command));
    if (members.empty()) return Exit::ok;
    if (!command.force)
        RLV_CHECK(confirm_or_stop(
            context.terminal,
            fmt::format("Are you sure you want to reinitialize members {}?", names_text(members)),
            "Reinitialize"));
    Report report(context, "reinitialize");
    Members begun;
    for (const auto* member : members) {
        RLV_TRY(const bool started, reinit_one(context, report, *member, command));
        if (started) begun.push_back(member);
    }
    if (command.wait) wait_for_reinit(context, begun);
    return report.exit();
}

// A look through a member's data reads all of it, slowly: nobody is asked whether he means it.
Outcome amcheck(Context& context, const AmcheckCommand& command) {
    RLV_TRY(const auto loaded, load(context, command.cluster));
    auto agreed = command;
    agreed.force = true;
    if (agreed.members.empty() && agreed.role == RoleFilter::any) agreed.role = RoleFilter::replica;
    RLV_TRY(const auto members, agreed_members(context, loaded, agreed, "", ""));
    Report report(context, command.cancel ? "end amcheck" : "amcheck");
    for (const auto* member : members) {
        const auto answer = call(context, *member, command.cancel ? "DELETE" : "POST", "/amcheck",
                                 "", api_deadline);
        if (!answer)
            report.failure(*member, answer.error());
        else if (command.cancel && answer->status == 404)
            context.terminal.out(fmt::format("None goes on on member {}\n", member->name));
        else if (answer->status == 202)
            context.terminal.out(
                fmt::format("Member {} looks through its tables and indexes; its log and GET "
                            "/patroni tell how far it is, `relevoctl list` what it finds\n",
                            member->name));
        else if (answer->status == 200)
            report.success(*member);
        else
            report.failure(*member, *answer);
    }
    return report.exit();
}

Outcome flush(Context& context, const MembersCommand& command, FlushTarget target) {
    RLV_TRY(const auto loaded, load(context, command.cluster));
    switch (target) {
        case FlushTarget::restart: return flush_restart(context, loaded, command);
        case FlushTarget::switchover: return flush_switchover(context, loaded);
        case FlushTarget::corruption: return flush_corruption(context, loaded, command);
    }
    return Exit::ok;
}

}  // namespace relevo::ctl
