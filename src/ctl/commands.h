// The command line: what the words mean, and the way from an outcome to texts and exit codes
// (contract 6.1). 0: done, and also when a member answered with an error, unless --strict; 1: Error
// or Aborted!; 2: the words make no command.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "ctl/context.h"

namespace relevo::ctl {

struct GlobalOptions {
    std::optional<std::string> config_file;  // -c, RELEVOCTL_CONFIG_FILE, PATRONICTL_CONFIG_FILE
    std::optional<std::string> dcs_url;      // -d, DCS_URL
    bool insecure = false;                   // -k
    bool strict = false;
};

// Owns what a Context refers to.
class Backend {
public:
    virtual ~Backend() = default;
    virtual Context& context() = 0;
};

// Called once, when the command needs the cluster: help and completion work without any
// configuration.
using Connect = std::function<Result<std::unique_ptr<Backend>>(const GlobalOptions&)>;

// args: without the program's name. Returns the exit code.
int run(const std::vector<std::string>& args, Terminal& terminal, const std::string& version,
        const Connect& connect);

}  // namespace relevo::ctl
