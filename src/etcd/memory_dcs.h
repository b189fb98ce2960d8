// The in-memory twin of etcd_dcs.h: members share one MemoryStore in one process. Passes the same
// suite (tests/contract). Leases run by the clock given; faults are switched on and off per member.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "cluster/memory_store.h"
#include "ports/dcs.h"

namespace relevo::etcd {

// The store and those who watch it: what the etcd servers are to the real adapter.
class MemoryServer {
public:
    using Clock = std::function<Instant()>;
    explicit MemoryServer(Clock clock);  // {}: the machine's own steady clock

    Instant now() const { return clock_(); }
    cluster::MemoryStore& store() { return store_; }
    // Expires what is due, then tells every listener if the store has moved. Call it after changing
    // the store or the clock by hand.
    void settle();

    using Listener = std::function<void()>;
    int listen(Listener listener);
    void leave(int id);

private:
    Clock clock_;
    cluster::MemoryStore store_;
    cluster::Revision told_ = 0;
    std::map<int, Listener> listeners_;
    int last_id_ = 0;
};

struct MemoryFaults {
    bool unreachable = false;  // calls fail with unavailable at once, the watch breaks
    bool frozen = false;       // calls fail when their deadline comes: as unavailable, not done
    bool lose_next_answer = false;  // one write is done and ends as outcome_unknown
};

class MemoryDcs : public ports::Dcs {
public:
    ~MemoryDcs() override = default;
    virtual void set_faults(MemoryFaults faults) = 0;
};

std::unique_ptr<MemoryDcs> make_memory_dcs(boost::asio::io_context& io,
                                           std::shared_ptr<MemoryServer> server);

}  // namespace relevo::etcd
