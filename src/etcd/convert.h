// Between the cluster's words and etcd's messages.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "cluster/tree.h"
#include "rpc.pb.h"

namespace relevo::etcd {

// The first key after all that begin with the prefix.
std::string prefix_end(std::string prefix);

etcdserverpb::RangeRequest to_range(const std::string& base);
etcdserverpb::TxnRequest to_txn(const cluster::Txn& txn, const std::string& base,
                                cluster::LeaseId lease);
cluster::KeyTree to_tree(const etcdserverpb::RangeResponse& reply, std::string_view base);
// Applies what a watch reported; true: the tree has changed.
bool apply(cluster::KeyTree& tree, const etcdserverpb::WatchResponse& reply, std::string_view base);

}  // namespace relevo::etcd
