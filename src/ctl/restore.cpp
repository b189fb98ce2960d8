#include "ctl/restore.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "config/node.h"
#include "ctl/access.h"
#include "ctl/job_text.h"
#include "ctl/restore_parts.h"
#include "ctl/yaml.h"

namespace relevo::ctl {
namespace {

using cluster::MemberRecord;
using config::Node;

constexpr Duration silence_max = std::chrono::minutes(2);
// A plan takes a member up to three looks of 75 s into the repository (agent/restores.cpp).
constexpr Duration plan_deadline = std::chrono::seconds(240);

std::string body_of(const RestoreCommand& command, bool dry_run) {
    auto body = Node::map();
    const auto text = [&](const char* key, const std::string& value) {
        if (!value.empty()) body.set(key, Node::string(value));
    };
    const auto flag = [&](const char* key, bool value) {
        if (value) body.set(key, Node::boolean(true));
    };
    text("to", command.target.time);
    text("to_lsn", command.target.lsn);
    text("to_xid", command.target.xid);
    flag("latest", command.target.latest);
    flag("immediate", command.target.immediate);
    flag("exclusive", command.target.exclusive);
    text("timeline", command.target.timeline);
    text("backup", command.backup);
    text("into", command.into);
    flag("in_place", command.in_place);
    flag("dry_run", dry_run);
    return config::to_json(body);
}

// A replica costs the clients least; then the leader.
Result<std::vector<const MemberRecord*>> who_may(Context& context, const Loaded& loaded,
                                                 const std::string& named) {
    if (!named.empty()) return choose_members(context, loaded, RoleFilter::any, {named});
    auto members = members_with(loaded.snapshot(), RoleFilter::any);
    std::ranges::sort(members, {}, [&](const auto* member) {
        return std::pair(loaded.snapshot().led_by(member->name), member->name);
    });
    if (members.empty())
        return fail(ErrorCode::not_found,
                    fmt::format("cluster {} has no members: a cluster that is lost as a whole is "
                                "made anew with bootstrap.method: pgbackrest",
                                loaded.name()));
    return members;
}

}  // namespace

Result<Answered> ask_to_restore(Context& context, const Loaded& loaded,
                                const RestoreCommand& command, bool dry_run) {
    RLV_TRY(const auto members, who_may(context, loaded, command.member));
    std::string why;
    for (const auto* member : members) {
        const auto answer =
            call(context, *member, "POST", "/restore", body_of(command, dry_run), plan_deadline);
        // Done or not: asked elsewhere, it might be done twice.
        if (!answer && answer.error().code == ErrorCode::outcome_unknown)
            return fail(ErrorCode::outcome_unknown,
                        fmt::format("{}: {}; look at `relevoctl restore --status`", member->name,
                                    answer.error().message));
        const bool knows =
            answer && answer->status != 404 && answer->status != 501 && answer->status != 503;
        if (knows) return Answered{.member = member, .answer = *answer};
        why += fmt::format("\n  {}: {}", member->name,
                           !answer                 ? answer.error().message
                           : answer->status == 501 ? "its agent restores nothing: it is Patroni's, "
                                                     "or an older one"
                                                   : std::string(trim(answer->body)));
    }
    return fail(ErrorCode::unavailable, "no member can restore from the repository:" + why);
}

namespace {

std::string moment(const Node& node, const char* key) {
    const auto time = parse_iso(text_of(node, key));
    return time ? cluster::time_text(time->time) : std::string();
}

std::string window_text(const Node& window) {
    const auto until = moment(window, "until");
    auto out = fmt::format("from {} (the end of backup {}) to {} ({}, timeline {})",
                           moment(window, "from"), text_of(window, "backup"),
                           until.empty() ? text_of(window, "until_lsn") : until,
                           text_of(window, "last_segment"), text_of(window, "timeline"));
    if (const auto missing = text_of(window, "missing"); !missing.empty())
        out += fmt::format("; {} is missing", missing);
    return out;
}

std::string lines_of(const Node& plan, const char* key, const char* title,
                     std::string (*text)(const Node&)) {
    const auto* list = plan.find(key);
    std::string out;
    for (const auto& one : list != nullptr ? list->items : std::vector<Node>())
        out += fmt::format("  {:<11}{}\n", out.empty() ? title : "", text(one));
    return out;
}

}  // namespace

std::string plan_text(const Loaded& loaded, const Node& shown) {
    const auto* const plan = shown.find("plan");
    if (plan == nullptr) return {};
    std::string out = fmt::format("Restore of cluster {} to {}, by {}\n", loaded.name(),
                                  text_of(*plan, "target"), text_of(shown, "member"));
    if (const auto* backup = plan->find("backup"))
        out += fmt::format("  {:<11}{}, {}, ended {} (timeline {}, {})\n",
                           "Backup:", text_of(*backup, "label"), text_of(*backup, "type"),
                           moment(*backup, "stopped"), text_of(*backup, "timeline"),
                           bytes_text(number_of(*backup, "database_bytes").value_or(0)));
    if (const auto* recovery = plan->find("recovery"))
        out += fmt::format("  {:<11}along timeline {}; the archive has {} segments from {} to {}\n",
                           "Recovery:", text_of(*plan, "timeline"), text_of(*recovery, "segments"),
                           text_of(*recovery, "first_segment"), text_of(*recovery, "last_segment"));
    out += lines_of(*plan, "windows", "Reachable:", window_text);
    out += lines_of(*plan, "notes", "Note:", [](const Node& note) {
        return config::scalar_text(note).value_or("");
    });
    return out;
}

std::string restore_problem(const HttpAnswer& answer) {
    if (const auto shown = config::parse_json(answer.body))
        if (const auto* plan = shown->find("plan"))
            if (const auto problem = text_of(*plan, "problem"); !problem.empty()) return problem;
    return std::string(trim(answer.body));
}

// ---- one that goes on

namespace {

std::string state_text(const Node& state) {
    const auto word = text_of(state, "state"), member = text_of(state, "member");
    const auto into = text_of(state, "into");
    if (word == "none") return fmt::format("{} restored nothing yet", member);
    const auto what = fmt::format("restore of {} (backup {}) into {} on {}",
                                  text_of(state, "target"), text_of(state, "backup"), into, member);
    if (word == "running") return what + ": " + progress_text(state);
    const auto took = duration_text(number_of(state, "elapsed_s").value_or(0));
    if (word == "done") return fmt::format("{} is done, in {}", what, took);
    return fmt::format("{} failed after {}: {}", what, took, text_of(state, "result"));
}

}  // namespace

Result<Node> restore_state(Context& context, const MemberRecord& member) {
    RLV_TRY(const auto answer,
            call(context, member, "GET", "/restore", "", std::chrono::seconds(5)));
    RLV_TRY(auto state, parsed(answer, 200));
    if (state.find("state") == nullptr || state.find("member") == nullptr)
        return fail(ErrorCode::not_found, "it restores nothing: is it an agent of relevo?");
    return state;
}

namespace {

// What to do with the directory, in the order in which one does it. {0}: the directory, {1}: the
// member, {2}: the cluster.
constexpr const char* steps = R"text(
{0} on {1}'s host is a data directory of its own. It recovers to the target when it is
started, and is writable then. Nothing of it is archived, and no commit of it waits for a standby.
As the user that PostgreSQL runs as, on a port of its own:

