// Another user than root, for a program that root started.
#pragma once

#include <string>

#include "base/result.h"

namespace relevo::os {

// This process becomes that user, with its groups, for good. Of root's rights it keeps the one to
// end TCP connections (CAP_NET_ADMIN) where root has it here; what it starts inherits none. Before
// any thread is started. Errors: not_found (no such user), failed.
Status become_user(const std::string& name);

// What this process starts gets none of the rights that systemd's AmbientCapabilities= gave it.
void keep_rights_to_oneself();

// Makes the directory theirs when it is missing. As root.
Status make_directory_for(const std::string& path, const std::string& user);

}  // namespace relevo::os
