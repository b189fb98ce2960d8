// The words of `relevoctl backup`.
#include "ctl/backup.h"
#include "ctl/command_tree.h"

namespace relevo::ctl {
namespace {

void add_list(CommandTree& tree, CLI::App* backup) {
    auto words = std::make_shared<BackupListCommand>();
    auto* command = backup->add_subcommand("list", "Show the backups in the repository");
    command->fallthrough();
    tree.cluster(command, words->cluster, false);
    tree.format(command, "-f,--format", words->format);
    command->callback([&tree, words] {
        tree.chosen = [words](Context& context) { return backup_list(context, *words); };
    });
}

void add_check(CommandTree& tree, CLI::App* backup) {
    auto cluster = std::make_shared<std::string>();
    auto* command = backup->add_subcommand(
        "check", "Check that WAL reaches the repository, and that all members can use it");
    command->fallthrough();
    tree.cluster(command, *cluster, false);
    command->callback([&tree, cluster] {
        tree.chosen = [cluster](Context& context) { return backup_check(context, *cluster); };
    });
}

}  // namespace

void add_backup_commands(CommandTree& tree) {
    add_list(tree, tree.backup());
    add_check(tree, tree.backup());
}

}  // namespace relevo::ctl