  pg_ctl -D {0} -o "-p 5433 -c listen_addresses=localhost" -l {0}.log -w -t 3600 start
  psql -p 5433 -d postgres -c "select pg_is_in_recovery()"    # f: it is at the target

To make a cluster of it, give it an agent while it runs, with a scope and a stanza of its own:

  scope: {2}-restored
  name: {2}-restored-1
  etcd3: {{hosts: ...}}                  # as in {1}'s configuration
  restapi: {{listen: "0.0.0.0:8009", connect_address: "HOST:8009"}}
  postgresql:
    data_dir: {0}
    listen: "0.0.0.0:5433"
    connect_address: "HOST:5433"
    authentication: ...                # as in {1}'s configuration
  backup:
    stanza: {2}-restored               # never {2}'s own: two clusters would archive into one
    options: ...                       # as in {1}'s configuration

When it leads, let it archive, and wait for standbys if it shall:

  ALTER SYSTEM RESET archive_mode; ALTER SYSTEM RESET archive_command;
  ALTER SYSTEM RESET max_logical_replication_workers;
  ALTER SYSTEM RESET synchronous_standby_names;        -- then relevoctl restart {2}-restored
)text";

std::string next_steps(const Loaded& loaded, const Node& state) {
    return fmt::format(steps, text_of(state, "into"), text_of(state, "member"), loaded.name());
}

Outcome wait_for_end(Context& context, const Loaded& loaded, const MemberRecord& member, Node state,
                     bool json) {
    ProgressLine line(context.terminal, json);
    const Instant began = context.clock.now();
    Instant heard = began;
    const auto begun = text_of(state, "begun");
    while (text_of(state, "state") == "running") {
        line.show(state_text(state), text_of(state, "state"));
        pause_before_next_look(context.clock, began);
        auto shown = restore_state(context, member);
        if (shown) {
            heard = context.clock.now();
            state = *std::move(shown);
        } else if (context.clock.now() - heard > silence_max) {
            return fail(ErrorCode::outcome_unknown,
                        "what became of the restore is not known: " + shown.error().message);
        }
    }
    line.clear();
    if (text_of(state, "begun") != begun)
        return fail(ErrorCode::outcome_unknown,
                    fmt::format("{}'s agent knows nothing of this restore any more: it was "
                                "restarted; what it left in the directory is marked as half made, "
                                "and the next restore into it begins anew",
                                member.name));
    if (json) context.terminal.out(to_spaced_json(state) + "\n");
    if (text_of(state, "state") != "done") return fail(ErrorCode::failed, state_text(state));
    if (!json)
        context.terminal.out("Success: " + state_text(state) + "\n" + next_steps(loaded, state));
    return Exit::ok;
}

Outcome show_states(Context& context, const Loaded& loaded, const RestoreCommand& command) {
    RLV_TRY(const auto members, who_may(context, loaded, command.member));
    auto all = Node::list();
    std::string text, why;
    for (const auto* member : members) {
        auto state = restore_state(context, *member);
        if (!state) {
            why += fmt::format("{}: {}\n", member->name, state.error().message);
            continue;
        }
        text += state_text(*state) + "\n";
        all.items.push_back(*std::move(state));
    }
    if (all.items.empty())
        return fail(ErrorCode::unavailable, "no member answers:\n" + std::string(trim(why)));
    context.terminal.out(command.format == "json" ? to_spaced_json(all) + "\n"
                                                  : text + in_place_text(loaded.snapshot()));
    context.terminal.err(why);
    return Exit::ok;
}

Outcome cancel(Context& context, Loaded& loaded, const RestoreCommand& command) {
    if (auto in_place = cancel_in_place(context, loaded, command)) return *std::move(in_place);
    RLV_TRY(const auto members, who_may(context, loaded, command.member));
    int ended = 0;
    std::string why;
    for (const auto* member : members) {
        const auto answer = call(context, *member, "DELETE", "/restore", "", api_deadline);
        if (answer && answer->status == 200) {
            context.terminal.out(fmt::format("{}: {}\n", member->name, trim(answer->body)));
            ++ended;
        } else if (!answer || answer->status != 404) {
            why += "\n" + (answer ? failure_line("cancel restore", member->name, *answer)
                                  : failure_line("cancel restore", member->name, answer.error()));
        }
    }
    if (ended > 0) return Exit::ok;
    return fail(ErrorCode::not_found, "no restore goes on" + std::string(trim(why)));
}

Status check_words(const RestoreCommand& command) {
    RLV_TRY([[maybe_unused]] const auto target, cluster::target_of(command.target));
    if (command.in_place && !command.into.empty())
        return fail(ErrorCode::invalid,
                    "a restore is either in place (--in-place) or into a directory "
                    "(--into-new-cluster): name one of them");
    if (!command.into.empty() && !command.into.starts_with('/'))
        return fail(ErrorCode::invalid,
                    "--into-new-cluster wants an absolute path on the member's host, as in "
                    "/srv/restored");
    return {};
}

}  // namespace

