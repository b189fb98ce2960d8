// One cluster's part of etcd, in memory: revisions, guarded transactions, leases that expire, and a
// log of changes. Pure: it reads no clock and calls nobody; time moves only through advance(), so
// the simulator runs it in virtual time. The tests' ports::Dcs over it is etcd/memory_dcs.h.
//
// As in etcd: a transaction that holds makes one revision whatever it writes, one that writes
// nothing makes none; the keys of an expired or revoked lease go together, at one revision; lease
// ids are never used twice.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "cluster/tree.h"

namespace relevo::cluster {

class MemoryStore {
public:
    // One key as it was after a revision; no value: it was removed then.
    struct Change {
        Revision revision = 0;
        std::string key;
        std::optional<KeyValue> now;
    };

    const KeyTree& tree() const { return tree_; }
    Revision revision() const { return tree_.revision; }

    // lease: the writer's own, for writes with with_lease. not_found: there is no such lease (0, or
    // gone), nothing was written. invalid: a key is written twice, which etcd refuses.
    Result<TxnResult> commit(const Txn& txn, LeaseId lease);

    LeaseId grant(std::chrono::seconds ttl, Instant now);
    // false: the store does not know it (any more).
    bool keep_alive(LeaseId lease, Instant now);
    void revoke(LeaseId lease);
    // A new leader of the store: it knows no times, so every lease begins anew (as etcd's does).
    void renew_all(Instant now);
    bool has_lease(LeaseId lease) const { return leases_.contains(lease); }

    // Lets go of every lease whose time is up, each at its own revision, in order of expiry.
    void advance(Instant now);
    std::optional<Instant> next_expiry() const;

    // What changed after the revision, in order. nullopt: that is compacted, read the whole tree.
    std::optional<std::vector<Change>> changes_since(Revision revision) const;
    void compact(Revision revision);

private:
    struct Held {
        std::chrono::seconds ttl{};
        Instant expires{};
        std::set<std::string> keys;
    };

    bool holds(const Compare& compare) const;
    void put(const std::string& key, std::string value, LeaseId lease);
    bool remove(const std::string& key);
    bool remove_prefix(const std::string& prefix);
    void detach(const std::string& key, LeaseId lease);

    KeyTree tree_{.revision = 1, .keys = {}};  // an empty etcd is at revision 1
    std::map<LeaseId, Held> leases_;
    LeaseId last_lease_ = 1000;
    std::vector<Change> log_;
    Revision compacted_ = 0;
};

}  // namespace relevo::cluster
