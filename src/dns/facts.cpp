#include "dns/facts.h"

#include <algorithm>

namespace relevo::dns {

namespace {

std::uint64_t end_of(const cluster::MemberRecord& member) {
    return member.xlog_location ? member.xlog_location->value : 0;
}

// Streams on the leader's timeline, is not far behind, and wants to be read from.
bool fit(const cluster::MemberRecord& member, const cluster::MemberRecord* leader,
         std::uint64_t lag_max) {
    const bool streams = member.role == cluster::Role::replica && member.running() &&
                         member.replication_state == "streaming";
    if (!streams || member.tags.noloadbalance() || member.host().empty()) return false;
    if (!leader) return true;
    if (leader->timeline != 0 && member.timeline != leader->timeline) return false;
    return end_of(*leader) <= end_of(member) + lag_max;
}

std::vector<std::string> replicas_of(const cluster::Snapshot& snapshot,
                                     const cluster::LeaderKey& key, const Names& names) {
    std::vector<std::string> hosts;
    const auto* leader = snapshot.member(key.name);
    for (const auto& [name, member] : snapshot.members)
        if (name != key.name && fit(member, leader, names.replica_lag_bytes_max))
            hosts.push_back(member.host());
    std::ranges::sort(hosts);
    return hosts;
}

std::optional<Wanted> wanted(const ports::View& view, const Names& names) {
    const auto& key = *view.snapshot->leader;
    Wanted wanted;
    wanted.term = static_cast<std::uint64_t>(key.create_revision);
    wanted.member = key.name;
    if (key.name == view.name && !names.addresses.empty()) {
        wanted.primary = names.addresses;
    } else {
        const auto* leader = view.snapshot->member(key.name);
        if (!leader || leader->host().empty()) return std::nullopt;
        wanted.primary = {leader->host()};
    }
    wanted.replicas = replicas_of(*view.snapshot, key, names);
    if (wanted.replicas.empty()) wanted.replicas = wanted.primary;
    return wanted;
}

bool has_leader(const ports::View& view) {
    return view.snapshot && view.snapshot->leader && !view.settings.standby_cluster;
}

}  // namespace

std::optional<Wanted> to_publish(const ports::View& view, Instant now, const Names& names) {
    const bool serves = has_leader(view) && view.snapshot->leader->name == view.name &&
                        view.lock_valid(now) && view.postgres.primary() && !view.keeps_clients_out;
    return serves ? wanted(view, names) : std::nullopt;
}

std::optional<Wanted> to_answer(const ports::View& view, Instant now, WallTime wall,
                                const Names& names) {
    if (!has_leader(view)) return std::nullopt;
    if (view.snapshot->leader->name == view.name) return to_publish(view, now, names);
    const auto good_for = std::chrono::duration_cast<std::chrono::microseconds>(
        view.settings.loop_wait + view.settings.retry_timeout);
    if (!view.dcs_last_seen || wall - *view.dcs_last_seen > good_for) return std::nullopt;
    return wanted(view, names);
}

}  // namespace relevo::dns
