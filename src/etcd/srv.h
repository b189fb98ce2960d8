// Finding etcd through DNS (contract 4.7): SRV records of a domain.
#pragma once

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "etcd/etcd_dcs.h"

namespace relevo::etcd {

struct SrvQuestion {
    std::string domain;
    std::string suffix;                      // "": none
    std::optional<EtcdEndpoint> nameserver;  // none: as the system is configured
    std::chrono::seconds timeout{1};         // of one query
};

// Blocking: for a thread of its own. Asks for _etcd-client-ssl, _etcd-client, _etcd-ssl, _etcd,
// _etcd-server-ssl and _etcd-server (each -suffix) below _tcp.domain, and takes the first that has
// nodes; behind the -server names are peers, which are asked over HTTP for their clients' URLs.
// unavailable: nothing was found, or `stopping` became true meanwhile.
Result<std::vector<EtcdEndpoint>> discover(const SrvQuestion& question,
                                           const std::atomic<bool>& stopping);

}  // namespace relevo::etcd
