// ports::Dcs over etcd's v3 gRPC API (etcd >= 3.4). The promises are those of ports/dcs.h; here is
// how they are kept, and what is measured in tests/contract/etcd_test.cpp.
//
// - Reads and lease calls are hedged: when an endpoint has not answered within hedge_after, the
// same call
//   starts on the next one and the first answer counts.
// - commit() is sent once. It fails over only as long as it surely was not sent; afterwards a lost
//   connection, a deadline or an endpoint found dead is outcome_unknown.
// - An endpoint that owes an answer is probed beside the others. It is given up (calls cancelled,
// watch
//   moved) only when another one answers meanwhile: our own stall condemns nobody.
// - An answer with an older raft term than one already seen of the same etcd cluster counts as
// none.
//
// One completion queue thread hands everything over to the io_context; nothing of gRPC shows here.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ports/dcs.h"

namespace relevo::etcd {

struct EtcdEndpoint {
    std::string host;  // a name or an address; IPv6 without brackets
    std::uint16_t port = 2379;
    bool https = false;
    bool operator==(const EtcdEndpoint&) const = default;
};
std::string to_string(const EtcdEndpoint& endpoint);  // "http://10.0.0.1:2379"

struct EtcdOptions {
    std::vector<EtcdEndpoint> endpoints;
    // Files. cacert empty: the system's authorities. key empty: it is in the cert file.
    std::string cacert, cert, key;
    std::string username, password;
    bool use_proxies = false;  // the endpoints as given, no member discovery
    // When it resolves, its nodes are used before the endpoints above (contract 4.7).
    std::string srv_domain, srv_suffix;
    bool shuffle = true;  // spreads the agents over the endpoints

    std::chrono::milliseconds hedge_after{200};
    std::chrono::milliseconds probe_timeout{300};
    // A silent watch is asked that often whether it lives. 0: a tenth of the lease's ttl, 0.5 to 2
    // s.
    std::chrono::milliseconds watch_check_interval{0};
    std::optional<EtcdEndpoint> nameserver;  // for srv; none: the system's
    bool operator==(const EtcdOptions&) const = default;
};

// base_path: "/service/batman/", with both slashes. Certificate files are read here: invalid names
// the one that cannot be. Nothing is sent before the first call. Destroy it on the io_context's
// thread, before the io_context; await stop() first.
Result<std::unique_ptr<ports::Dcs>> make_etcd_dcs(boost::asio::io_context& io, EtcdOptions options,
                                                  std::string base_path);

}  // namespace relevo::etcd
