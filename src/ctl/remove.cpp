#include "ctl/remove.h"

#include <fmt/core.h>

#include "cluster/keys.h"
#include "ctl/access.h"
#include "ctl/dialogue.h"

namespace relevo::ctl {
namespace {

constexpr std::string_view phrase = "Yes I am aware";

Status typed(Terminal& terminal, const std::string& question, std::string_view wanted) {
    RLV_TRY(const auto answer, prompt(terminal, question));
    if (answer == wanted) return {};
    return fail(ErrorCode::failed, fmt::format("that is not {:?}; nothing was removed", wanted));
}

}  // namespace

Outcome remove(Context& context, const std::string& cluster, Format format) {
    RLV_TRY(const auto loaded, load(context, cluster));
    context.terminal.out(
        list_text({loaded.shown},
                  {.extended = false, .format = format, .colour = context.terminal.colour()}));

    auto& terminal = context.terminal;
    RLV_CHECK(typed(terminal, "Please confirm the cluster name to remove", loaded.name()));
    RLV_CHECK(typed(terminal,
                    fmt::format("You are about to remove all information in the DCS for {}, please "
                                "type: \"{}\"",
                                loaded.name(), phrase),
                    phrase));
    // A cluster with a leader is alive: its members will write their keys again.
    if (const auto& leader = loaded.snapshot().leader; leader && !leader->name.empty())
        RLV_CHECK(typed(terminal,
                        "This cluster currently is healthy. Please specify the leader name to "
                        "continue",
                        leader->name));
    RLV_TRY(const auto removed, loaded.store->commit(cluster::keys::remove_cluster()));
    if (!removed.succeeded)
        return fail(ErrorCode::conflict, "the cluster changed meanwhile; nothing was removed");
    terminal.out(fmt::format("Removed cluster {} from the DCS\n", loaded.name()));
    return Exit::ok;
}

}  // namespace relevo::ctl
