// GUCs: which of them only the dynamic configuration may set, with what limits (contract 3.2), and
// how a `parameters` mapping becomes texts. Internal to the room.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "config/node.h"

namespace relevo::config {

using Gucs = std::map<std::string, std::string>;  // lower-case name -> text

bool is_controlled_guc(
    std::string_view lower_name);  // 3.2, with listen_addresses, port, cluster_name
bool is_recovery_guc(std::string_view lower_name);  // what PostgreSQL < 12 had in recovery.conf

// The name -> text of a `parameters` mapping. Null values are left out; lists and mappings are left
// out with a note.
Gucs read_gucs(const Node& parameters, const std::string& path, std::vector<std::string>& notes);

// The controlled ones from the dynamic parameters, checked and defaulted. An invalid value is noted
// and its default used. wal_keep_segments becomes wal_keep_size, wal_level hot_standby replica
// (PostgreSQL >= 13).
Gucs controlled_gucs(const Gucs& dynamic, std::vector<std::string>& notes);

}  // namespace relevo::config
