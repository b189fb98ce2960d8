// The words of the commands that change something.
#include <map>
#include <string_view>

#include "ctl/command_tree.h"
#include "ctl/members.h"
#include "ctl/remove.h"
#include "ctl/settings.h"
#include "ctl/switchover.h"

namespace relevo::ctl {
namespace {

void add_switchover(CommandTree& tree) {
    auto words = std::make_shared<SwitchoverCommand>();
    auto* command = tree.add("switchover", "Let a healthy leader hand over to another member");
    tree.cluster(command, words->cluster, false);
    command->add_option("--leader,--primary", words->leader, "Who leads now")->type_name("NAME");
    command->add_option("--candidate", words->candidate, "Who shall lead")->type_name("NAME");
    command
        ->add_option("--scheduled", words->scheduled,
                     "When: now, or a time such as 2031-02-03T04:05")
        ->type_name("TIME");
    tree.force(command, words->force);
    tree.group(command);
    command->callback([&tree, words] {
        tree.chosen = [words](Context& context) { return switchover(context, *words); };
    });
}

void add_failover(CommandTree& tree) {
    auto words = std::make_shared<SwitchoverCommand>();
    words->failover = true;
    auto* command = tree.add("failover", "Let a member take the lead, even without a leader");
    tree.cluster(command, words->cluster, false);
    command->add_option("--candidate", words->candidate, "Who shall lead")->type_name("NAME");
    tree.force(command, words->force);
    tree.group(command);
    command->callback([&tree, words] {
        tree.chosen = [words](Context& context) { return switchover(context, *words); };
    });
}

void add_members(CommandTree& tree, CLI::App* command, MembersCommand& words) {
    tree.cluster(command, words.cluster, true);
    command->add_option("MEMBER", words.members, "Only these members")->type_name("");
    tree.force(command, words.force);
    tree.group(command);
}

void add_restart(CommandTree& tree) {
    auto words = std::make_shared<RestartCommand>();
    auto* command = tree.add("restart", "Restart PostgreSQL at members");
    add_members(tree, command, *words);
    tree.role(command, words->role);
    command->add_flag("--any", words->any, "One of them, at random");
    command
        ->add_option("--scheduled", words->scheduled,
                     "When: now, or a time such as 2031-02-03T04:05")
        ->type_name("TIME");
    command->add_option("--pg-version", words->pg_version, "Only where PostgreSQL is older")
        ->type_name("VERSION");
    command->add_flag("--pending", words->pending, "Only where a restart is pending");
    command->add_option("--timeout", words->timeout, "Fail over when it takes longer, e.g. 30s")
        ->type_name("TIME");
    command->callback([&tree, words] {
        tree.chosen = [words](Context& context) { return restart(context, *words); };
    });
}

void add_reload(CommandTree& tree) {
    auto words = std::make_shared<MembersCommand>();
    auto* command = tree.add("reload", "Let members read their configuration files again");
    add_members(tree, command, *words);
    tree.role(command, words->role);
    command->callback([&tree, words] {
        tree.chosen = [words](Context& context) { return reload(context, *words); };
    });
}

void add_reinit(CommandTree& tree) {
    auto words = std::make_shared<ReinitCommand>();
    auto* command = tree.add("reinit", "Rebuild replicas: their data is removed and cloned again");
    add_members(tree, command, *words);
    command->add_flag("--from-leader", words->from_leader, "Clone from the leader");
    command->add_flag("--wait", words->wait, "Wait until they are rebuilt");
    command->callback([&tree, words] {
        tree.chosen = [words](Context& context) { return reinit(context, *words); };
    });
}

void add_amcheck(CommandTree& tree) {
    auto words = std::make_shared<AmcheckCommand>();
    auto* command = tree.add("amcheck", "Let standbys look through their data for damage, now");
    add_members(tree, command, *words);
    tree.role(command, words->role);
    command->add_flag("--cancel", words->cancel, "End the look that goes on");
    command->callback([&tree, words] {
        tree.chosen = [words](Context& context) { return amcheck(context, *words); };
    });
}

void add_pause(CommandTree& tree, const char* name, const char* what, bool on) {
    struct Words {
        std::string cluster;
        bool wait = false;
    };
    auto words = std::make_shared<Words>();
    auto* command = tree.add(name, what);
    tree.cluster(command, words->cluster, false);
    command->add_flag("--wait", words->wait, "Wait until all members know");
    tree.group(command);
    command->callback([&tree, words, on] {
        tree.chosen = [words, on](Context& context) {
            return pause(context, words->cluster, on, words->wait);
        };
    });
}

void add_edit_config(CommandTree& tree) {
    auto words = std::make_shared<EditConfigCommand>();
    auto* command = tree.add("edit-config", "Change the cluster's dynamic configuration");
    tree.cluster(command, words->cluster, false);
    command->add_flag("-q,--quiet", words->quiet, "Do not show what changes");
    // One value each: what follows is the cluster's name.
    command
        ->add_option("-s,--set", words->set, "Set a value, e.g. ttl=20; null removes; repeatable")
        ->allow_extra_args(false)
        ->type_name("K=V");
    command
        ->add_option("-p,--pg", words->pg,
                     "Set a PostgreSQL parameter, e.g. max_connections=200; repeatable")
        ->allow_extra_args(false)
        ->type_name("K=V");
    command->add_option("--apply", words->apply, "Merge this YAML file in; - is standard input")
        ->type_name("FILE");
    command
        ->add_option("--replace", words->replace,
                     "Take this YAML file instead; - is standard input")
        ->type_name("FILE");
    tree.force(command, words->force);
    tree.group(command);
    command->callback([&tree, words] {
        tree.chosen = [words](Context& context) { return edit_config(context, *words); };
    });
}

// CLUSTER [MEMBER...] restart|switchover|corruption: the target stands last.
void add_flush(CommandTree& tree) {
    struct Words : MembersCommand {
        std::vector<std::string> all;
        FlushTarget target = FlushTarget::restart;
    };
    auto words = std::make_shared<Words>();
    auto* command =
        tree.add("flush", "Drop a scheduled restart or switchover, or what was found corrupted");
    command->add_option("WORDS", words->all, "CLUSTER [MEMBER...] restart|switchover|corruption")
        ->required()
        ->type_name("");
    tree.role(command, words->role);
    tree.force(command, words->force);
    tree.group(command);
    command->callback([&tree, words] {
        auto& all = words->all;
        const std::map<std::string_view, FlushTarget> targets = {
            {"restart", FlushTarget::restart},
            {"switchover", FlushTarget::switchover},
            {"corruption", FlushTarget::corruption}};
        const auto target = all.empty() ? targets.end() : targets.find(all.back());
        if (all.size() < 2 || target == targets.end())
            throw CLI::ValidationError(
                "flush",
                "write: relevoctl flush CLUSTER [MEMBER...] restart|switchover|corruption");
        words->target = target->second;
        words->cluster = all.front();
        words->members.assign(all.begin() + 1, all.end() - 1);
        tree.chosen = [words](Context& context) { return flush(context, *words, words->target); };
    });
}

void add_remove(CommandTree& tree) {
    struct Words {
        std::string cluster;
        Format format = Format::pretty;
    };
    auto words = std::make_shared<Words>();
    auto* command = tree.add("remove", "Take all that the DCS knows of a cluster out of it");
    tree.cluster(command, words->cluster, true);
    tree.format(command, "-f,--format", words->format);
    tree.group(command);
    command->callback([&tree, words] {
        tree.chosen = [words](Context& context) {
            return remove(context, words->cluster, words->format);
        };
    });
}

void add_standby_cluster(CommandTree& tree) {
    auto demote = std::make_shared<DemoteClusterCommand>();
    auto* command = tree.add("demote-cluster",
                             "Make this cluster the standby of another one (a leader of Patroni's "
                             "only: relevo refuses it yet)");
    tree.cluster(command, demote->cluster, false);
    command->add_option("--host", demote->host, "Host to stream from");
    command->add_option("--port", demote->port, "Its port");
    command->add_option("--restore-command", demote->restore_command, "How to fetch WAL instead");
    command->add_option("--primary-slot-name", demote->primary_slot_name, "Slot to stream with");
    tree.force(command, demote->force);
    command->callback([&tree, demote] {
        tree.chosen = [demote](Context& context) { return demote_cluster(context, *demote); };
    });

    struct Words {
        std::string cluster;
        bool force = false;
    };
    auto words = std::make_shared<Words>();
    command = tree.add("promote-cluster",
                       "Make this standby cluster one of its own (a leader of Patroni's only)");
    tree.cluster(command, words->cluster, false);
    tree.force(command, words->force);
    command->callback([&tree, words] {
        tree.chosen = [words](Context& context) {
            return promote_cluster(context, words->cluster, words->force);
        };
    });
}

}  // namespace

void add_changing_commands(CommandTree& tree) {
    add_switchover(tree);
    add_failover(tree);
    add_restart(tree);
    add_reload(tree);
    add_reinit(tree);
    add_amcheck(tree);
    add_pause(tree, "pause", "Stop automatic failover and other actions", true);
    add_pause(tree, "resume", "Let the agents act again", false);
    add_edit_config(tree);
    add_flush(tree);
    add_remove(tree);
    add_standby_cluster(tree);
}

}  // namespace relevo::ctl
