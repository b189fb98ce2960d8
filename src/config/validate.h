// --validate-config (contract 1.11): what is wrong with a configuration that loads, as far as this
// host can tell: ports, directories, programs, reachability of etcd, and the values in
// bootstrap.dcs. Blocking, a second at most for each host of etcd. Nothing is written anywhere.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "config/local.h"
#include "config/problem.h"

namespace relevo::config {

struct ValidateOptions {
    bool ignore_listen_port = false;  // -i: do not complain about ports in use (a running member)
    std::chrono::milliseconds connect_timeout{1000};  // for each host of etcd
};

std::vector<Problem> validate(const LocalConfig& config, const ValidateOptions& options = {});

// Where `name` ("pg_ctl", or what bin_name says) is executable: in bin_dir, or in PATH when that is
// empty. Empty: nowhere.
std::string find_program(const ports::PostgresConfig& postgres, const std::string& name);

}  // namespace relevo::config
