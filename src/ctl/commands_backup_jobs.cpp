// The words of `relevoctl backup run`, `verify`, `prove`, `proofs`, `schedule` and `expire`.
#include "ctl/backup_jobs.h"
#include "ctl/command_tree.h"

namespace relevo::ctl {
namespace {

CLI::App* add_to_backup(CommandTree& tree, const char* name, const char* what,
                        BackupCommand& words) {
    auto* command = tree.backup()->add_subcommand(name, what);
    command->fallthrough();
    tree.cluster(command, words.cluster, false);
    command->add_option("-f,--format", words.format, "pretty, json")
        ->check(CLI::IsMember({"pretty", "json"}))
        ->type_name("FORMAT");
    tree.group(command);
    return command;
}

}  // namespace

void add_backup_job_commands(CommandTree& tree) {
    auto run = std::make_shared<BackupRunCommand>();
    auto* command = add_to_backup(tree, "run", "Make a backup now", *run);
    command->add_option("--type", run->type, "full (the default), diff, incr")
        ->check(CLI::IsMember({"full", "diff", "incr", "differential", "incremental"}))
        ->type_name("TYPE");
    command->add_flag("--wait", run->wait, "Wait for its end, and show how far it is");
    command->callback([&tree, run] {
        tree.chosen = [run](Context& context) { return backup_run(context, *run); };
    });

    auto verify = std::make_shared<BackupRunCommand>();
    verify->type = "verify";
    command = add_to_backup(
        tree, "verify", "Read all of the repository, and name what is damaged or missing", *verify);
    command->add_flag("--wait", verify->wait, "Wait for its end, and say what was found");
    command->callback([&tree, verify] {
        tree.chosen = [verify](Context& context) { return backup_run(context, *verify); };
    });

    auto prove = std::make_shared<BackupProveCommand>();
    command = add_to_backup(tree, "prove",
                            "Restore the newest backup beside a standby, check it, and remove it",
                            *prove);
    auto* wait =
        command->add_flag("--wait", prove->wait, "Wait for its end, and say what came of it");
    command->add_flag("--cancel", prove->cancel, "End the proof that goes on")->excludes(wait);
    command->callback([&tree, prove] {
        tree.chosen = [prove](Context& context) { return backup_prove(context, *prove); };
    });

    auto proofs = std::make_shared<BackupCommand>();
    add_to_backup(tree, "proofs", "Show whether backups restored, how long that took, and to when",
                  *proofs)
        ->callback([&tree, proofs] {
            tree.chosen = [proofs](Context& context) { return backup_proofs(context, *proofs); };
        });

    auto schedule = std::make_shared<BackupCommand>();
    add_to_backup(tree, "schedule", "Show when backups are due, and the job that runs or ran last",
                  *schedule)
        ->callback([&tree, schedule] {
            tree.chosen = [schedule](Context& context) {
                return backup_schedule(context, *schedule);
            };
        });

    auto expire = std::make_shared<BackupExpireCommand>();
    command = add_to_backup(tree, "expire", "Remove what retention no longer wants", *expire);
    command->add_flag("--dry-run", expire->dry_run, "Only say what would go");
    command->callback([&tree, expire] {
        tree.chosen = [expire](Context& context) { return backup_expire(context, *expire); };
    });
}

}  // namespace relevo::ctl
