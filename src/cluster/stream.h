// What a member pushes to those who route clients (GET /stream, POST /gateway; relevo-gateway), and
// what they report to it: plain values and their JSON. Pure.
//
// A stream is a chain of long polls: who asks says which answer it has (`sequence`), and gets the
// next one when something in it changed, or the same with fresh positions when its time is up.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "cluster/lsn.h"
#include "cluster/member.h"

namespace relevo::cluster {

// A planned switchover is about to stop the leader: clients shall wait.
struct PoolerHold {
    std::uint64_t id = 0;               // of this hold, among those of one agent's life; never 0
    std::chrono::milliseconds drain{};  // what a transaction that is under way may still take
    bool operator==(const PoolerHold&) const = default;
};

struct StreamedMember {  // as the DCS has it
    MemberName name;
    std::string api_url, host;  // host empty: not known
    int port = 0;
    bool operator==(const StreamedMember&) const = default;
};

// The leader key as a member last saw it; nobody leads: empty and 0.
struct SeenLeader {
    MemberName leader;
    Revision term = 0;
    bool operator==(const SeenLeader&) const = default;
};

struct MemberStream {
    std::uint64_t sequence = 0;
    std::string scope, system_id;  // system_id empty: not known
    MemberName name;               // who says this

    std::optional<SeenLeader> seen;  // absent: it does not see the DCS now
    // Itself: it leads under this term, has the right to, and its PostgreSQL accepts writes. For
    // how long from the moment of answering; 0: it does not serve.
    Revision term = 0;
    std::chrono::milliseconds serves_for{};
    bool primary = false;  // its PostgreSQL runs and accepts writes, whatever its right to
    bool serves() const { return term != 0 && serves_for.count() > 0; }
    std::optional<PoolerHold> hold;
    Revision suspects = 0;  // the term of a leader that it does not hear any more

    // For reads: a standby that streams, on the timeline, and how far behind. Positions are as of
    // the last look at the server.
    bool standby = false, streaming = false, noloadbalance = false;
    Timeline timeline = 0, leader_timeline = 0;  // 0: not known
    std::uint64_t lag_bytes = 0;
    std::chrono::milliseconds lag_ms{};  // 0 when everything that was received is replayed
    std::string host;                    // of its own PostgreSQL
    int port = 0;

    std::vector<StreamedMember> members;

    // All that makes a new sequence: not the sequence, times and positions.
    bool same_news(const MemberStream& other) const;
    bool operator==(const MemberStream&) const = default;
};

std::string to_json(const MemberStream& stream);
// Error: invalid, with what is wrong. Fields that are missing are as in an empty stream.
Result<MemberStream> parse_stream(std::string_view text);

// A transaction that keeps a pooler from being held.
struct Blocker {
    int pid = 0;  // of the server process
    std::string user, database, client;
    std::string query;  // empty: not known
    std::chrono::milliseconds age{};
    bool operator==(const Blocker&) const = default;
};
// "pid 4711, user app, database workflow, from 10.0.0.7, for 5.2 s: update ..."
std::string describe(const Blocker& blocker);

// What a gateway tells a member with each poll.
struct GatewayReport {
    std::string name;  // of the gateway; never empty
    std::uint64_t since = 0;
    std::chrono::milliseconds wait{};  // how long the answer may keep it waiting
    bool positions = false;            // it routes reads: the answer shall have fresh positions
    // The hold that it knows of and what came of it; 0: none.
    std::uint64_t hold = 0;
    enum class Outcome { under_way, held, blocked } outcome = Outcome::under_way;
    std::vector<Blocker> blockers;
    bool operator==(const GatewayReport&) const = default;
};
std::string to_json(const GatewayReport& report);
Result<GatewayReport> parse_gateway_report(std::string_view text);

}  // namespace relevo::cluster
