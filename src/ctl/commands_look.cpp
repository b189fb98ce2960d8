// The words of the commands that change nothing, save what SQL does.
#include <fmt/core.h>

#include "ctl/command_tree.h"
#include "ctl/explain.h"
#include "ctl/query.h"
#include "ctl/settings.h"
#include "ctl/show.h"

namespace relevo::ctl {
namespace {

void add_list(CommandTree& tree) {
    auto words = std::make_shared<ListCommand>();
    auto* command = tree.add("list", "Show the members of clusters: role, state, lag");
    command->add_option("CLUSTER", words->clusters, "Clusters (default: the configuration's scope)")
        ->type_name("");
    command->add_flag("-e,--extended", words->extended, "All columns, also the empty ones");
    command->add_flag("-t,--timestamp", words->timestamp, "Print the time first");
    tree.format(command, "-f,--format", words->format);
    tree.watch(command, words->watch.every_s);
    tree.group(command);
    command->callback([&tree, words] {
        tree.chosen = [words](Context& context) { return list(context, *words); };
    });
}

void add_topology(CommandTree& tree) {
    auto words = std::make_shared<ListCommand>();
    words->format = Format::topology;
    auto* command = tree.add("topology", "Show who streams from whom, as a tree");
    command->add_option("CLUSTER", words->clusters, "Clusters (default: the configuration's scope)")
        ->type_name("");
    tree.watch(command, words->watch.every_s);
    tree.group(command);
    command->callback([&tree, words] {
        tree.chosen = [words](Context& context) { return list(context, *words); };
    });
}

void add_history(CommandTree& tree) {
    auto words = std::make_shared<HistoryCommand>();
    auto* command = tree.add("history", "Show the past switchovers and failovers");
    tree.cluster(command, words->cluster, false);
    tree.format(command, "-f,--format", words->format);
    tree.group(command);
    command->callback([&tree, words] {
        tree.chosen = [words](Context& context) { return history(context, *words); };
    });
}

void add_explain(CommandTree& tree) {
    auto words = std::make_shared<ExplainCommand>();
    auto* command = tree.add("explain", "Show how the leader changed, as all members saw it");
    command
        ->add_option("WHICH", words->words,
                     "last (the default) or a number, 1 the oldest; and the cluster's name "
                     "(default: the configuration's scope)")
        ->expected(0, 2)
        ->type_name("");
    command->add_option("-f,--format", words->format, "pretty, json")
        ->check(CLI::IsMember({"pretty", "json"}))
        ->type_name("FORMAT");
    tree.group(command);
    command->callback([&tree, words] {
        tree.chosen = [words](Context& context) { return explain(context, *words); };
    });
}

void add_show_config(CommandTree& tree) {
    auto cluster = std::make_shared<std::string>();
    auto* command = tree.add("show-config", "Show the cluster's dynamic configuration");
    tree.cluster(command, *cluster, false);
    tree.group(command);
    command->callback([&tree, cluster] {
        tree.chosen = [cluster](Context& context) { return show_config(context, *cluster); };
    });
}

void add_dsn(CommandTree& tree) {
    auto words = std::make_shared<DsnCommand>();
    auto* command = tree.add("dsn", "Print host and port of a member (default: the leader)");
    tree.cluster(command, words->cluster, false);
    tree.role(command, words->role);
    command->add_option("-m,--member", words->member, "This member")->type_name("MEMBER");
    command->add_flag("-a,--all", words->all,
                      "All members as libpq's list: it connects to the one of that role itself");
    tree.group(command);
    command->callback([&tree, words] {
        tree.chosen = [words](Context& context) { return dsn(context, *words); };
    });
}

void add_query(CommandTree& tree) {
    auto words = std::make_shared<QueryCommand>();
    auto* command = tree.add("query", "Run SQL at a member (default: the leader)");
    tree.cluster(command, words->cluster, false);
    tree.role(command, words->role);
    command->add_option("-m,--member", words->member, "This member")->type_name("MEMBER");
    command->add_option("-c,--command", words->statement, "The SQL")->type_name("SQL");
    command->add_option("-f,--file", words->file, "A file with the SQL; - is standard input")
        ->type_name("FILE");
    command->add_option("-U,--username", words->user, "Database user")->type_name("USER");
    command->add_flag("--password", words->ask_password, "Ask for the password");
    command->add_option("-d,--dbname", words->database, "Database")->type_name("DB");
    tree.format(command, "--format", words->format);
    command->add_option("--delimiter", words->delimiter,
                        "Between the columns of tsv (default: a tab)");
    tree.watch(command, words->watch.every_s);
    tree.group(command);
    command->callback([&tree, words] {
        tree.chosen = [words](Context& context) { return query(context, *words); };
    });
}

void add_version(CommandTree& tree) {
    auto words = std::make_shared<VersionCommand>();
    words->own = tree.version;
    auto* command = tree.add("version", "Print this program's version and the members'");
    tree.cluster(command, words->cluster, false);
    command->add_option("MEMBER", words->members, "Only these members")->type_name("");
    tree.group(command);
    command->callback([&tree, words] {
        if (words->cluster.empty())
            tree.offline_fallback = fmt::format("relevoctl version {}\n", tree.version);
        tree.chosen = [words](Context& context) { return version(context, *words); };
    });
}

}  // namespace

void add_looking_commands(CommandTree& tree) {
    add_list(tree);
    add_topology(tree);
    add_history(tree);
    add_explain(tree);
    add_show_config(tree);
    add_dsn(tree);
    add_query(tree);
    add_version(tree);
}

}  // namespace relevo::ctl
