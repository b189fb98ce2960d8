#include "ctl/backup_jobs.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"
#include "config/node.h"
#include "ctl/access.h"
#include "ctl/dialogue.h"
#include "ctl/job_text.h"
#include "ctl/table.h"
#include "ctl/yaml.h"

namespace relevo::ctl {
namespace {

using config::Node;

// A failover in the middle, or an etcd without a leader, is waited out.
constexpr Duration silence_max = std::chrono::minutes(2);
// pgBackRest reads the whole list of backups, perhaps from far away.
constexpr Duration expire_deadline = std::chrono::minutes(5);

std::string name_of(const Node& job) {
    const auto what = text_of(job, "what");
    if (what == "proof") return "proof of restore";
    return what == "expire" || what == "verify" ? what : what + " backup";
}

std::string state_text(const Node& job) {
    const auto state = text_of(job, "state"), member = text_of(job, "member");
    const auto name = name_of(job);
    if (state == "requested")
        return name +
               (member.empty() ? ": no member is chosen yet" : ": " + member + " is to begin");
    if (state == "running") {
        const auto progress = progress_text(job);
        const auto stop = text_of(job, "stop");
        return fmt::format("{} on {}{}{}", name, member, progress.empty() ? "" : ": " + progress,
                           stop.empty() ? "" : "; it ends: " + stop);
    }
    if (state == "done") {
        const auto label = text_of(job, "label");
        const auto took = number_of(job, "elapsed_s");
        return fmt::format("{}{} by {}{}", name, label.empty() ? "" : " " + label, member,
                           took ? " in " + duration_text(*took) : "");
    }
    return fmt::format("{}{} {}: {}", name, member.empty() ? "" : " on " + member,
                       text_of(job, "interrupted") == "true" ? "was interrupted" : "failed",
                       text_of(job, "result"));
}

// From the member named, which may be the one that runs it; else from any.
Result<Node> schedule_of(Context& context, const Loaded& loaded, const std::string& from) {
    constexpr Duration deadline = std::chrono::seconds(5);
    constexpr const char* path = "/backup/schedule";
    const auto* member = from.empty() ? nullptr : loaded.snapshot().member(from);
    if (member != nullptr) {
        const auto answer = call(context, *member, "GET", path, "", deadline);
        if (answer && answer->status == 200) return config::parse_json(answer->body);
    }
    RLV_TRY(const auto answered, call_any(context, loaded, "GET", path, ""));
    return parsed(answered.answer, 200);
}

bool is_over(const Node& job) {
    const auto state = text_of(job, "state");
    // An interrupted one is made again by whoever leads, unless somebody had it ended.
    return state == "done" || (state == "failed" && (text_of(job, "interrupted") != "true" ||
                                                     !text_of(job, "stop").empty()));
}

Result<Node> wait_for_end(Context& context, Loaded& loaded, const std::string& id, bool quiet) {
    ProgressLine line(context.terminal, quiet);
    std::string runner;
    const Instant began = context.clock.now();
    Instant heard = began;
    while (true) {
        const auto shown = schedule_of(context, loaded, runner);
        if (shown) {
            heard = context.clock.now();
            const auto* job = shown->find("job");
            if (job == nullptr || text_of(*job, "id") != id)
                return fail(ErrorCode::conflict,
                            "another job took its place: look at `relevoctl backup schedule` and "
                            "`relevoctl backup list`");
            auto waits = is_over(*job) ? std::string() : text_of(*shown, "waits");
            if (waits == text_of(*job, "result")) waits.clear();
            line.show(state_text(*job) + (waits.empty() ? "" : "; " + waits),
                      text_of(*job, "state") + text_of(*job, "member") + text_of(*job, "attempts") +
                          waits);
            if (is_over(*job)) return *job;
            runner = text_of(*job, "state") == "running" ? text_of(*job, "member") : "";
        } else if (context.clock.now() - heard > silence_max) {
            return fail(ErrorCode::outcome_unknown,
                        "what became of the backup is not known: " + shown.error().message);
        } else {
            (void)refresh(context, loaded);  // who leads may be another one now
        }
        pause_before_next_look(context.clock, began);
    }
}

Outcome report_end(Context& context, const Node& job, bool json) {
    if (json) context.terminal.out(to_spaced_json(job) + "\n");
    if (text_of(job, "state") != "done") return fail(ErrorCode::failed, state_text(job));
    if (!json) {
        context.terminal.out("Success: " + state_text(job) + "\n");
        const auto result = text_of(job, "result");
        if (!result.empty()) context.terminal.out("  " + result + "\n");
    }
    return Exit::ok;
}

std::string time_text(Context& context, const Node& node, const char* key) {
    const auto time = parse_iso(text_of(node, key));
    return time ? local_text(time->time, context.clock) : "";
}

std::string proof_took(const Node& proof) {
    const auto ms = number_of(proof, "took_ms");
    if (!ms || *ms <= 0) return "";
    constexpr double minute_ms = 60'000;
    return *ms < minute_ms ? fmt::format("{:.1f} s", *ms / 1000) : duration_text(*ms / 1000);
}

std::vector<Cell> proof_row(Context& context, const Node& proof) {
    const bool ok = text_of(proof, "ok") == "true";
    const auto age = number_of(proof, "newest_age_s");
    const auto left_out = text_of(proof, "unchecked");
    return {{time_text(context, proof, "begun")},
            {text_of(proof, "backup")},
            {text_of(proof, "member")},
            {proof_took(proof)},
            {text_of(proof, "restored_to")},
            {age ? duration_text(*age) + " old" : ""},
            ok ? Cell{left_out.empty() ? "ok" : "ok, in part", Tone::good}
               : Cell{"failed: " + text_of(proof, "step"), Tone::bad}};
}

// What a table has no room for, of the newest.
std::string proof_details(const Node& proof) {
    std::string out;
    if (const auto result = text_of(proof, "result"); !result.empty())
        out += "Last:        " + result + "\n";
    if (const auto left_out = text_of(proof, "unchecked"); !left_out.empty())
        out += "Not checked: " + left_out + "\n";
    return out;
}

std::string proofs_text(Context& context, const Node& shown) {
    Table table;
    table.title = "Proofs of restore: " + text_of(shown, "cluster");
    table.columns = {{"Begun"},       {"Backup"},
                     {"Member"},      {"Took", Align::right},
                     {"Restored to"}, {"Newest transaction"},
                     {"Result"}};
    const auto* proofs = shown.find("proofs");
    for (const auto& proof : proofs->items) table.rows.push_back(proof_row(context, proof));
    std::string out;
    if (table.rows.empty())
        out = "No backup was proven to restore yet: `relevoctl backup prove --wait` does it now\n";
    else
        out = draw(table, context.terminal.colour()) + proof_details(proofs->items.front());
    const auto next = time_text(context, shown, "next");
    return out + (next.empty() ? "Schedule:    none (backup.proof.schedule)\n"
                               : fmt::format("Schedule:    {}; the next one is due {}\n",
                                             text_of(shown, "schedule"), next));
}

Table schedule_table(Context& context, const Node& shown) {
    Table table;
    table.title = fmt::format("Cluster: {} (schedule in {}, from {})", text_of(shown, "cluster"),
                              text_of(shown, "timezone"), text_of(shown, "from"));
    table.columns = {{"Backup"}, {"Schedule"}, {"Was due"}, {"Next"}};
    const auto* entries = shown.find("schedule");
    for (const auto& entry : entries != nullptr ? entries->items : std::vector<Node>())
        table.rows.push_back({{text_of(entry, "type")},
                              {text_of(entry, "cron")},
                              {time_text(context, entry, "last")},
                              {time_text(context, entry, "next")}});
    return table;
}

}  // namespace

Outcome backup_run(Context& context, const BackupRunCommand& command) {
    RLV_TRY(auto loaded, load(context, command.cluster));
    auto body = Node::map();
    body.set("type", Node::string(command.type));
    RLV_TRY(const auto answered,
            call_any(context, loaded, "POST", "/backup", config::to_json(body)));
    RLV_TRY(const auto job, parsed(answered.answer, 202));
    const bool json = command.format == "json";
    if (command.wait) {
        RLV_TRY(const auto end, wait_for_end(context, loaded, text_of(job, "id"), json));
        return report_end(context, end, json);
    }
    context.terminal.out(
        json ? to_spaced_json(job) + "\n"
             : fmt::format("Success: {} asked for; `relevoctl backup schedule {}` shows how "
                           "it goes\n",
                           name_of(job), loaded.name()));
    return Exit::ok;
}

Outcome backup_prove(Context& context, const BackupProveCommand& command) {
    if (!command.cancel)
        return backup_run(context, {{command.cluster, command.format}, "proof", command.wait});
    RLV_TRY(auto loaded, load(context, command.cluster));
    RLV_TRY(const auto answered,
            call_any(context, loaded, "POST", "/backup", R"({"type":"proof","cancel":true})"));
    RLV_TRY(const auto job, parsed(answered.answer, 202));
    context.terminal.out(command.format == "json" ? to_spaced_json(job) + "\n"
                                                  : "Success: the proof of restore ends\n");
    return Exit::ok;
}

Outcome backup_proofs(Context& context, const BackupCommand& command) {
    RLV_TRY(const auto loaded, load(context, command.cluster));
    RLV_TRY(const auto answered, call_any(context, loaded, "GET", "/backup/proofs", ""));
    RLV_TRY(const auto shown, parsed(answered.answer, 200));
    const auto* proofs = shown.find("proofs");
    if (proofs == nullptr || !proofs->is(Node::Kind::list))
        return fail(ErrorCode::failed,
                    "the member knows no proofs of restore: is it an older agent, or Patroni's?");
    context.terminal.out(command.format == "json" ? to_spaced_json(shown) + "\n"
                                                  : proofs_text(context, shown));
    return Exit::ok;
}

Outcome backup_schedule(Context& context, const BackupCommand& command) {
    RLV_TRY(const auto loaded, load(context, command.cluster));
    RLV_TRY(auto shown, schedule_of(context, loaded, ""));
    // Who runs it knows best how far it is.
    if (const auto* job = shown.find("job"); job != nullptr && text_of(*job, "state") == "running")
        if (auto there = schedule_of(context, loaded, text_of(*job, "member")))
            shown = *std::move(there);
    if (command.format == "json") {
        context.terminal.out(to_spaced_json(shown) + "\n");
        return Exit::ok;
    }
    context.terminal.out(draw(schedule_table(context, shown), context.terminal.colour()));
    const auto* job = shown.find("job");
    if (job == nullptr) {
        context.terminal.out("No backup was made yet.\n");
    } else {
        const auto state = text_of(*job, "state");
        const bool active = state == "requested" || state == "running";
        context.terminal.out(fmt::format(
            "{} {} (asked for by {})\n", active ? "Now:     " : "Last job:", state_text(*job),
            text_of(*job, "requested_by") == "schedule" ? "the schedule" : "an operator"));
    }
    if (const auto why = text_of(shown, "waits"); !why.empty())
        context.terminal.out("Waits:    " + why + "\n");
    return Exit::ok;
}

Outcome backup_expire(Context& context, const BackupExpireCommand& command) {
    RLV_TRY(auto loaded, load(context, command.cluster));
    const auto leaders = members_with(loaded.snapshot(), RoleFilter::leader);
    if (leaders.empty())
        return fail(
            ErrorCode::unavailable,
            fmt::format("nobody leads cluster {}: look at `relevoctl list`", loaded.name()));
    const bool json = command.format == "json";
    RLV_TRY(const auto answer,
            call(context, *leaders.front(), "POST", "/backup/expire",
                 command.dry_run ? R"({"dry_run":true})" : "{}", expire_deadline));
    if (!command.dry_run) {
        RLV_TRY(const auto job, parsed(answer, 202));
        RLV_TRY(const auto end, wait_for_end(context, loaded, text_of(job, "id"), json));
        return report_end(context, end, json);
    }
    if (answer.status != 200) {
        RLV_TRY(const auto unexpected, parsed(answer, 200));
        return fail(ErrorCode::failed, config::to_json(unexpected));
    }
    if (!json) {
        context.terminal.out(answer.body);
        return Exit::ok;
    }
    auto lines = Node::list();
    for (const auto& line : split(answer.body, '\n'))
        if (!line.empty() && !line.starts_with("nothing would"))
            lines.items.push_back(Node::string(line));
    context.terminal.out(to_spaced_json(lines) + "\n");
    return Exit::ok;
}

}  // namespace relevo::ctl
