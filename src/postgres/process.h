// The postmaster as a process: postmaster.pid and whether the process it names is really ours, what
// of the cluster still lives, and the environment a new one gets (contract 1.6).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "os/process.h"
#include "ports/postgres_config.h"

namespace relevo::postgres {

struct PidFile {
    pid_t pid = 0;
    std::string data_dir;
    std::int64_t started_s = 0;  // since 1970
    int port = 0;
    std::string socket_directory, listen_address;
    bool single_user = false;  // `postgres --single`, initdb's among them: nobody connects to it
    std::string status;        // "starting", "ready", "standby", "stopping", "" (not written yet)
};

// postmaster.pid's text; nothing when its first line is no process number. Pure.
std::optional<PidFile> parse_pid_file(std::string_view text);

// Blocks. Nothing: no such file. invalid: it is there and cannot be understood.
Result<std::optional<PidFile>> read_pid_file(const std::string& data_dir);

// The rules of the contract's 1.6. `data_dir` is the real path, `self` and `parent` are ours. Pure.
bool is_our_postmaster(const PidFile& file, const os::ProcessInfo& process,
                       const std::string& data_dir, const std::string& program, pid_t self,
                       pid_t parent);

// Every process that works in the data directory as a PostgreSQL server, postmaster or orphan,
// without touching a disk: its working directory and program tell. data_dir: the real path.
std::vector<os::ProcessInfo> server_processes(const std::string& data_dir,
                                              const std::string& program,
                                              os::Detail detail = os::Detail::all);

// Changes to our environment for the postmaster. grandparent: the process that a stale
// postmaster.pid names, when it lives and is no postmaster (0: none).
std::map<std::string, std::optional<std::string>> postmaster_environment(pid_t grandparent);

// The options of postmaster.opts that a single-user server takes, without program and -D. Pure.
std::vector<std::string> options_of_last_start(std::string_view postmaster_opts);

// Why PostgreSQL cannot be run by us (root), if so.
Status may_run_servers();

}  // namespace relevo::postgres
