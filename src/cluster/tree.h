// The DCS as a plain thing: keys below one base with their revisions, and guarded writes to them.
// Key names here are relative to the base ("leader", "members/pg-1"); etcd's words for the rest.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace relevo::cluster {

using Revision = std::int64_t;  // etcd's: one counter for the whole store; 0: never existed
using LeaseId = std::int64_t;   // 0: none

struct KeyValue {
    std::string value;
    Revision create_revision = 0;
    Revision mod_revision = 0;
    LeaseId lease = 0;
    bool operator==(const KeyValue&) const = default;
};

// All keys of the cluster as they stood at one revision.
struct KeyTree {
    Revision revision = 0;
    std::map<std::string, KeyValue> keys;
};
using KeyTreePtr = std::shared_ptr<const KeyTree>;

struct Compare {
    enum class What { create_revision, mod_revision, value };  // all: must be equal
    std::string key;
    What what = What::mod_revision;
    Revision revision = 0;  // create_revision 0: the key does not exist
    std::string value;
    bool operator==(const Compare&) const = default;
};

struct Write {
    enum class What { put, remove, remove_prefix };
    What what = What::put;
    std::string key;
    std::string value;
    bool with_lease = false;  // under the member's own lease, so that the key dies with it
    bool operator==(const Write&) const = default;
};

// All compares hold -> all writes happen, at one revision. Otherwise nothing happens.
struct Txn {
    std::vector<Compare> compares;
    std::vector<Write> writes;
    bool operator==(const Txn&) const = default;
};

struct TxnResult {
    bool succeeded = false;  // false: a compare did not hold; nothing was written
    Revision revision = 0;   // of the store after it
};

struct Lease {
    LeaseId id = 0;
    // true: granted by this call; keys under an earlier lease are gone or will be. Put them again.
    bool fresh = false;
    std::chrono::seconds ttl{};  // as the server granted it
};

}  // namespace relevo::cluster
