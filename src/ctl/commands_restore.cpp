// The words of `relevoctl restore`.
#include "ctl/command_tree.h"
#include "ctl/restore.h"

namespace relevo::ctl {
namespace {

void add_target(CLI::App* command, cluster::TargetWords& words) {
    command->add_option("--to", words.time, "A time with its zone, as in \"2026-05-14 10:00+00\"")
        ->type_name("TIME");
    command->add_option("--to-lsn", words.lsn, "A position in the WAL, as in 0/4000060")
        ->type_name("LSN");
    command->add_option("--to-xid", words.xid, "A transaction, as pg_current_xact_id() shows it")
        ->type_name("XID");
    command->add_flag("--latest", words.latest, "The end of what the archive has");
    command->add_flag("--immediate", words.immediate, "The end of the backup, and no further");
    command->add_flag("--exclusive", words.exclusive, "Stop just before the target");
    command
        ->add_option("--timeline", words.timeline,
                     "latest (the cluster's, the default), current (the backup's), or its number")
        ->type_name("TL");
}

}  // namespace

void add_restore_command(CommandTree& tree) {
    auto words = std::make_shared<RestoreCommand>();
    auto* command = tree.add(
        "restore",
        "Restore the cluster as it was at a point in time, beside the cluster or in place");
    tree.cluster(command, words->cluster, false);
    add_target(command, words->target);
    command
        ->add_option("--backup", words->backup,
                     "The backup to begin with (default: the newest that reaches the target)")
        ->type_name("LABEL");
    command
        ->add_option("--into-new-cluster", words->into,
                     "An absent or empty directory on the member's host; without it only what "
                     "would be done is shown")
        ->type_name("DIR");
    command->add_flag("--in-place", words->in_place,
                      "Replace the cluster's own data: all members are stopped, one restores, the "
                      "others are cloned from it; the old data is kept beside");
    command->add_flag("--force", words->force, "Do not ask before --in-place does it");
    command
        ->add_option("--member", words->member,
                     "Who restores, on its own host (default: a replica, else the leader)")
        ->type_name("NAME");
    command->add_flag("--dry-run", words->dry_run, "Only show what would be done");
    command->add_flag("--no-wait", words->no_wait, "Do not wait for its end");
    command->add_flag("--status", words->status, "Show the restore that goes on, or was the last");
    command->add_flag("--cancel", words->cancel, "End the restore that goes on");
    command->add_option("-f,--format", words->format, "pretty, json")
        ->check(CLI::IsMember({"pretty", "json"}))
        ->type_name("FORMAT");
    tree.group(command);
    command->callback([&tree, words] {
        tree.chosen = [words](Context& context) { return restore(context, *words); };
    });
}

}  // namespace relevo::ctl
