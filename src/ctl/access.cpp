#include "ctl/access.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"
#include "ctl/yaml.h"

namespace relevo::ctl {
namespace {

using cluster::MemberRecord;

// "http://10.0.0.1:8008/patroni" -> "http://10.0.0.1:8008".
std::string api_root(const std::string& api_url) {
    const auto host = api_url.find("://");
    const auto path = host == std::string::npos ? host : api_url.find('/', host + 3);
    return api_url.substr(0, path);
}

}  // namespace

std::optional<RoleFilter> parse_role_filter(std::string_view text) {
    const auto role = lower(text);
    if (role == "leader") return RoleFilter::leader;
    if (role == "primary" || role == "master") return RoleFilter::primary;
    if (role == "standby-leader" || role == "standby_leader") return RoleFilter::standby_leader;
    if (role == "replica") return RoleFilter::replica;
    if (role == "standby") return RoleFilter::standby;
    if (role == "any") return RoleFilter::any;
    return std::nullopt;
}

Result<std::string> cluster_name(const Context& context, const std::string& given) {
    if (!given.empty()) return given;
    if (!context.scope.empty()) return context.scope;
    return fail(ErrorCode::invalid,
                "no cluster name; give it as an argument, or set scope in the configuration file "
                "(-c FILE)");
}

Status refresh(Context& context, Loaded& loaded) {
    RLV_TRY(const auto tree, loaded.store->read());
    cluster::SnapshotReader reader;
    auto& shown = loaded.shown;
    shown.snapshot = reader.read(tree);
    for (const auto& problem : reader.take_problems())
        context.terminal.err(fmt::format("Warning: key {} of cluster {} cannot be understood: {}\n",
                                         problem.key, shown.cluster, problem.what));
    shown.settings = {};
    if (!shown.snapshot.config) return {};
    auto settings = cluster::read_settings(shown.snapshot.config->json);
    if (settings) shown.settings = settings->settings;
    return {};
}

Result<Loaded> load(Context& context, const std::string& cluster) {
    Loaded loaded;
    RLV_TRY(loaded.shown.cluster, cluster_name(context, cluster));
    RLV_TRY(loaded.store, context.store(loaded.shown.cluster));
    RLV_CHECK(refresh(context, loaded));
    return loaded;
}

void print_table(Context& context, const Loaded& loaded, Format format) {
    const ListOptions options{
        .extended = false, .format = format, .colour = context.terminal.colour()};
    context.terminal.out(cluster_table(loaded.shown, options));
}

std::vector<const MemberRecord*> members_with(const cluster::Snapshot& snapshot, RoleFilter role) {
    using cluster::Role;
    const auto fits = [&](const MemberRecord& member) {
        const bool leads = snapshot.led_by(member.name);
        switch (role) {
            case RoleFilter::leader: return leads;
            case RoleFilter::primary: return leads && member.role != Role::standby_leader;
            case RoleFilter::standby_leader: return leads && member.role == Role::standby_leader;
            case RoleFilter::replica:
            case RoleFilter::standby: return !leads;
            case RoleFilter::any: return true;
        }
        return false;
    };
    std::vector<const MemberRecord*> chosen;
    for (const auto& [name, member] : snapshot.members)
        if (fits(member)) chosen.push_back(&member);
    return chosen;
}

Result<std::vector<const MemberRecord*>> choose_members(Context& context, const Loaded& loaded,
                                                        RoleFilter role,
                                                        const std::vector<std::string>& names) {
    auto members = members_with(loaded.snapshot(), role);
    if (members.empty())
        return fail(
            ErrorCode::not_found,
            fmt::format("cluster {} has no member{}; look at `relevoctl list {}`", loaded.name(),
                        role == RoleFilter::any ? "" : " of that role", loaded.name()));
    if (names.empty()) return members;
    auto chosen = members;
    std::erase_if(chosen, [&](const auto* member) {
        return std::ranges::find(names, member->name) == names.end();
    });
    for (const auto& name : names) {
        if (std::ranges::find(members, name, &MemberRecord::name) != members.end()) continue;
        const auto why = fmt::format(
            "{} is no member of cluster {} that can be meant here; choose "
            "among {}",
            name, loaded.name(), names_text(members));
        if (chosen.empty()) return fail(ErrorCode::not_found, why);
        context.terminal.err("Warning: " + why + "\n");
    }
    return chosen;
}

Result<HttpAnswer> call(Context& context, const MemberRecord& member, const std::string& method,
                        std::string_view path, const std::string& body, Duration deadline) {
    if (member.api_url.empty())
        return fail(ErrorCode::unavailable, member.name + " has published no api_url");
    return context.http.send(method, api_root(member.api_url) + std::string(path), body, deadline);
}

Result<Answered> call_any(Context& context, const Loaded& loaded, const std::string& method,
                          std::string_view path, const std::string& body) {
    auto members = members_with(loaded.snapshot(), RoleFilter::any);
    // false sorts before true: the leader comes first.
    std::ranges::sort(members, {}, [&](const auto* member) {
        return std::pair(!loaded.snapshot().led_by(member->name), member->name);
    });
    std::string why;
    for (const auto* member : members) {
        auto answer = call(context, *member, method, path, body, api_deadline);
        if (answer) return Answered{member, *std::move(answer)};
        why += fmt::format("\n  {}: {}", member->name, answer.error().message);
    }
    return fail(ErrorCode::unavailable,
                members.empty() ? fmt::format("cluster {} has no members", loaded.name())
                                : "no member of the cluster can be reached:" + why);
}

Result<config::Node> member_status(Context& context, const MemberRecord& member) {
    RLV_TRY(const auto answer,
            call(context, member, "GET", "/patroni", "", std::chrono::seconds(5)));
    RLV_TRY(auto node, config::parse_json(answer.body));
    return node;
}

std::string failure_line(std::string_view what, std::string_view member, const HttpAnswer& answer) {
    return fmt::format("Failed: {} for member {}, status code={}, ({})\n", what, member,
                       answer.status, trim(answer.body));
}

std::string failure_line(std::string_view what, std::string_view member, const Error& error) {
    return fmt::format(
        "Failed: {} for member {}, {} ({})\n", what, member,
        error.code == ErrorCode::outcome_unknown ? "its result is unknown" : "it was not reached",
        error.message);
}

std::string names_text(const std::vector<const MemberRecord*>& members) {
    std::vector<std::string> names;
    names.reserve(members.size());
    for (const auto* member : members) names.push_back(member->name);
    return join(names, ", ");
}

}  // namespace relevo::ctl
