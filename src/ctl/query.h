// SQL at one member, chosen by its name or role.
#pragma once

#include <optional>
#include <string>

#include "ctl/access.h"
#include "ctl/records.h"
#include "ctl/show.h"

namespace relevo::ctl {

struct QueryCommand {
    std::string cluster, member;
    std::optional<RoleFilter> role;  // absent: the leader
    std::optional<std::string> statement, file;
    std::string user, database;
    bool ask_password = false;
    Format format = Format::tsv;
    std::string delimiter = "\t";
    Watch watch;
};
// What PostgreSQL answers with, an error too, is printed as rows; an error is Exit::failed.
Outcome query(Context& context, const QueryCommand& command);

}  // namespace relevo::ctl
