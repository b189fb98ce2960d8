#include "ctl/show.h"

#include <fmt/core.h>

#include "base/text.h"
#include "ctl/dialogue.h"
#include "ctl/table.h"

namespace relevo::ctl {
namespace {

// "43% of 2.0 GB (pgbackrest)"; empty: the member does not say.
std::string copied_text(const config::Node& status) {
    const auto* copy = status.find("copy");
    if (copy == nullptr) return {};
    const auto text = [&](const char* key) {
        const auto* value = copy->find(key);
        return value != nullptr && value->is_scalar() ? value->text : std::string();
    };
    const auto done = size_text(parse_decimal(text("done_bytes")).value_or(0));
    const auto total = parse_decimal(text("total_bytes"));
    const auto percent = parse_real(text("percent"));
    const std::string far = percent && total
                                ? fmt::format("{:.0f}% of {}", *percent, size_text(*total))
                            : percent ? fmt::format("{:.0f}%, {}", *percent, done)
                                      : done;
    return fmt::format("{} ({})", far, text("method"));
}

// Only the members themselves know how far they are: those that say that they are being made are
// asked.
void ask_how_far(Context& context, Shown& shown) {
    for (const auto& [name, member] : shown.snapshot.members) {
        if (member.state != cluster::State::creating_replica) continue;
        const auto status = member_status(context, member);
        if (!status) continue;
        if (auto text = copied_text(*status); !text.empty()) shown.copied[name] = std::move(text);
    }
}

Outcome list_once(Context& context, const ListCommand& command) {
    std::vector<Shown> clusters;
    for (const auto& name : command.clusters) {
        RLV_TRY(auto loaded, load(context, name));
        loaded.shown.now = context.clock.wall();
        ask_how_far(context, loaded.shown);
        clusters.push_back(std::move(loaded.shown));
    }
    std::string text;
    if (command.timestamp) text = local_text(context.clock.wall(), context.clock) + "\n";
    text += list_text(clusters, {.extended = command.extended,
                                 .format = command.format,
                                 .colour = context.terminal.colour()});
    // All is known before the screen is cleared: a watched list does not flicker.
    if (command.watch.every_s) context.terminal.clear();
    context.terminal.out(text);
    return Exit::ok;
}

std::string version_of(const config::Node& status) {
    const auto* patroni = status.find("patroni");
    const auto* agent = patroni ? patroni->find("version") : nullptr;
    std::string text = " Patroni " + (agent ? agent->text : std::string("unknown"));
    const auto* server = status.find("server_version");
    const auto number = server ? parse_decimal(server->text) : std::nullopt;
    if (!number) return text;
    // 150020 is 15.20, 90603 was 9.6.3.
    if (*number >= 100000)
        return text + fmt::format(" PostgreSQL {}.{}", *number / 10000, *number % 10000);
    return text +
           fmt::format(" PostgreSQL {}.{}.{}", *number / 10000, *number / 100 % 100, *number % 100);
}

}  // namespace

Outcome watching(Context& context, const Watch& watch, const std::function<Outcome()>& once) {
    if (!watch.every_s) return once();
    for (;;) {
        const auto outcome = once();
        if (!outcome && outcome.error().code != ErrorCode::unavailable) return outcome;
        if (!outcome) context.terminal.err("Error: " + outcome.error().message + "\n");
        context.clock.sleep(
            std::chrono::duration_cast<Duration>(std::chrono::duration<double>(*watch.every_s)));
    }
}

Outcome list(Context& context, const ListCommand& command) {
    auto wanted = command;
    if (wanted.clusters.empty() && !context.scope.empty()) wanted.clusters = {context.scope};
    if (wanted.clusters.empty()) {
        context.terminal.err(
            "Warning: no cluster name was given and the configuration has no scope\n");
        return Exit::ok;
    }
    return watching(context, wanted.watch, [&] { return list_once(context, wanted); });
}

Outcome history(Context& context, const HistoryCommand& command) {
    RLV_TRY(const auto loaded, load(context, command.cluster));
    Records records{.names = {"TL", "LSN", "Reason", "Timestamp", "New Leader"}, .rows = {}};
    Table table{.title = {},
                .columns = {{"TL", Align::right},
                            {"LSN", Align::right},
                            {"Reason", Align::left},
                            {"Timestamp", Align::left},
                            {"New Leader", Align::left}},
                .rows = {}};
    const auto lines = loaded.snapshot().history.value_or(std::vector<cluster::HistoryLine>{});
    for (const auto& line : lines) {
        records.rows.push_back({number_field(line.timeline),
                                number_field(static_cast<std::int64_t>(line.switch_point.value)),
                                text_field(line.reason), text_field(line.timestamp),
                                text_field(line.member)});
        std::vector<Cell> cells;
        for (const auto& field : records.rows.back()) cells.push_back({field.text, Tone::plain});
        table.rows.push_back(std::move(cells));
    }
    switch (command.format) {
        case Format::json: context.terminal.out(to_json_line(records)); break;
        case Format::yaml: context.terminal.out(to_yaml_list(records)); break;
        case Format::tsv: context.terminal.out(to_tsv(records)); break;
        case Format::pretty:
        case Format::topology: context.terminal.out(draw(table, context.terminal.colour())); break;
    }
    return Exit::ok;
}

Result<const cluster::MemberRecord*> one_member(Context& context, const Loaded& loaded,
                                                const std::string& name,
                                                std::optional<RoleFilter> role) {
    if (!name.empty() && role)
        return fail(ErrorCode::invalid, "--role and --member exclude each other; give one of them");
    if (!name.empty()) {
        RLV_TRY(const auto members, choose_members(context, loaded, RoleFilter::any, {name}));
        return members.front();
    }
    const auto members = members_with(loaded.snapshot(), role.value_or(RoleFilter::leader));
    if (!members.empty()) return members.front();
    return fail(ErrorCode::not_found,
                fmt::format("cluster {} has no {} now; look at `relevoctl list {}`", loaded.name(),
                            role ? "member of that role" : "leader", loaded.name()));
}

namespace {

// What libpq asks of each server in turn. `read-write` and not `primary`: a server whose
// transactions are read only by default is not who writes.
Result<const char*> wanted_session(RoleFilter role) {
    switch (role) {
        case RoleFilter::leader:
        case RoleFilter::primary: return "read-write";
        case RoleFilter::replica:
        case RoleFilter::standby: return "prefer-standby";
        case RoleFilter::any: return "any";
        case RoleFilter::standby_leader: break;
    }
    return fail(ErrorCode::invalid,
                "no client can tell a standby leader from a replica: leave out --all");
}

Outcome list_dsn(Context& context, const Loaded& loaded, const DsnCommand& command) {
    if (!command.member.empty())
        return fail(ErrorCode::invalid, "--all and --member exclude each other; give one of them");
    RLV_TRY(const auto* session, wanted_session(command.role.value_or(RoleFilter::leader)));
    std::string hosts, ports;
    for (const auto* member : members_with(loaded.snapshot(), RoleFilter::any)) {
        if (member->host().empty()) continue;
        const auto* comma = hosts.empty() ? "" : ",";
        hosts += comma + member->host();
        ports += fmt::format("{}{}", comma, member->port());
    }
    if (hosts.empty())
        return fail(ErrorCode::not_found,
                    fmt::format("no member of cluster {} has published an address; look at "
                                "`relevoctl list {}`",
                                loaded.name(), loaded.name()));
    context.terminal.out(
        fmt::format("host={} port={} target_session_attrs={}\n", hosts, ports, session));
    return Exit::ok;
}

}  // namespace

Outcome dsn(Context& context, const DsnCommand& command) {
    RLV_TRY(const auto loaded, load(context, command.cluster));
    if (command.all) return list_dsn(context, loaded, command);
    RLV_TRY(const auto* member, one_member(context, loaded, command.member, command.role));
    if (member->host().empty())
        return fail(ErrorCode::not_found, member->name + " has published no address (conn_url)");
    context.terminal.out(fmt::format("host={} port={}\n", member->host(), member->port()));
    return Exit::ok;
}

Outcome version(Context& context, const VersionCommand& command) {
    context.terminal.out(fmt::format("relevoctl version {}\n", command.own));
    if (command.cluster.empty() && context.scope.empty()) return Exit::ok;
    RLV_TRY(const auto loaded, load(context, command.cluster));
    RLV_TRY(const auto members, choose_members(context, loaded, RoleFilter::any, command.members));
    context.terminal.out("\n");
    auto exit = Exit::ok;
    for (const auto* member : members) {
        const auto status = member_status(context, *member);
        if (!status) exit = Exit::failed;
        context.terminal.out(
            member->name + ":" +
            (status ? version_of(*status) : " no answer: " + status.error().message) + "\n");
    }
    return exit;
}

}  // namespace relevo::ctl
