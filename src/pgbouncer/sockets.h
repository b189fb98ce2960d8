// Ends TCP connections of this host from outside: SOCK_DESTROY over netlink, what `ss -K` does.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace relevo::pgbouncer {

struct TcpPair {  // addresses as text
    std::string local, remote;
    int local_port = 0, remote_port = 0;
};

// Those that are there are reset: whoever waits on one gets an error at once. How many. denied:
// CAP_NET_ADMIN is missing; unavailable: the kernel cannot do it. Blocks for less than a
// millisecond.
Result<int> destroy(const std::vector<TcpPair>& pairs);

}  // namespace relevo::pgbouncer
