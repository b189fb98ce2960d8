#include "cluster/publish.h"

#include "cluster/member_json.h"

namespace relevo::cluster {
namespace {

using json::Ordered;

ShownRole shown_role(const Snapshot& snapshot, const Settings& settings, const MemberName& name) {
    if (snapshot.led_by(name))
        return settings.standby_cluster ? ShownRole::standby_leader : ShownRole::leader;
    if (settings.synchronous_mode != SyncMode::off && snapshot.sync.active() &&
        snapshot.sync.names(name)) {
        return settings.synchronous_mode == SyncMode::quorum ? ShownRole::quorum_standby
                                                             : ShownRole::sync_standby;
    }
    return ShownRole::replica;
}

std::string member_state(const MemberRecord& member) {
    if (member.state == State::unknown && !member.state_text.empty()) return member.state_text;
    return to_string(member.state);
}

ShownPosition position(std::optional<Lsn> lsn, Lsn end) {
    if (!lsn || !*lsn) return {};
    return {lsn, distance(end, *lsn)};
}

MemberRow member_row(const Snapshot& snapshot, const Settings& settings,
                     const MemberRecord& member) {
    MemberRow row;
    row.name = member.name;
    row.role = shown_role(snapshot, settings, member.name);
    const bool replicates = row.role != ShownRole::leader && !member.replication_state.empty();
    row.state = replicates ? member.replication_state : member_state(member);
    row.api_url = member.api_url;
    row.host = member.host();
    row.port = row.host.empty() ? 0 : member.port();
    row.timeline = member.timeline;
    row.tags = member.tags;
    row.pending_restart = member.pending_restart;
    row.pending_restart_reason = member.pending_restart_reason;
    row.scheduled_restart = member.scheduled_restart;
    row.holds_lock = snapshot.led_by(member.name);
    if (row.holds_lock) return row;
    row.receive = position(member.receive_lsn, snapshot.status.optime);
    row.replay = position(member.replay_lsn, snapshot.status.optime);
    row.generic = position(member.xlog_location, snapshot.status.optime);
    return row;
}

void add_position(Ordered& out, const std::string& prefix, const ShownPosition& shown) {
    out[prefix + "lag"] = shown.lag ? Ordered(*shown.lag) : Ordered("unknown");
    out[prefix + "lsn"] = shown.lsn ? to_string(*shown.lsn) : "unknown";
}

Ordered row_json(const MemberRow& row) {
    Ordered out = {{"name", row.name}, {"role", to_string(row.role)}, {"state", row.state}};
    if (!row.api_url.empty()) out["api_url"] = row.api_url;
    if (!row.host.empty()) {
        out["host"] = row.host;
        out["port"] = row.port;
    }
    if (row.timeline != 0) out["timeline"] = row.timeline;
    if (row.pending_restart) out["pending_restart"] = true;
    if (!row.pending_restart_reason.empty()) {
        out["pending_restart_reason"] = pending_restart_reason_json(row.pending_restart_reason);
    }
    if (row.scheduled_restart)
        out["scheduled_restart"] = scheduled_restart_json(*row.scheduled_restart, true);
    if (!row.tags.published.empty()) out["tags"] = tags_json(row.tags);
    if (!row.holds_lock) {
        add_position(out, "receive_", row.receive);
        add_position(out, "replay_", row.replay);
        add_position(out, "", row.generic);
    }
    return out;
}

Ordered scheduled_switchover_json(const FailoverRequest& request) {
    const bool as_written = !request.scheduled_at_text.empty();
    Ordered out = {{"at", as_written ? request.scheduled_at_text : to_iso(*request.scheduled_at)}};
    if (!request.leader.empty()) out["from"] = request.leader;
    if (!request.member.empty()) out["to"] = request.member;
    return out;
}

}  // namespace

const char* to_string(ShownRole role) {
    switch (role) {
        case ShownRole::leader: return "leader";
        case ShownRole::standby_leader: return "standby_leader";
        case ShownRole::sync_standby: return "sync_standby";
        case ShownRole::quorum_standby: return "quorum_standby";
        case ShownRole::replica: return "replica";
    }
    return "?";
}

const char* to_column_text(ShownRole role) {
    switch (role) {
        case ShownRole::leader: return "Leader";
        case ShownRole::standby_leader: return "Standby Leader";
        case ShownRole::sync_standby: return "Sync Standby";
        case ShownRole::quorum_standby: return "Quorum Standby";
        case ShownRole::replica: return "Replica";
    }
    return "?";
}

std::vector<MemberRow> member_rows(const Snapshot& snapshot, const Settings& settings) {
    std::vector<MemberRow> rows;
    rows.reserve(snapshot.members.size());
    for (const auto& [name, member] : snapshot.members)
        rows.push_back(member_row(snapshot, settings, member));
    return rows;
}

std::string cluster_json(std::string_view scope, const Snapshot& snapshot,
                         const Settings& settings) {
    Ordered out = {{"members", Ordered::array()}};
    for (const MemberRow& row : member_rows(snapshot, settings))
        out["members"].push_back(row_json(row));
    if (settings.pause) out["pause"] = true;
    if (snapshot.failover && snapshot.failover->scheduled_at) {
        out["scheduled_switchover"] = scheduled_switchover_json(*snapshot.failover);
    }
    out["scope"] = scope;
    return json::spaced(out);
}

Role shown_role(const StatusInput& input) {
    if (input.postgres.server != Server::running) return input.role;
    if (!input.postgres.in_recovery) return Role::primary;
    return input.role == Role::standby_leader ? Role::standby_leader : Role::replica;
}

SyncMode sync_duty(const StatusInput& input) {
    if (shown_role(input) != Role::replica || input.snapshot == nullptr) return SyncMode::off;
    const SyncState& sync = input.snapshot->sync;
    return sync.active() && sync.names(input.name) ? input.settings.synchronous_mode
                                                   : SyncMode::off;
}

}  // namespace relevo::cluster
