// How the REST API is served: the `restapi` section of the local configuration (contract 2.5).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "net/http_client.h"
#include "net/tls.h"

namespace relevo::rest {

struct RestOptions {
    std::string listen;  // "host:port"; host '' or '*': all addresses, dual stack
    std::optional<net::Credentials> authentication;
    net::ServerTls tls;
    std::vector<std::string>
        allowlist;  // addresses, CIDRs, host names (resolved at start and reload)
    bool allowlist_include_members = false;
    std::map<std::string, std::string> http_extra_headers, https_extra_headers;
    int request_queue_size = 5;              // the backlog is never less than 128: docs/adr/0010
    std::string server_tokens = "Original";  // Original, Minimal, ProductOnly
    std::string relevo_version;              // the product's own, for the status
    bool operator==(const RestOptions&) const = default;
};

}  // namespace relevo::rest
