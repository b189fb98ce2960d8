// The commands that only look: list, topology, history, dsn, version.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ctl/access.h"
#include "ctl/context.h"
#include "ctl/records.h"

namespace relevo::ctl {

struct Watch {
    std::optional<double> every_s;  // absent: once
};

// Runs once, or again and again until the operator interrupts: a failure of one round is shown and
// the next round tries again.
Outcome watching(Context& context, const Watch& watch, const std::function<Outcome()>& once);

struct ListCommand {
    std::vector<std::string> clusters;
    bool extended = false, timestamp = false;
    Format format = Format::pretty;
    Watch watch;
};
Outcome list(Context& context, const ListCommand& command);

struct HistoryCommand {
    std::string cluster;
    Format format = Format::pretty;
};
Outcome history(Context& context, const HistoryCommand& command);

struct DsnCommand {
    std::string cluster, member;
    std::optional<RoleFilter> role;
    bool all = false;  // a list of all members, for a client that finds the one it wants itself
};
Outcome dsn(Context& context, const DsnCommand& command);

// The member that dsn and query mean: by name, else the first of the role (default: the leader).
Result<const cluster::MemberRecord*> one_member(Context& context, const Loaded& loaded,
                                                const std::string& name,
                                                std::optional<RoleFilter> role);

struct VersionCommand {
    std::string cluster;
    std::vector<std::string> members;
    std::string own;  // this program's version
};
Outcome version(Context& context, const VersionCommand& command);

}  // namespace relevo::ctl
