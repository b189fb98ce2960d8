#include "ctl/backup.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <optional>

#include "base/text.h"
#include "ctl/dialogue.h"
#include "ctl/table.h"

namespace relevo::ctl {
namespace {

using config::Node;

// A member gives its repository 75 s to answer, a check 180 s and two looks (agent/backups.cpp).
constexpr Duration list_deadline = std::chrono::seconds(90);
constexpr Duration check_deadline = std::chrono::seconds(340);

// The leader comes first, then by name.
std::vector<const cluster::MemberRecord*> in_order(const Loaded& loaded) {
    auto members = members_with(loaded.snapshot(), RoleFilter::any);
    std::ranges::sort(members, {}, [&](const auto* member) {
        return std::pair(!loaded.snapshot().led_by(member->name), member->name);
    });
    return members;
}

std::string text(const Node& from, std::string_view key) {
    const auto* found = from.find(key);
    return found != nullptr && found->is_scalar() ? found->text : std::string();
}

std::int64_t number(const Node& from, std::string_view key) {
    return parse_decimal(text(from, key)).value_or(0);
}

const std::vector<Node>& items(const Node& from, std::string_view key) {
    static const std::vector<Node> none;
    const auto* found = from.find(key);
    return found != nullptr ? found->items : none;
}

std::string took_text(const Node& backup) {
    const auto from = parse_iso(text(backup, "started"));
    const auto to = parse_iso(text(backup, "stopped"));
    if (!from || !to || to->time < from->time) return {};
    const auto s = std::chrono::duration_cast<std::chrono::seconds>(to->time - from->time).count();
    return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

std::string finished_text(const Node& backup, Clock& clock) {
    const auto at = parse_iso(text(backup, "stopped"));
    return at ? local_text(at->time, clock) : std::string();
}

std::string errors_text(const Node& backup) {
    const auto said = text(backup, "page_errors");
    return said == "true" ? "pages" : said == "false" ? "none" : "?";
}

Records records_of(const Node& repository) {
    Records out{.names = {"Label", "Type", "Started", "Finished", "TL", "WAL start", "WAL stop",
                          "Database", "Copied", "Stored", "Repository", "Page errors"},
                .rows = {}};
    for (const Node& backup : items(repository, "backups")) {
        const auto errors = text(backup, "page_errors");
        out.rows.push_back(
            {text_field(text(backup, "label")), text_field(text(backup, "type")),
             text_field(text(backup, "started")), text_field(text(backup, "stopped")),
             number_field(number(backup, "timeline")), text_field(text(backup, "wal_start")),
             text_field(text(backup, "wal_stop")), number_field(number(backup, "database_bytes")),
             number_field(number(backup, "copied_bytes")),
             number_field(number(backup, "stored_bytes")),
             number_field(number(backup, "repository")), Field{errors, errors}});
    }
    return out;
}

// "12 s", "4 min", "3 h", "2 days".
std::string age_text(std::chrono::seconds age) {
    const auto s = age.count();
    if (s < 120) return fmt::format("{} s", s);
    if (s < 2 * 3600) return fmt::format("{} min", s / 60);
    return s < 48 * 3600 ? fmt::format("{} h", s / 3600) : fmt::format("{} days", s / 86400);
}

// What would be lost with all members now.
std::string archiving_text(const Node& repository) {
    const auto* archiving = repository.find("archiving");
    if (archiving == nullptr) return {};
    const auto missing = std::chrono::milliseconds(number(*archiving, "missing_ms"));
    std::string out = missing.count() == 0
                          ? "Every transaction is in the repository"
                          : fmt::format("Not in the repository: the transactions of the last {}",
                                        age_text(std::chrono::ceil<std::chrono::seconds>(missing)));
    if (const auto waiting = number(*archiving, "waiting_segments"); waiting > 0)
        out += fmt::format("; {} WAL segment{} wait{}", waiting, waiting == 1 ? "" : "s",
                           waiting == 1 ? "s" : "");
    if (const auto failing = text(*archiving, "failing"); !failing.empty())
        out += fmt::format("; archive_command fails for {} (PostgreSQL's log says why)", failing);
    if (text(*archiving, "queue_full") == "true")
        out += "; as much waits as may (archive_queue_max): the oldest of it is dropped";
    if (const auto* hole = archiving->find("hole"))
        out += fmt::format(
            "\nWAL is missing behind backup {} ({} segment{} from {} to {}): what came after that "
            "cannot be restored until there is a new backup",
            text(*hole, "after"), number(*hole, "segments"),
            number(*hole, "segments") == 1 ? "" : "s", text(*hole, "first"), text(*hole, "last"));
    return out + "\n";
}

std::string age_of_newest(const Node& repository, Context& context) {
    std::string out;
    const auto tell = [&](const char* what, bool full_only) {
        std::optional<WallTime> newest;
        for (const Node& backup : items(repository, "backups")) {
            const auto at = parse_iso(text(backup, "stopped"));
            if (!at || (full_only && text(backup, "type") != "full")) continue;
            newest = std::max(newest.value_or(at->time), at->time);
        }
        if (!newest) return;
        const auto age = std::chrono::floor<std::chrono::seconds>(context.clock.wall() - *newest);
        out += fmt::format("{} {} ago", what, age_text(std::max(age, std::chrono::seconds(0))));
    };
    tell("The newest backup ended", false);
    tell(", the newest full one", true);
    return out.empty() ? out : out + "\n";
}

std::string pretty(const Node& repository, Context& context) {
    const auto status = text(repository, "status");
    Table table{.title = fmt::format("Backups: {} ({})", text(repository, "stanza"),
                                     status.empty() ? "ok" : status),
                .columns = {{"Label", Align::left},
                            {"Type", Align::left},
                            {"Finished", Align::left},
                            {"Took", Align::right},
                            {"TL", Align::right},
                            {"Database", Align::right},
                            {"Stored", Align::right},
                            {"Errors", Align::left}},
                .rows = {}};
    for (const Node& backup : items(repository, "backups")) {
        const auto errors = errors_text(backup);
        table.rows.push_back({{text(backup, "label"), Tone::plain},
                              {text(backup, "type"), Tone::plain},
                              {finished_text(backup, context.clock), Tone::plain},
                              {took_text(backup), Tone::plain},
                              {text(backup, "timeline"), Tone::plain},
                              {size_text(number(backup, "database_bytes")), Tone::plain},
                              {size_text(number(backup, "stored_bytes")), Tone::plain},
                              {errors, errors == "none" ? Tone::plain : Tone::attention}});
    }
    auto out = draw(table, context.terminal.colour()) + age_of_newest(repository, context);
    for (const Node& one : items(repository, "repositories"))
        if (number(one, "code") != 0)
            out += fmt::format("repo{}: {}\n", number(one, "repository"), text(one, "status"));
    for (const Node& one : items(repository, "archives"))
        out += fmt::format("WAL in repo{} ({}): {} to {}\n", number(one, "repository"),
                           text(one, "id"), text(one, "wal_min"), text(one, "wal_max"));
    out += archiving_text(repository);
    if (text(repository, "running") == "true") {
        const auto* progress = repository.find("progress");
        out += fmt::format("A backup is running{}\n",
                           progress != nullptr ? ": " + text(*progress, "percent") + " %" : "");
    }
    return out;
}

}  // namespace

Outcome backup_list(Context& context, const BackupListCommand& command) {
    RLV_TRY(const auto loaded, load(context, command.cluster));
    std::string why;
    for (const auto* member : in_order(loaded)) {
        const auto answer = call(context, *member, "GET", "/backup", "", list_deadline);
        if (!answer || answer->status != 200) {
            why += fmt::format("\n  {}: {}", member->name,
                               answer ? std::string(trim(answer->body)) : answer.error().message);
            continue;
        }
        const auto repository = config::parse_json(answer->body);
        // An agent of Patroni's shows its status at every path that it does not know.
        if (!repository || repository->find("backups") == nullptr) {
            why +=
                fmt::format("\n  {}: it knows no backups: is it an agent of relevo?", member->name);
            continue;
        }
        switch (command.format) {
            case Format::json: context.terminal.out(to_json_line(records_of(*repository))); break;
            case Format::yaml: context.terminal.out(to_yaml_list(records_of(*repository))); break;
            case Format::tsv: context.terminal.out(to_tsv(records_of(*repository))); break;
            case Format::pretty:
            case Format::topology: context.terminal.out(pretty(*repository, context)); break;
        }
        return Exit::ok;
    }
    return fail(ErrorCode::unavailable,
                why.empty() ? fmt::format("cluster {} has no members", loaded.name())
                            : "no member can tell what the repository holds:" + why);
}

Outcome backup_check(Context& context, const std::string& cluster) {
    RLV_TRY(const auto loaded, load(context, cluster));
    int failed = 0, asked = 0;
    for (const auto* member : in_order(loaded)) {
        ++asked;
        const auto answer = call(context, *member, "POST", "/backup/check", "", check_deadline);
        if (answer && answer->status == 200) {
            context.terminal.out(fmt::format("{}: {}\n", member->name, trim(answer->body)));
            continue;
        }
        ++failed;
        context.terminal.out(answer ? failure_line("backup check", member->name, *answer)
                                    : failure_line("backup check", member->name, answer.error()));
    }
    if (asked == 0)
        return fail(ErrorCode::not_found, fmt::format("cluster {} has no members", loaded.name()));
    if (failed > 0)
        return fail(ErrorCode::failed,
                    fmt::format("{} of {} members cannot use the repository", failed, asked));
    return Exit::ok;
}

}  // namespace relevo::ctl
