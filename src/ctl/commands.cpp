#include "ctl/commands.h"

#include <fmt/core.h>

#include "base/text.h"
#include "ctl/command_tree.h"

namespace relevo::ctl {
namespace {

const std::map<std::string, Format> formats = {{"pretty", Format::pretty},
                                               {"tsv", Format::tsv},
                                               {"json", Format::json},
                                               {"yaml", Format::yaml},
                                               {"yml", Format::yaml}};
const std::vector<std::string> role_names = {"leader",  "primary", "standby-leader",
                                             "replica", "standby", "any"};

constexpr double watch_default_s = 2;

void add_global_options(CommandTree& tree) {
    auto& app = tree.app;
    auto& global = tree.global;
    app.add_option("-c,--config-file", global.config_file,
                   "Configuration file (a member's own will do)")
        ->type_name("FILE");
    app.add_option("-d,--dcs-url,--dcs", global.dcs_url,
                   "The DCS, in place of the configured one: etcd3://host:port/namespace")
        ->envname("DCS_URL")
        ->type_name("URL");
    app.add_flag("-k,--insecure", global.insecure, "Do not verify the members' certificates");
    app.add_flag("--strict", global.strict, "Exit with 1 when a member answered with an error");
    app.set_version_flag("--version", "relevoctl version " + tree.version);
    app.set_help_flag("-h,--help", "Show this text");
}

void add_completion(CommandTree& tree) {
    auto shell = std::make_shared<std::string>();
    auto* command =
        tree.add("completion", "Print a completion script: source <(relevoctl completion bash)");
    command->add_option("SHELL", *shell, "bash")->required()->check(CLI::IsMember({"bash"}));
    command->callback([&tree, shell] {
        tree.offline = [&tree](Terminal& terminal) { terminal.out(bash_completion(tree)); };
    });
}

int usage_error(const CommandTree& tree, Terminal& terminal, const CLI::ParseError& error) {
    std::string command = "relevoctl";
    for (const auto* sub : tree.app.get_subcommands()) command += " " + sub->get_name();
    terminal.err(
        fmt::format("Error: {}\nTry '{} --help' for help.\n", trim(error.what()), command));
    return 2;
}

int failure(Terminal& terminal, const Error& error) {
    if (error.code == ErrorCode::cancelled)
        terminal.err("Aborted!\n");
    else
        terminal.err("Error: " + error.message + "\n");
    return 1;
}

int finish(const CommandTree& tree, Terminal& terminal, const Outcome& outcome) {
    if (!outcome) return failure(terminal, outcome.error());
    switch (*outcome) {
        case Exit::ok: return 0;
        case Exit::failed: return tree.global.strict ? 1 : 0;
    }
    return 1;
}

// nullopt: the words make a command. CLI11 reports by exception; they stop here.
std::optional<int> parse(CommandTree& tree, const std::vector<std::string>& args,
                         Terminal& terminal) {
    try {
        std::vector<std::string> reversed(args.rbegin(), args.rend());
        tree.app.parse(std::move(reversed));
        return std::nullopt;
    } catch (const CLI::CallForHelp&) {
        const CLI::App* named = &tree.app;
        while (!named->get_subcommands().empty()) named = named->get_subcommands().front();
        terminal.out(named->help());
        return 0;
    } catch (const CLI::CallForVersion& version) {
        terminal.out(std::string(version.what()) + "\n");
        return 0;
    } catch (const CLI::ParseError& error) {
        return usage_error(tree, terminal, error);
    }
}

}  // namespace

CLI::App* CommandTree::add(const std::string& name, const std::string& what) {
    auto* command = app.add_subcommand(name, what);
    // Global options are understood behind the command's name too.
    command->fallthrough();
    return command;
}

CLI::App* CommandTree::backup() {
    if (backup_ == nullptr) {
        backup_ = add("backup", "Backups: list, check, run, schedule, expire");
        backup_->require_subcommand(1);
    }
    return backup_;
}

void CommandTree::cluster(CLI::App* command, std::string& name, bool required) {
    command->add_option("CLUSTER", name, "Its name (default: the configuration's scope)")
        ->required(required)
        ->type_name("");
}

void CommandTree::role(CLI::App* command, std::optional<RoleFilter>& role) {
    command
        ->add_option_function<std::string>(
            "-r,--role", [&role](const std::string& text) { role = parse_role_filter(text); },
            "Members with this role: " + join(role_names, ", "))
        ->check(CLI::IsMember(role_names, CLI::ignore_case))
        ->type_name("ROLE");
}

void CommandTree::role(CLI::App* command, RoleFilter& role) {
    command
        ->add_option_function<std::string>(
            "-r,--role",
            [&role](const std::string& text) { role = parse_role_filter(text).value_or(role); },
            "Only members with this role: " + join(role_names, ", "))
        ->check(CLI::IsMember(role_names, CLI::ignore_case))
        ->type_name("ROLE");
}

void CommandTree::force(CLI::App* command, bool& force) {
    command->add_flag("--force", force, "Ask nothing");
}

void CommandTree::format(CLI::App* command, const std::string& option, Format& format) {
    command
        ->add_option_function<std::string>(
            option, [&format](const std::string& text) { format = formats.at(text); },
            "pretty, tsv, json, yaml")
        ->check(CLI::IsMember(std::vector<std::string>{"pretty", "tsv", "json", "yaml", "yml"}))
        ->type_name("FORMAT");
}

void CommandTree::watch(CLI::App* command, std::optional<double>& every_s) {
    command->add_flag_callback(
        "-W", [&every_s] { every_s = every_s.value_or(watch_default_s); },
        "Show it again every 2 seconds");
    command->add_option("-w,--watch", every_s, "Show it again every SECONDS")
        ->check(CLI::PositiveNumber)
        ->type_name("SECONDS");
}

void CommandTree::group(CLI::App* command) {
    command
        ->add_option_function<int>(
            "--group", [this](int) { citus_group = true; }, "Citus group (not supported)")
        ->type_name("N");
}

int run(const std::vector<std::string>& args, Terminal& terminal, const std::string& version,
        const Connect& connect) {
    CommandTree tree;
    tree.version = version;
    add_global_options(tree);
    add_looking_commands(tree);
    add_changing_commands(tree);
    add_backup_job_commands(tree);
    add_backup_commands(tree);
    add_restore_command(tree);
    add_completion(tree);
    if (args.empty()) {
        terminal.out(tree.app.help());
        return 0;
    }
    tree.app.require_subcommand(1);
    if (const auto code = parse(tree, args, terminal)) return *code;
    if (tree.offline) {
        tree.offline(terminal);
        return 0;
    }
    if (tree.citus_group)
        return failure(terminal, {ErrorCode::invalid, "--group: Citus clusters are not supported"});

    auto backend = connect(tree.global);
    if (!backend && !tree.offline_fallback.empty()) {
        terminal.out(tree.offline_fallback);
        return 0;
    }
    if (!backend) return failure(terminal, backend.error());
    return finish(tree, terminal, tree.chosen((*backend)->context()));
}

}  // namespace relevo::ctl
