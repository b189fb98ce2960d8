// Looks at this host for --validate-config: blocking, each bounded by its timeout. Internal to the
// room.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "config/address.h"

namespace relevo::config {

// Why a server could not listen there now ("is in use", "is no address of this host", ...), or
// nullopt.
std::optional<std::string> why_not_listen(const Address& address);

// Why no TCP connection comes about, or nullopt. All addresses of the name are tried within the
// timeout; the lookup itself is the resolver's and not bounded here.
std::optional<std::string> why_not_connect(const Address& address,
                                           std::chrono::milliseconds timeout);

// The first line a program prints when run with one argument; nullopt when it cannot be run.
std::optional<std::string> first_line_of(const std::string& program, const std::string& argument);

}  // namespace relevo::config
