#include "etcd/convert.h"

#include <algorithm>

namespace relevo::etcd {

namespace pb = ::etcdserverpb;

namespace {

cluster::KeyValue to_value(const mvccpb::KeyValue& kv) {
    return {.value = kv.value(),
            .create_revision = kv.create_revision(),
            .mod_revision = kv.mod_revision(),
            .lease = kv.lease()};
}

void add_compare(pb::TxnRequest& request, const cluster::Compare& compare,
                 const std::string& base) {
    auto& added = *request.add_compare();
    added.set_key(base + compare.key);
    added.set_result(pb::Compare::EQUAL);
    switch (compare.what) {
        case cluster::Compare::What::create_revision:
            added.set_target(pb::Compare::CREATE);
            added.set_create_revision(compare.revision);
            return;
        case cluster::Compare::What::mod_revision:
            added.set_target(pb::Compare::MOD);
            added.set_mod_revision(compare.revision);
            return;
        case cluster::Compare::What::value:
            added.set_target(pb::Compare::VALUE);
            added.set_value(compare.value);
            return;
    }
}

void add_write(pb::TxnRequest& request, const cluster::Write& write, const std::string& base,
               cluster::LeaseId lease) {
    auto& added = *request.add_success();
    switch (write.what) {
        case cluster::Write::What::put: {
            auto& put = *added.mutable_request_put();
            put.set_key(base + write.key);
            put.set_value(write.value);
            if (write.with_lease) put.set_lease(lease);
            return;
        }
        case cluster::Write::What::remove:
            added.mutable_request_delete_range()->set_key(base + write.key);
            return;
        case cluster::Write::What::remove_prefix:
            added.mutable_request_delete_range()->set_key(base + write.key);
            added.mutable_request_delete_range()->set_range_end(prefix_end(base + write.key));
            return;
    }
}

}  // namespace

std::string prefix_end(std::string prefix) {
    while (!prefix.empty() && static_cast<unsigned char>(prefix.back()) == 0xff) prefix.pop_back();
    if (prefix.empty()) return std::string(1, '\0');  // etcd: to the end of all keys
    prefix.back() = static_cast<char>(static_cast<unsigned char>(prefix.back()) + 1);
    return prefix;
}

pb::RangeRequest to_range(const std::string& base) {
    pb::RangeRequest request;
    request.set_key(base);
    request.set_range_end(prefix_end(base));
    return request;
}

pb::TxnRequest to_txn(const cluster::Txn& txn, const std::string& base, cluster::LeaseId lease) {
    pb::TxnRequest request;
    for (const auto& compare : txn.compares) add_compare(request, compare, base);
    for (const auto& write : txn.writes) add_write(request, write, base, lease);
    return request;
}

cluster::KeyTree to_tree(const pb::RangeResponse& reply, std::string_view base) {
    cluster::KeyTree tree;
    tree.revision = reply.header().revision();
    for (const auto& kv : reply.kvs())
        tree.keys.emplace(kv.key().substr(base.size()), to_value(kv));
    return tree;
}

bool apply(cluster::KeyTree& tree, const pb::WatchResponse& reply, std::string_view base) {
    bool changed = false;
    for (const auto& event : reply.events()) {
        const auto& kv = event.kv();
        if (kv.mod_revision() <= tree.revision && !changed) continue;  // the tree has it already
        auto key = kv.key().substr(base.size());
        if (event.type() == mvccpb::Event::DELETE)
            tree.keys.erase(key);
        else
            tree.keys.insert_or_assign(std::move(key), to_value(kv));
        changed = true;
    }
    for (const auto& event : reply.events())
        tree.revision = std::max(tree.revision, event.kv().mod_revision());
    return changed;
}

}  // namespace relevo::etcd
