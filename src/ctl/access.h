// What most commands begin with: the cluster's keys, which members are meant, and a member's API.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cluster/snapshot.h"
#include "config/node.h"
#include "ctl/context.h"
#include "ctl/list_view.h"

namespace relevo::ctl {

enum class RoleFilter { leader, primary, standby_leader, replica, standby, any };
std::optional<RoleFilter> parse_role_filter(std::string_view text);  // "standby-leader"

// The name given, else the configuration's scope. invalid: there is neither.
Result<std::string> cluster_name(const Context& context, const std::string& given);

// A cluster's keys as they are now. Keys that cannot be understood are named on stderr.
struct Loaded {
    Store* store = nullptr;
    Shown shown;
    const cluster::Snapshot& snapshot() const { return shown.snapshot; }
    const std::string& name() const { return shown.cluster; }
};
Result<Loaded> load(Context& context, const std::string& cluster);

// Reads it again.
Status refresh(Context& context, Loaded& loaded);

void print_table(Context& context, const Loaded& loaded, Format format = Format::pretty);

// Sorted by name. The leader roles need the leader key to name a member that is there.
std::vector<const cluster::MemberRecord*> members_with(const cluster::Snapshot& snapshot,
                                                       RoleFilter role);

// Members of the role, only the named ones when names are given. not_found: nobody is left; the
// message lists who there is. A name that means nobody beside one that does is a warning.
Result<std::vector<const cluster::MemberRecord*>> choose_members(
    Context& context, const Loaded& loaded, RoleFilter role, const std::vector<std::string>& names);

// One request to a member's agent: path "/restart" at the host of its api_url.
Result<HttpAnswer> call(Context& context, const cluster::MemberRecord& member,
                        const std::string& method, std::string_view path, const std::string& body,
                        Duration deadline);

// The same to whichever member answers first, the leader before all others. `answered` says who.
struct Answered {
    const cluster::MemberRecord* member = nullptr;
    HttpAnswer answer;
};
Result<Answered> call_any(Context& context, const Loaded& loaded, const std::string& method,
                          std::string_view path, const std::string& body);

// GET <api_url> as a tree.
Result<config::Node> member_status(Context& context, const cluster::MemberRecord& member);

// "Failed: restart for member db-a, status code=503, (body)".
std::string failure_line(std::string_view what, std::string_view member, const HttpAnswer& answer);
std::string failure_line(std::string_view what, std::string_view member, const Error& error);

std::string names_text(const std::vector<const cluster::MemberRecord*>& members);  // "a, b"

inline constexpr Duration api_deadline = std::chrono::seconds(30);

}  // namespace relevo::ctl
