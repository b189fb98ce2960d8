#include "rest/leader_key.h"

#include <nlohmann/json.hpp>

namespace relevo::rest {

namespace {
constexpr std::string_view opening = "/v2/keys/";
constexpr int key_not_found = 100;  // etcd's own code

bool shown(const ports::View& view, Instant now) {
    if (!view.snapshot || !view.snapshot->leader) return false;
    if (view.snapshot->leader->name != view.name) return true;
    return view.lock_valid(now) && view.postgres.primary() && !view.keeps_clients_out;
}
}  // namespace

std::optional<LeaderKeyAnswer> leader_key_answer(std::string_view path, const ports::View& view,
                                                 Instant now) {
    if (!path.starts_with(opening) || !path.ends_with("/" + view.scope + "/leader"))
        return std::nullopt;
    const auto key = path.substr(opening.size() - 1);
    if (!shown(view, now)) {
        const nlohmann::json none = {{"errorCode", key_not_found},
                                     {"message", "Key not found"},
                                     {"cause", key},
                                     {"index", 1}};
        return LeaderKeyAnswer{404, none.dump()};
    }
    const auto& leader = *view.snapshot->leader;
    const nlohmann::json node = {{"key", key},
                                 {"value", leader.name},
                                 {"modifiedIndex", leader.mod_revision},
                                 {"createdIndex", leader.create_revision}};
    return LeaderKeyAnswer{200, nlohmann::json({{"action", "get"}, {"node", node}}).dump()};
}

}  // namespace relevo::rest
