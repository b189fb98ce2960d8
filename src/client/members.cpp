#include "client/members.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

namespace relevo::client {

namespace {

using Json = nlohmann::json;

// Nothing here is deeper than a member's tags; what is makes nobody recurse.
constexpr int depth_max = 16;
constexpr std::size_t members_max = 1000;

std::string text_of(const Json& object, const char* name) {
    const auto at = object.find(name);
    return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

std::optional<std::uint64_t> number_of(const Json& object, const char* name) {
    const auto at = object.find(name);
    // A lag that is not known is the text "unknown". What is positive is kept as unsigned.
    if (at == object.end() || !at->is_number_unsigned()) return std::nullopt;
    return at->get<std::uint64_t>();
}

// A tag is Patroni's, and so a YAML of somebody's: true, "true", 1.
bool is_set(const Json& object, const char* name) {
    const auto at = object.find(name);
    if (at == object.end()) return false;
    if (at->is_boolean()) return at->get<bool>();
    if (at->is_number_integer()) return *at != 0;
    if (!at->is_string()) return false;
    const auto& text = at->get_ref<const std::string&>();
    return text == "true" || text == "on" || text == "yes" || text == "1";
}

// It becomes a part of libpq's parameters: a list there would be several hosts, and a directory a
// socket of this machine.
bool plain_host(const std::string& host) {
    return !host.empty() && host.size() <= 255 && std::ranges::all_of(host, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '.' || c == '-' || c == '_' || c == ':' || c == '%';
    });
}

std::optional<Member> member_of(const Json& object) {
    if (!object.is_object()) return std::nullopt;
    Member member;
    member.name = text_of(object, "name");
    member.endpoint.host = text_of(object, "host");
    const auto port = number_of(object, "port").value_or(5432);
    if (member.name.empty() || !plain_host(member.endpoint.host) || port == 0 || port > 65535)
        return std::nullopt;
    member.endpoint.port = std::to_string(port);
    const auto role = text_of(object, "role"), state = text_of(object, "state");
    member.leads =
        (role == "leader" || role == "master" || role == "primary") && state == "running";
    member.streams = state == "streaming";
    const auto timeline = number_of(object, "timeline").value_or(0);
    if (timeline <= std::numeric_limits<std::uint32_t>::max())
        member.timeline = static_cast<std::uint32_t>(timeline);
    member.lag = number_of(object, "replay_lag");
    if (!member.lag) member.lag = number_of(object, "lag");
    const auto tags = object.find("tags");
    member.balanced = tags == object.end() || !tags->is_object() || !is_set(*tags, "noloadbalance");
    return member;
}

}  // namespace

std::expected<Members, std::string> parse_members(std::string_view text) {
    const auto shallow = [](int depth, Json::parse_event_t, Json&) { return depth <= depth_max; };
    const auto json = Json::parse(text, shallow, false);
    if (json.is_discarded()) return std::unexpected("its answer is not JSON");
    const auto list = json.is_object() ? json.find("members") : json.end();
    if (!json.is_object() || list == json.end() || !list->is_array())
        return std::unexpected("its answer has no list of members: is it a member's REST API?");
    if (list->size() > members_max) return std::unexpected("its answer has too many members");
    Members members;
    for (const auto& object : *list)
        if (auto member = member_of(object)) members.push_back(*std::move(member));
    return members;
}

const Member* leader_of(const Members& members, std::uint32_t timeline_at_least) {
    const auto at = std::ranges::find_if(members, &Member::leads);
    if (at == members.end()) return nullptr;
    return at->timeline != 0 && at->timeline < timeline_at_least ? nullptr : &*at;
}

bool readable(const Members& members, const Member& member, std::uint64_t lag_max) {
    if (!member.streams || !member.balanced || !member.lag || *member.lag > lag_max) return false;
    const auto* leader = leader_of(members, 0);
    return !leader || leader->timeline == 0 || member.timeline == leader->timeline;
}

bool readable(const Members& members, std::string_view name, std::uint64_t lag_max) {
    const auto at = std::ranges::find(members, name, &Member::name);
    return at != members.end() && readable(members, *at, lag_max);
}

}  // namespace relevo::client
