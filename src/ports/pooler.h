// A connection pooler on this host, between the applications and the servers. Real:
// pgbouncer/pgbouncer.h. One thread; every call has an end, the longest that it may take stands
// with it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "cluster/stream.h"
#include "ports/task.h"

namespace relevo::ports {

// Where a server listens. An address, never a name that can move.
struct Endpoint {
    std::string host;
    int port = 0;
    bool operator==(const Endpoint&) const = default;
};

// The two ways through a pooler: to the primary, and to servers that only read.
enum class Route { writes, reads };

// Where they lead. Without an endpoint there is nobody to lead to.
struct Routes {
    std::optional<Endpoint> writes;
    cluster::Revision term = 0;  // under which the writes' server leads
    std::vector<Endpoint> reads;
    bool operator==(const Routes&) const = default;
};

struct PoolerStats {
    struct Database {
        std::string name;
        bool paused = false;
        std::uint64_t clients_active = 0, clients_waiting = 0;
        std::uint64_t servers_active = 0, servers_idle = 0;
        std::uint64_t transactions = 0, queries = 0, received_bytes = 0, sent_bytes = 0;
        std::chrono::microseconds longest_wait{};
    };
    std::string version;
    // "paused" or "suspended": all of it, by an operator; the databases do not show it. Empty: not,
    // or it cannot say.
    std::string stopped_by_hand;
    std::vector<Database> databases;
};

class Pooler {
public:
    virtual ~Pooler() = default;

    // New transactions wait from now on. Returns when none is under way any more (empty), or after
    // `drain` with those that are; clients wait until release() in either case. cancelled:
    // release() came first. Other errors: it may be held.
    virtual Task<Result<std::vector<cluster::Blocker>>> hold(Route route, Duration drain) = 0;
    // New server connections lead there; one that leads elsewhere is closed as soon as its
    // transaction ends. Also while held. Durable: a pooler that starts later leads there too.
    virtual Task<Status> repoint(Routes routes) = 0;
    // Clients go on. Ok when they were not held. Also while hold() waits.
    virtual Task<Status> release(Route route) = 0;
    // Ends this pooler's server connections to there, also those in the middle of a statement;
    // their clients get an error. How many. denied: this host does not let us; they end by their
    // own timeouts then.
    virtual Task<Result<int>> drop(Endpoint server) = 0;
    virtual Task<Result<PoolerStats>> stats() = 0;
};

}  // namespace relevo::ports
