// The world behind a command: etcd, the members' APIs, PostgreSQL, as the configuration says.
#pragma once

#include "ctl/commands.h"

namespace relevo::ctl {

// Reads the configuration (contract 6.1: -c, then RELEVOCTL_CONFIG_FILE and PATRONICTL_CONFIG_FILE,
// then ~/.config/relevo/relevoctl.yaml and ~/.config/patroni/patronictl.yaml, then the environment
// alone). Nothing is connected to before the first call.
Result<std::unique_ptr<Backend>> connect(Terminal& terminal, const GlobalOptions& options);

}  // namespace relevo::ctl
