#include "cluster/memory_store.h"

#include <algorithm>
#include <utility>

namespace relevo::cluster {

bool MemoryStore::holds(const Compare& compare) const {
    const auto found = tree_.keys.find(compare.key);
    const bool exists = found != tree_.keys.end();
    switch (compare.what) {
        case Compare::What::create_revision:
            return (exists ? found->second.create_revision : 0) == compare.revision;
        case Compare::What::mod_revision:
            return (exists ? found->second.mod_revision : 0) == compare.revision;
        case Compare::What::value:
            return exists &&
                   found->second.value == compare.value;  // etcd: an absent key equals no value
    }
    return false;
}

Result<TxnResult> MemoryStore::commit(const Txn& txn, LeaseId lease) {
    std::set<std::string> put_keys;
    bool needs_lease = false;
    for (const auto& write : txn.writes) {
        if (write.what != Write::What::put) continue;
        if (!put_keys.insert(write.key).second)
            return fail(ErrorCode::invalid,
                        "the key " + write.key + " is written twice in one transaction");
        needs_lease = needs_lease || write.with_lease;
    }
    if (!std::ranges::all_of(txn.compares, [&](const Compare& compare) { return holds(compare); }))
        return TxnResult{.succeeded = false, .revision = tree_.revision};
    if (needs_lease && !leases_.contains(lease))
        return fail(ErrorCode::not_found,
                    "the lease is gone: get a new one and write the keys again");

    ++tree_.revision;
    bool changed = false;
    for (const auto& write : txn.writes) {
        switch (write.what) {
            case Write::What::put:
                put(write.key, write.value, write.with_lease ? lease : 0);
                changed = true;
                break;
            case Write::What::remove: changed = remove(write.key) || changed; break;
            case Write::What::remove_prefix: changed = remove_prefix(write.key) || changed; break;
        }
    }
    if (!changed) --tree_.revision;
    return TxnResult{.succeeded = true, .revision = tree_.revision};
}

void MemoryStore::put(const std::string& key, std::string value, LeaseId lease) {
    auto& entry = tree_.keys[key];
    if (entry.create_revision == 0) entry.create_revision = tree_.revision;
    if (entry.lease != lease) detach(key, entry.lease);
    entry.value = std::move(value);
    entry.mod_revision = tree_.revision;
    entry.lease = lease;
    if (lease != 0) leases_.at(lease).keys.insert(key);
    log_.push_back({tree_.revision, key, entry});
}

bool MemoryStore::remove(const std::string& key) {
    const auto found = tree_.keys.find(key);
    if (found == tree_.keys.end()) return false;
    detach(key, found->second.lease);
    log_.push_back({tree_.revision, key, std::nullopt});
    tree_.keys.erase(found);
    return true;
}

bool MemoryStore::remove_prefix(const std::string& prefix) {
    std::vector<std::string> keys;
    for (auto entry = tree_.keys.lower_bound(prefix); entry != tree_.keys.end(); ++entry) {
        if (!entry->first.starts_with(prefix)) break;
        keys.push_back(entry->first);
    }
    for (const auto& key : keys) remove(key);
    return !keys.empty();
}

void MemoryStore::detach(const std::string& key, LeaseId lease) {
    if (const auto held = leases_.find(lease); held != leases_.end()) held->second.keys.erase(key);
}

LeaseId MemoryStore::grant(std::chrono::seconds ttl, Instant now) {
    ++last_lease_;
    leases_[last_lease_] = Held{.ttl = ttl, .expires = now + ttl, .keys = {}};
    return last_lease_;
}

bool MemoryStore::keep_alive(LeaseId lease, Instant now) {
    const auto held = leases_.find(lease);
    if (held == leases_.end() || held->second.expires <= now) return false;
    held->second.expires = now + held->second.ttl;
    return true;
}

void MemoryStore::renew_all(Instant now) {
    for (auto& [id, held] : leases_) held.expires = now + held.ttl;
}

void MemoryStore::revoke(LeaseId lease) {
    const auto held = leases_.find(lease);
    if (held == leases_.end()) return;
    const auto keys = std::exchange(held->second.keys, {});
    leases_.erase(held);
    if (keys.empty()) return;
    ++tree_.revision;
    for (const auto& key : keys) remove(key);
}

void MemoryStore::advance(Instant now) {
    while (true) {
        const auto first = std::ranges::min_element(leases_, {}, [](const auto& entry) {
            return std::pair(entry.second.expires, entry.first);
        });
        if (first == leases_.end() || first->second.expires > now) return;
        revoke(first->first);
    }
}

std::optional<Instant> MemoryStore::next_expiry() const {
    std::optional<Instant> next;
    for (const auto& [id, held] : leases_)
        if (!next || held.expires < *next) next = held.expires;
    return next;
}

std::optional<std::vector<MemoryStore::Change>> MemoryStore::changes_since(
    Revision revision) const {
    if (revision < compacted_) return std::nullopt;
    const auto first = std::ranges::upper_bound(log_, revision, {}, &Change::revision);
    return std::vector<Change>(first, log_.end());
}

void MemoryStore::compact(Revision revision) {
    compacted_ = std::max(compacted_, std::min(revision, tree_.revision));
    std::erase_if(log_, [&](const Change& change) { return change.revision <= compacted_; });
}

}  // namespace relevo::cluster
