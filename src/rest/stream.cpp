#include "rest/stream.h"

#include <algorithm>

namespace relevo::rest {
namespace {

using std::chrono::milliseconds;

void read_position(cluster::MemberStream& out, const ports::View& view, WallTime wall) {
    const auto& postgres = view.postgres;
    const auto optime = view.snapshot ? view.snapshot->status.optime : cluster::Lsn{};
    const auto end = std::max({optime, postgres.latest_end, postgres.receive});
    out.lag_bytes = cluster::distance(end, postgres.replay);
    // Replayed to the end it is not behind, however long ago the last transaction was.
    if (out.lag_bytes == 0 || !postgres.replayed_at) return;
    out.lag_ms = std::max(milliseconds{0},
                          std::chrono::duration_cast<milliseconds>(wall - *postgres.replayed_at));
}

}  // namespace

cluster::MemberStream stream_of(const ports::View& view, Instant now, WallTime wall) {
    cluster::MemberStream out;
    out.scope = view.scope;
    out.name = view.name;
    out.system_id = view.postgres.system_id;
    out.hold = view.hold;
    out.suspects = view.suspects_at(now);
    out.noloadbalance = view.tags.noloadbalance();
    out.timeline = view.postgres.timeline;
    out.primary = view.postgres.primary();
    if (view.leading) {
        out.term = view.term;
        // As /primary has it: the right, and a PostgreSQL that accepts writes.
        if (view.lock_valid(now) && view.postgres.primary() && !view.keeps_clients_out &&
            !view.settings.standby_cluster)
            out.serves_for = std::max(
                milliseconds{1}, std::chrono::duration_cast<milliseconds>(view.lead_until - now));
    }
    if (view.postgres.server == cluster::Server::running && view.postgres.in_recovery) {
        out.standby = view.state == cluster::State::running;
        out.streaming = view.postgres.replication_state == "streaming";
        read_position(out, view, wall);
    }
    if (!view.snapshot) return out;
    const auto& leader = view.snapshot->leader;
    out.seen = cluster::SeenLeader{};
    if (leader) *out.seen = {leader->name, leader->create_revision};
    if (const auto* member = view.snapshot->leader_member()) out.leader_timeline = member->timeline;
    for (const auto& [name, member] : view.snapshot->members) {
        const auto host = member.host();
        const int port = host.empty() ? 0 : member.port();
        out.members.push_back({name, member.api_url, host, port});
        if (name != view.name) continue;
        out.host = host;
        out.port = port;
    }
    return out;
}

}  // namespace relevo::rest
