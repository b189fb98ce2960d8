#include <fmt/core.h>

#include "cluster/keys.h"
#include "ctl/access.h"
#include "ctl/config_edit.h"
#include "ctl/dialogue.h"
#include "ctl/diff.h"
#include "ctl/settings.h"
#include "ctl/yaml.h"

namespace relevo::ctl {
namespace {

using config::Node;

Result<Node> current_config(const Loaded& loaded) {
    const auto& key = loaded.snapshot().config;
    if (!key)
        return fail(
            ErrorCode::not_found,
            fmt::format("cluster {} has no configuration in the DCS; is its name right, and "
                        "has its first member started?",
                        loaded.name()));
    auto node = config::parse_json(key->json);
    if (!node || !node->is(Node::Kind::map))
        return fail(
            ErrorCode::invalid,
            fmt::format("the configuration of cluster {} in the DCS is no JSON object; write "
                        "a good one with `relevoctl edit-config {} --replace FILE`",
                        loaded.name(), loaded.name()));
    return sorted(*std::move(node));
}

// Whoever replaces everything does not need what was there to be readable; but a cluster must be
// there, or a misspelt name would make one.
Result<Node> starting_point(const Loaded& loaded, const EditConfigCommand& command) {
    auto current = current_config(loaded);
    if (current || !command.replace || !loaded.snapshot().initialize) return current;
    return Node::map();
}

// replace, then apply, then the single settings; none of them: the editor.
Result<Node> edited(Context& context, const Loaded& loaded, const EditConfigCommand& command,
                    const Node& before) {
    const bool interactive =
        !command.replace && !command.apply && command.set.empty() && command.pg.empty();
    if (interactive) {
        RLV_TRY(const auto text, context.desk.edit(loaded.name(), config::to_yaml(before)));
        return parse_settings(text, "the edited text");
    }
    Node node = before;
    if (command.replace) {
        RLV_TRY(const auto text, context.desk.read_file(*command.replace));
        RLV_TRY(node, parse_settings(text, *command.replace));
    }
    if (command.apply) {
        RLV_TRY(const auto text, context.desk.read_file(*command.apply));
        RLV_TRY(const auto patch, parse_settings(text, *command.apply));
        config::merge(node, patch);
    }
    for (const auto& setting : command.set) RLV_CHECK(apply_setting(node, setting));
    for (const auto& parameter : command.pg) RLV_CHECK(apply_parameter(node, parameter));
    return node;
}

Status show_diff(Context& context, const std::string& before, const std::string& after) {
    const auto diff = unified_diff(before, after, context.terminal.colour());
    if (context.terminal.interactive()) return context.desk.page(diff);
    context.terminal.out(diff);
    return {};
}

// What the members will make of it: said before it is too late.
void warn_of_adjustments(Context& context, const std::string& json) {
    const auto settings = cluster::read_settings(json);
    if (!settings) return;
    for (const auto& note : settings->notes) context.terminal.err("Warning: " + note + "\n");
}

}  // namespace

Outcome show_config(Context& context, const std::string& cluster) {
    RLV_TRY(const auto loaded, load(context, cluster));
    RLV_TRY(const auto node, current_config(loaded));
    context.terminal.out(config::to_yaml(node));
    return Exit::ok;
}

Outcome edit_config(Context& context, const EditConfigCommand& command) {
    RLV_TRY(const auto loaded, load(context, command.cluster));
    RLV_TRY(const auto before, starting_point(loaded, command));
    RLV_TRY(const auto node, edited(context, loaded, command, before));
    const auto after = sorted(node);
    if (loaded.snapshot().config && config::to_json(before) == config::to_json(after)) {
        context.terminal.out("Not changed\n");
        return Exit::ok;
    }
    if (!command.quiet)
        RLV_CHECK(show_diff(context, config::to_yaml(before), config::to_yaml(after)));
    const auto json = config::to_json(node);
    const auto refused = cluster::newly_refused(config::to_json(before), json);
    if (!refused.empty())
        return fail(ErrorCode::invalid, refused + "; the configuration is unchanged");
    warn_of_adjustments(context, json);

    if (!command.force) {
        if (command.apply == "-" || command.replace == "-") {
            context.terminal.out("Use --force to apply these changes\n");
            return Exit::ok;
        }
        RLV_TRY(const bool yes, confirm(context.terminal, "Apply these changes?"));
        if (!yes) return Exit::ok;
    }
    const auto& key = loaded.snapshot().config;
    const auto known = key ? std::optional(key->mod_revision) : std::nullopt;
    RLV_TRY(const auto written, loaded.store->commit(cluster::keys::put_config(json, known)));
    if (!written.succeeded)
        return fail(
            ErrorCode::conflict,
            "somebody else changed the configuration meanwhile; nothing was written, look at "
            "`relevoctl show-config` and try again");
    context.terminal.out("Configuration changed\n");
    return Exit::ok;
}

}  // namespace relevo::ctl
