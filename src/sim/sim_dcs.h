// etcd as the members see it: cluster::MemoryStore behind a network that is late, loses requests
// and replies, and is cut; a store that can be away as a whole. The member's side (attempts within
// a deadline, the lease, the watch) keeps the promises of ports/dcs.h, as etcd/ does.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "cluster/memory_store.h"
#include "cluster/snapshot.h"
#include "sim/world.h"

namespace relevo::sim {

using SnapshotPtr = std::shared_ptr<const cluster::Snapshot>;

class SimDcs {
public:
    explicit SimDcs(World& world);

    // The truth, for checkers and the operator.
    SnapshotPtr truth();
    cluster::MemoryStore& store() { return store_; }
    // The operator's own write, done at once (when the store is up).
    bool operate(const cluster::Txn& txn);

    bool up() const { return up_; }
    void go_down();
    void come_back();  // a new leader: every lease begins anew

    // A member's client. reset(): its agent is gone; what was sent may still happen, answers come
    // to nobody.
    void reset(int member);
    using ReadDone = std::function<void(Result<SnapshotPtr>)>;
    void read(int member, Duration deadline, ReadDone done);
    using CommitDone = std::function<void(Result<cluster::TxnResult>)>;
    void commit(int member, cluster::Txn txn, Duration deadline, CommitDone done);
    using LeaseDone = std::function<void(Result<cluster::Lease>)>;
    void keep_lease(int member, std::chrono::seconds ttl, Duration deadline, LeaseDone done);
    void tell(int member, SnapshotPtr view);  // a view that comes late, for stories
    void watch(int member, std::function<void(SnapshotPtr)> handler);

    // After each write, with the revision before it.
    std::function<void()> on_write;

private:
    // What one attempt found out. unknown: the request or its answer was lost.
    enum class Fate { answered, unreachable, unknown };
    struct Client {
        int session = 0;
        Instant since;
        cluster::LeaseId lease = 0;
        std::chrono::seconds ttl{};
        std::function<void(SnapshotPtr)> handler;
        bool watching = false;  // the watch's stream stands
        bool resuming = false;
        int stream = 0;
        Instant last;  // the last notification's arrival: the next never overtakes it
    };
    struct Call {
        int member = 0;
        int session = 0;
        Instant give_up;
        bool repeatable = false;
        bool settled = false;
        bool perhaps = false;              // an attempt may have done it
        std::function<void()> apply;       // at the store; keeps its result in what it captured
        std::function<void(Fate)> finish;  // at the member, once
    };
    using CallPtr = std::shared_ptr<Call>;

    Client& client(int member) { return clients_[static_cast<std::size_t>(member)]; }
    bool reachable(int member) { return up_ && world_.linked_both(member, world_.dcs_node()); }
    CallPtr make_call(int member, Duration deadline, bool repeatable);
    void run(const CallPtr& call);
    void attempt(const CallPtr& call);
    void settle(const CallPtr& call, Fate fate);
    void wrote();
    SnapshotPtr seen_by(int member);
    void notify(int member, Duration extra);
    void links_changed();
    void arm_expiry();

    World& world_;
    cluster::MemoryStore store_;
    cluster::SnapshotReader reader_;
    SnapshotPtr snapshot_;
    // Kept for Bug::old_read_at_start.
    std::vector<std::pair<Instant, SnapshotPtr>> past_;
    bool up_ = true;
    int downs_ = 0;  // how often it went away
    std::vector<Client> clients_;
    Instant expiry_armed_ = Instant::max();
};

}  // namespace relevo::sim
