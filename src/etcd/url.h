// etcd's addresses as text.
#pragma once

#include <optional>
#include <string_view>

#include "etcd/etcd_dcs.h"

namespace relevo::etcd {

// "http://10.0.0.1:2379/", "https://[::1]:2379", also with user:password@ (left out). nullopt: no
// host, a bad port, or another scheme (etcd may list unix:// too).
std::optional<EtcdEndpoint> parse_url(std::string_view url);

}  // namespace relevo::etcd
