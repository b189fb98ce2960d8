// The distributed configuration store below one cluster's base path. All keys are relative to it.
// Real: etcd/ (etcd v3 over gRPC). Twin: etcd/memory_dcs.h, for tests and the simulator; both pass
// tests/contract/dcs_contract.h. One thread: every call is made, and every callback runs, on the
// io_context given to the adapter. Every call has a deadline of its own and always returns.
//
// Errors: unavailable = surely not done. outcome_unknown = perhaps done, read again. denied = wrong
// credentials. A refused guard is no error: TxnResult::succeeded is false.
#pragma once

#include <chrono>
#include <functional>

#include "base/result.h"
#include "base/time.h"
#include "cluster/tree.h"
#include "ports/task.h"

namespace relevo::ports {

using cluster::Lease;

class Dcs {
public:
    virtual ~Dcs() = default;

    // All keys at one revision, linearizable. deadline: from now, with retries on other endpoints
    // within it.
    virtual Task<Result<cluster::KeyTree>> read(Duration deadline) = 0;

    // Writes with with_lease need a lease: without one (or when the server has forgotten it) the
    // call fails with not_found and nothing is written.
    virtual Task<Result<cluster::TxnResult>> commit(cluster::Txn txn, Duration deadline) = 0;

    // Keeps the member's lease, or grants one when there is none, when the server lost it, or when
    // ttl has changed. Never revokes. The lease lives at least until (time of this call's start +
    // ttl).
    virtual Task<Result<Lease>> keep_lease(std::chrono::seconds ttl, Duration deadline) = 0;

    // Lets go of the lease with all its keys (a clean stop).
    virtual Task<Status> revoke_lease(Duration deadline) = 0;

    // Starts the watch: the handler gets the whole tree after each change, in order of revision,
    // never an older revision after a newer one; and an error when the watch breaks (it resumes by
    // itself, with a full read when the store has compacted; the handler then gets a tree again).
    using ChangeHandler = std::function<void(Result<cluster::KeyTreePtr>)>;
    virtual void watch(ChangeHandler handler) = 0;

    // Ends the watch and all calls (they return cancelled or unavailable).
    virtual Task<void> stop() = 0;
};

}  // namespace relevo::ports
