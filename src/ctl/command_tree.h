// The tree of commands while it is made: internal to commands*.cpp.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>

#include "ctl/access.h"
#include "ctl/commands.h"
#include "ctl/records.h"

namespace relevo::ctl {

struct CommandTree {
    CLI::App app{"Looks after PostgreSQL clusters run by relevo or Patroni.", "relevoctl"};
    GlobalOptions global;
    std::string version;
    bool citus_group = false;
    // Set by the command that the words named.
    std::function<Outcome(Context&)> chosen;
    std::function<void(Terminal&)> offline;  // a command that needs no cluster
    std::string offline_fallback;            // printed when there is no configuration at all

    CLI::App* add(const std::string& name, const std::string& what);
    CLI::App* backup();  // `relevoctl backup`, below which the commands about backups stand
    // The command's parts, with the words that all commands share for them.
    void cluster(CLI::App* command, std::string& name, bool required);
    void role(CLI::App* command, std::optional<RoleFilter>& role);
    void role(CLI::App* command, RoleFilter& role);
    void force(CLI::App* command, bool& force);
    void format(CLI::App* command, const std::string& option, Format& format);
    void watch(CLI::App* command, std::optional<double>& every_s);
    void group(CLI::App* command);

private:
    CLI::App* backup_ = nullptr;
};

void add_looking_commands(CommandTree& tree);     // list, topology, history, dsn, query, ...
void add_changing_commands(CommandTree& tree);    // switchover, restart, edit-config, ...
void add_backup_job_commands(CommandTree& tree);  // backup run, schedule, expire
void add_backup_commands(CommandTree& tree);      // backup list, check
void add_restore_command(CommandTree& tree);

// A script for bash made from the tree itself.
std::string bash_completion(CommandTree& tree);

}  // namespace relevo::ctl
