// Where clients are led, and when they wait: the gateway's mind. Pure, as the agent's core is: an
// event comes in, what must be done comes out, and each step decides on all that is known.
//
// Writes go to the member that says itself that it leads, under a term that is not older than any
// that was ever heard of; nobody else's word makes a primary. They are held (not refused) as soon
// as there is reason to think that the primary is going or gone, since a held client waits and a
// client that meets a closed port gets an error.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "cluster/stream.h"
#include "ports/pooler.h"

namespace relevo::gateway {

enum class ReadPolicy { replica_only, prefer_replica, any };

struct RouterOptions {
    std::string scope;  // of the cluster; empty: whatever is heard first
    Duration drain = std::chrono::seconds(2);
    bool let_through = false;  // a transaction that does not end calls no switchover off
    // A hold for a switchover or a suspicion that nothing comes of ends after this.
    Duration hold_max = std::chrono::seconds(10);
    bool reads = false;  // there is a database that leads to replicas
    ReadPolicy policy = ReadPolicy::prefer_replica;
    std::uint64_t lag_bytes = 16 << 20;
    std::chrono::milliseconds lag{10000};
};

// Events.
struct Heard {  // a member's answer; its right to serve counts from before the question
    std::string url;
    cluster::MemberStream view;
    Instant asked_at;
};
struct Silent {  // it does not answer
    std::string url, why;
};
struct Forgotten {  // it is no member any more, and nobody asks it
    std::string url;
};
struct TimerFired {};
struct HoldDone {
    ports::Route route{};
    Result<std::vector<cluster::Blocker>> outcome;
};
struct RepointDone {
    ports::Routes routes;
    Status outcome;
};
struct ReleaseDone {
    ports::Route route{};
    Status outcome;
};
struct PoolerStarted {  // anew, by itself: of a hold it knows nothing
    Status outcome;
};
struct OptionsChanged {
    RouterOptions options;
};
struct Remembered {  // of an earlier life
    std::string scope;
    cluster::Revision term = 0;
};
using Event = std::variant<Heard, Silent, Forgotten, TimerFired, HoldDone, RepointDone, ReleaseDone,
                           PoolerStarted, OptionsChanged, Remembered>;

// Effects. The first three are answered with their Done, whatever came of them.
struct Hold {
    ports::Route route{};
    Duration drain{};
};
struct Repoint {  // the first one also starts the pooler
    ports::Routes routes;
};
struct Release {
    ports::Route route{};
};
struct Drop {
    ports::Endpoint server;
};
struct Report {  // to the leader that asked for the hold
    std::string url;
    cluster::GatewayReport::Outcome outcome{};
};
struct Remember {
    std::string scope;
    cluster::Revision term = 0;
};
struct Note {
    enum class Level { info, warning, error } level = Level::info;
    std::string text;
};
using Effect = std::variant<Hold, Repoint, Release, Drop, Report, Remember, Note>;

// Why writes wait.
enum class Why { none, no_leader_known, planned, leader_gone, superseded, nobody_leads, suspected };
const char* to_string(Why why);  // "a planned switchover"

struct Source {
    std::optional<cluster::MemberStream> view;  // the last
    Instant heard_at{}, serves_until{};
    bool connected = false;
    std::string problem;
};

struct Target {
    cluster::MemberName name;
    ports::Endpoint server;
    cluster::Revision term = 0;
    bool operator==(const Target&) const = default;
};

// One way through the pooler, as far as it is known what the pooler does.
struct Lane {
    enum class State { unknown, open, holding, held, releasing } state = State::unknown;
    Instant since{}, again_at{};
};

struct State {
    RouterOptions options;
    std::map<std::string, Source> sources;                  // by url
    std::map<cluster::MemberName, ports::Endpoint> places;  // where each was last known to be
    std::string scope;
    cluster::Revision term = 0;  // the newest that anybody spoke of
    std::optional<Target> target;
    std::optional<ports::Routes> applied, repointing;
    Instant repoint_again_at{};
    Lane writes, reads;
    bool started = false;  // the pooler was
    Why why = Why::no_leader_known;
    Instant why_since{}, born{};
    std::optional<Instant> held_since;  // whatever the reasons since then
    bool reads_wait = false;
    std::set<std::string> readers;  // members that reads go to (urls), for the hysteresis

    struct Planned {
        std::string url;
        std::uint64_t id = 0;
        Instant until{};  // when a transaction has had its time
        cluster::GatewayReport::Outcome outcome = cluster::GatewayReport::Outcome::under_way;
        std::vector<cluster::Blocker> blockers;
        bool over = false;  // blocked, or nothing came of it
    };
    std::optional<Planned> planned;
    // A suspicion of this term that nothing came of; and when suspicions held.
    cluster::Revision not_suspected = 0;
    std::vector<Instant> suspected_at;
    std::map<std::string, std::string> said;  // each sentence once

    // Since the start, for metrics.
    std::uint64_t holds = 0, repoints = 0, drops = 0;
    Duration held_for{};
};

struct Step {
    std::vector<Effect> effects;
    Instant wake_at;
};

Step step(State& state, const Event& event, Instant now);

}  // namespace relevo::gateway
