#include "cluster/member.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.h"

namespace relevo::cluster {
namespace {

constexpr std::array roles = {
    std::pair{Role::primary, "primary"},
    std::pair{Role::replica, "replica"},
    std::pair{Role::standby_leader, "standby_leader"},
    std::pair{Role::demoted, "demoted"},
    std::pair{Role::uninitialized, "uninitialized"},
    std::pair{Role::promoted, "promoted"},
};

struct StateName {
    State state;
    const char* text;
    int metric;
};
constexpr std::array states = {
    StateName{State::initdb, "initializing new cluster", 0},
    StateName{State::initdb_failed, "initdb failed", 1},
    StateName{State::custom_bootstrap, "running custom bootstrap script", 2},
    StateName{State::custom_bootstrap_failed, "custom bootstrap failed", 3},
    StateName{State::creating_replica, "creating replica", 4},
    StateName{State::running, "running", 5},
    StateName{State::starting, "starting", 6},
    StateName{State::bootstrap_starting, "starting after custom bootstrap", 7},
    StateName{State::start_failed, "start failed", 8},
    StateName{State::restarting, "restarting", 9},
    StateName{State::restart_failed, "restart failed", 10},
    StateName{State::stopping, "stopping", 11},
    StateName{State::stopped, "stopped", 12},
    StateName{State::stop_failed, "stop failed", 13},
    StateName{State::crashed, "crashed", 14},
    StateName{State::unknown, "unknown", -1},
};

const StateName& entry(State state) {
    return *std::find_if(states.begin(), states.end(),
                         [&](const StateName& e) { return e.state == state; });
}

// "user:password@host:port" of a URL; an empty text when there is none.
std::string_view authority(std::string_view url) {
    const std::size_t scheme = url.find("://");
    if (scheme == std::string_view::npos) return {};
    url.remove_prefix(scheme + 3);
    url = url.substr(0, url.find_first_of("/?#"));
    if (const std::size_t at = url.rfind('@'); at != std::string_view::npos)
        url.remove_prefix(at + 1);
    return url;
}

// Host and port text; the port is empty when it is not given.
std::pair<std::string_view, std::string_view> host_and_port(std::string_view url) {
    const std::string_view where = authority(url);
    if (where.starts_with('[')) {
        const std::size_t end = where.find(']');
        if (end == std::string_view::npos) return {};
        const std::string_view after = where.substr(end + 1);
        return {where.substr(1, end - 1),
                after.starts_with(':') ? after.substr(1) : std::string_view{}};
    }
    const std::size_t colon = where.rfind(':');
    if (colon == std::string_view::npos) return {where, {}};
    return {where.substr(0, colon), where.substr(colon + 1)};
}

}  // namespace

const char* to_string(Role role) {
    for (const auto& [known, text] : roles) {
        if (known == role) return text;
    }
    return "?";
}

std::optional<Role> parse_role(std::string_view text) {
    if (text == "master") return Role::primary;  // agents before 4.0
    for (const auto& [role, known] : roles) {
        if (text == known) return role;
    }
    return std::nullopt;
}

const char* to_string(State state) { return entry(state).text; }
int metric_number(State state) { return entry(state).metric; }

std::optional<State> parse_state(std::string_view text) {
    for (const StateName& known : states) {
        if (text == known.text) return known.state;
    }
    return std::nullopt;
}

std::string MemberRecord::host() const { return std::string(host_and_port(conn_url).first); }

int MemberRecord::port() const {
    constexpr int standard_port = 5432;
    const auto number = parse_decimal(host_and_port(conn_url).second);
    return number && *number > 0 && *number < 65536 ? static_cast<int>(*number) : standard_port;
}

}  // namespace relevo::cluster
