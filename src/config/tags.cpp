// The `tags` section, as it is published (contract 2.5), and contradictions in it.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "config/reader.h"
#include "config/sections.h"

namespace relevo::config {
namespace {

constexpr std::array switches = {"nofailover", "noloadbalance", "clonefrom", "nosync", "nostream"};

std::optional<bool> flag(const Node* tags, std::string_view name) {
    const Node* value = tags->find(name);
    return value != nullptr && value->is_scalar() ? parse_bool(value->text) : std::nullopt;
}

// nofailover against failover_priority, nosync against sync_priority: the flag wins, the operator
// is told.
void check_pair(const Node* tags, const char* name, const char* priority, LocalConfig& out) {
    const auto no = flag(tags, name);
    const Node* given = tags->find(priority);
    const auto level = given != nullptr ? parse_int(given->text) : std::nullopt;
    if (no && level && *no == (*level > 0))
        out.warnings.push_back(
            fmt::format("tags: {} is {} and {} is {}, which contradict each other; {} wins", name,
                        *no, priority, *level, name));
}

}  // namespace

void read_tags(const Node& tree, LocalConfig& out, std::vector<Problem>& problems) {
    const Node* tags = tree.find("tags");
    Reader section(tags, "tags", problems);
    if (tags == nullptr || !tags->is(Node::Kind::map)) return;
    for (const char* name : switches) {
        bool ignored = false;
        section.boolean(name, ignored);
    }
    for (const char* name : {"failover_priority", "sync_priority"}) {
        std::int64_t ignored = 0;
        section.integer(name, ignored, INT32_MIN, INT32_MAX);
    }
    check_pair(tags, "nofailover", "failover_priority", out);
    check_pair(tags, "nosync", "sync_priority", out);
    for (const auto& [name, value] : tags->fields) {
        if (value.is(Node::Kind::null)) continue;
        if (std::ranges::find(switches, std::string_view(name)) == switches.end()) {
            out.tags.published[name] = {to_json(value)};
            continue;
        }
        const bool kept = (name == "nofailover" && tags->find("failover_priority") != nullptr) ||
                          (name == "nosync" && tags->find("sync_priority") != nullptr);
        const auto on = flag(tags, name);
        if (on && (*on || kept)) out.tags.published[name] = {*on ? "true" : "false"};
    }
}

}  // namespace relevo::config
