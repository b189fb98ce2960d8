// `relevoctl restore --in-place`: the plan, the question, and the wait. All that goes on is in the
// record in the DCS (docs/adr/0020), so that anybody can look at it and call it off from anywhere.
#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "cluster/keys.h"
#include "ctl/dialogue.h"
#include "ctl/job_text.h"
#include "ctl/restore_parts.h"
#include "ctl/yaml.h"

namespace relevo::ctl {
namespace {

using cluster::Restoration;
using config::Node;
using Phase = Restoration::Phase;

// The member that restores may be restarted, and goes on; its host boots within this.
constexpr Duration silence_max = std::chrono::minutes(5);

std::string place_text(const Node& place, const std::string& member) {
    std::string stops;
    if (const auto* list = place.find("stops"))
        for (const auto& one : list->items)
            stops += (stops.empty() ? "" : ", ") + config::scalar_text(one).value_or("");
    return fmt::format(
        "  {:<11}{} (leader: {}): nobody reads or writes until it is restored\n"
        "  {:<11}{}'s data directory becomes {}\n"
        "  {:<11}the others' likewise, when they are cloned from {}; nothing removes them but "
        "you\n",
        "Stops:", stops, text_of(place, "leader"), "Kept:", member, text_of(place, "aside"), "",
        member);
}

// Of the members that are there, those that are of the restored cluster.
struct Joined {
    std::size_t followers = 0, others = 0;
    bool leads = false;
};
Joined joined(const cluster::Snapshot& now, const Restoration& r) {
    Joined out;
    for (const auto& [name, member] : now.members) {
        const bool there = member.running() && member.timeline >= r.timeline;
        if (now.led_by(name)) {
            out.leads = there && member.role == cluster::Role::primary;
            continue;
        }
        ++out.others;
        if (there && member.replication_state == "streaming") ++out.followers;
    }
    return out;
}

std::string what_text(const Restoration& r) {
    return fmt::format("restore in place to {} (backup {}) by {}", describe(r.target), r.backup,
                       r.member);
}

// How it stands: what a log needs a line for, and the rest of the sentence.
std::string stands(const cluster::Snapshot& now, const Restoration& r) {
    switch (r.phase) {
        case Phase::stopping: return "the leader stops";
        case Phase::restoring:
            if (!now.member(r.member))
                return fmt::format(
                    "{} is not there; it goes on when it is back, and `relevoctl "
                    "restore --cancel` takes the cluster back to its old data",
                    r.member);
            return now.member(r.member)->state == cluster::State::starting ? "recovery"
                                                                           : "restoring";
        case Phase::restored: {
            const auto all = joined(now, r);
            if (!now.leader) return "restored, and nobody leads";
            return fmt::format("restored, {} leads; {} of {} members follow", now.leader->name,
                               all.followers, all.others);
        }
        case Phase::cancelled: return "cancelled: " + r.problem;
        case Phase::unreadable: return "the key `restore` cannot be read";
    }
    return {};
}

// How many bytes there are of it, as its member says.
std::string progress_of(Context& context, const cluster::Snapshot& now, const Restoration& r) {
    const auto* member = now.member(r.member);
    if (r.phase != Phase::restoring || member == nullptr) return {};
    const auto state = restore_state(context, *member);
    if (!state) return {};
    const auto* place = state->find("in_place");
    if (place == nullptr || place->find("done_bytes") == nullptr) return {};
    return ": " + progress_text(*place);
}

std::string kept_text(const Restoration& r) {
    return fmt::format(
        "What was there before is kept beside each data directory. When it is not needed any "
        "more, on each\nhost:\n\n  rm -r DATA{}\n",
        cluster::aside_suffix(r.id));
}

Outcome ended(Context& context, Loaded& loaded, const Restoration& r, bool json) {
    if (json) context.terminal.out(to_json(r) + "\n");
    if (r.phase == Phase::cancelled)
        return fail(ErrorCode::failed,
                    fmt::format("{} was called off, and the cluster goes on with its old data: {}",
                                what_text(r), r.problem));
    if (json) return Exit::ok;
    context.terminal.out("Success: " + what_text(r) + " is done\n");
    print_table(context, loaded);
    context.terminal.out(kept_text(r));
    return Exit::ok;
}

Outcome wait_for_end(Context& context, Loaded& loaded, const std::string& id, bool json) {
    ProgressLine line(context.terminal, json);
    const Instant began = context.clock.now();
    Instant heard = began;
    for (;;) {
        const auto read = refresh(context, loaded);
        if (read) {
            const auto& now = loaded.snapshot();
            if (!now.restoration || now.restoration->id != id) {
                line.clear();
                return fail(ErrorCode::outcome_unknown,
                            "another restore in place has begun since, or the record was removed: "
                            "look at `relevoctl restore --status`");
            }
            const auto& r = *now.restoration;
            const auto all = joined(now, r);
            const bool over =
                r.phase == Phase::cancelled ||
                (r.phase == Phase::restored && all.leads && all.followers == all.others);
            if (over) {
                line.clear();
                return ended(context, loaded, r, json);
            }
            const auto how = stands(now, r);
            line.show(what_text(r) + ": " + how + progress_of(context, now, r), how);
            if (r.phase != Phase::restoring || now.member(r.member)) heard = context.clock.now();
        }
        if (context.clock.now() - heard > silence_max) {
            line.clear();
            return fail(ErrorCode::outcome_unknown,
                        read ? stands(loaded.snapshot(), *loaded.snapshot().restoration)
                             : "the DCS does not answer: " + read.error().message);
        }
        pause_before_next_look(context.clock, began);
    }
}

Status confirm_it(Context& context, const Loaded& loaded, const Node& plan) {
    return confirm_or_stop(
        context.terminal,
        fmt::format("Are you sure you want to replace the data of cluster {} by what it was at {}? "
                    "What was written since is not in it",
                    loaded.name(), text_of(plan, "target")),
        "Restore");
}

}  // namespace

Outcome restore_in_place(Context& context, Loaded& loaded, const RestoreCommand& command) {
    const bool json = command.format == "json";
    const auto refused = [](const Answered& answered) {
        return fail(answered.answer.status == 400 ? ErrorCode::invalid : ErrorCode::failed,
                    fmt::format("{}: {}", answered.member->name, restore_problem(answered.answer)));
    };
    RLV_TRY(const auto planned, ask_to_restore(context, loaded, command, true));
    if (planned.answer.status != 200) return refused(planned);
    RLV_TRY(const auto shown, config::parse_json(planned.answer.body));
    const auto* plan = shown.find("plan");
    const auto* place = shown.find("in_place");
    if (plan == nullptr) return refused(planned);
    if (!text_of(*plan, "problem").empty())
        return fail(ErrorCode::failed, text_of(*plan, "problem"));
    if (place == nullptr)
        return fail(ErrorCode::failed,
                    planned.member->name + "'s agent does not know of restores in place");
    const auto by = planned.member->name;
    if (json && command.dry_run) {
        context.terminal.out(to_spaced_json(shown) + "\n");
        return Exit::ok;
    }
    if (!json) context.terminal.out(plan_text(loaded, shown) + place_text(*place, by));
    if (command.dry_run) {
        context.terminal.out("Nothing was stopped or restored: this was a dry run\n");
        return Exit::ok;
    }
    if (!command.force) RLV_CHECK(confirm_it(context, loaded, *plan));

    auto order = command;
    order.member = by;  // what was shown is its plan
    RLV_TRY(const auto taken, ask_to_restore(context, loaded, order, false));
    if (taken.answer.status != 202) return refused(taken);
    RLV_TRY(const auto begun, config::parse_json(taken.answer.body));
    const auto* record = begun.find("in_place");
    const auto id = record != nullptr ? text_of(*record, "id") : std::string();
    if (command.no_wait) {
        context.terminal.out(
            json ? to_spaced_json(begun) + "\n"
                 : fmt::format("Success: {} begins; `relevoctl restore --status {}` "
                               "shows how it goes, and --cancel ends it\n",
                               id, loaded.name()));
        return Exit::ok;
    }
    return wait_for_end(context, loaded, id, json);
}

std::string in_place_text(const cluster::Snapshot& snapshot) {
    if (!snapshot.restoration) return {};
    const auto& r = *snapshot.restoration;
    if (r.phase == Phase::unreadable) return stands(snapshot, r) + "\n";
    return fmt::format("{}: {}\n", what_text(r), stands(snapshot, r));
}

std::optional<Outcome> cancel_in_place(Context& context, Loaded& loaded,
                                       const RestoreCommand& command) {
    const auto& now = loaded.snapshot();
    if (!now.restoration) return std::nullopt;
    auto r = *now.restoration;
    const bool lost = r.phase == Phase::restored && !now.leader;
    if (!r.goes_on() && !lost) return std::nullopt;
    if (lost && !command.force) {
        const auto sure = confirm_or_stop(
            context.terminal,
            fmt::format("{} restored cluster {} and is gone, and nobody else has what it restored. "
                        "Are you sure you want to go back to the data from before the restore? "
                        "What was written since is not in it",
                        r.member, loaded.name()),
            "Cancel");
        if (!sure) return Outcome(std::unexpected(sure.error()));
    }
    r.phase = Phase::cancelled;
    r.problem = "an operator cancelled it";
    const auto written = loaded.store->commit(cluster::keys::cancel_restore(r, lost));
    if (!written) return Outcome(std::unexpected(written.error()));
    if (!written->succeeded)
        return Outcome(fail(ErrorCode::conflict,
                            "it has just gone on: look at `relevoctl restore "
                            "--status`, and try again"));
    context.terminal.out(what_text(r) + " is cancelled: the cluster goes on with its old data\n");
    return Outcome(Exit::ok);
}

}  // namespace relevo::ctl
