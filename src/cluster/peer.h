// A peer's agent as it answered a probe.
#pragma once

#include <string>

#include "cluster/lsn.h"
#include "cluster/member.h"

namespace relevo::cluster {

// What GET <api_url> of a peer says, ours or Patroni's (contract 5.5, 7.3).
struct PeerStatus {
    bool primary = false;  // xlog.location set, or role primary/master
    Lsn position;          // max(received, replayed), or location
    Timeline timeline = 0;
    bool nofailover = false;
    int failover_priority = 1;
    bool watchdog_failed = false;
    bool running = false;  // state is running
    std::string system_id;
    Tags tags;
};

}  // namespace relevo::cluster