Outcome restore(Context& context, const RestoreCommand& command) {
    const bool begins = !command.status && !command.cancel;
    if (begins) RLV_CHECK(check_words(command));
    RLV_TRY(auto loaded, load(context, command.cluster));
    if (command.status) return show_states(context, loaded, command);
    if (command.cancel) return cancel(context, loaded, command);

    if (command.in_place) return restore_in_place(context, loaded, command);
    const bool json = command.format == "json";
    RLV_TRY(const auto answered, ask_to_restore(context, loaded, command, command.dry_run));
    const auto& answer = answered.answer;
    if (answer.status != 200 && answer.status != 202)
        return fail(answer.status == 400 ? ErrorCode::invalid : ErrorCode::failed,
                    fmt::format("{}: {}", answered.member->name, restore_problem(answer)));
    RLV_TRY(const auto shown, config::parse_json(answer.body));
    if (answer.status == 200) {
        const auto* const plan = shown.find("plan");
        const auto problem = plan != nullptr ? text_of(*plan, "problem") : std::string();
        context.terminal.out(json ? to_spaced_json(shown) + "\n" : plan_text(loaded, shown));
        if (!problem.empty()) return fail(ErrorCode::failed, problem);
        if (!json)
            context.terminal.out(command.into.empty()
                                     ? "Nothing was restored: --into-new-cluster DIR does it\n"
                                     : "Nothing was restored: this was a dry run\n");
        return Exit::ok;
    }
    if (command.no_wait) {
        context.terminal.out(json ? to_spaced_json(shown) + "\n"
                                  : fmt::format("Success: {}; `relevoctl restore --status {}` "
                                                "shows how it goes\n",
                                                state_text(shown), loaded.name()));
        return Exit::ok;
    }
    return wait_for_end(context, loaded, *answered.member, shown, json);
}

}  // namespace relevo::ctl
