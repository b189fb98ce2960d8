#include "rest/health.h"

#include <algorithm>
#include <chrono>

#include "base/text.h"

namespace relevo::rest {
namespace {

using cluster::Lsn;
using cluster::Role;

bool contains(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

bool running(const ports::View& view) {
    return view.state == cluster::State::running &&
           view.postgres.server == cluster::Server::running;
}

// What pg_is_in_recovery() says while PostgreSQL answers, else what the agent last knew.
Role shown_role(const ports::View& view, bool standby_leader) {
    if (view.postgres.server != cluster::Server::running) return view.role;
    if (!view.postgres.in_recovery) return Role::primary;
    return standby_leader ? Role::standby_leader : Role::replica;
}

// The furthest end of the WAL that this member has heard of.
Lsn known_end(const ports::View& view) {
    const auto optime = view.snapshot ? view.snapshot->status.optime : Lsn{};
    return std::max(optime, view.postgres.latest_end);
}

bool within_lag(Lsn end, Lsn reached, std::uint64_t lag) {
    return cluster::distance(end, reached) <= lag;
}

std::optional<std::uint64_t> wanted_lag(const Query& query) {
    const auto* text = net::find_query(query, "lag");
    const auto bytes = text == nullptr ? std::nullopt : parse_int(*text, "B");
    if (!bytes) return std::nullopt;  // unparsable is no limit
    return *bytes < 0 ? 0 : static_cast<std::uint64_t>(*bytes);
}

bool tags_match(const Query& query, const cluster::Tags& tags) {
    std::vector<std::string_view> seen;
    return std::ranges::all_of(query, [&](const net::QueryItem& item) {
        if (!item.name.starts_with("tag_")) return true;
        if (std::ranges::find(seen, item.name) != seen.end())
            return true;  // the first value counts
        seen.emplace_back(item.name);
        const auto tag = tags.published.find(item.name.substr(4));
        if (tag == tags.published.end()) return false;
        const bool is_text = tag->second.json.starts_with('"');
        return is_text ? tags.text(tag->first) == item.value
                       : lower(tag->second.json) == item.value;
    });
}

// The contract's flags, and the tags as a last condition on the groups that replicas belong to.
struct Flags {
    bool leader_ok = false, primary_ok = false, standby_leader_ok = false, replica_ok = false;
    bool running = false, has_view = false, sync = false, quorum = false;
};

Flags flags_of(const Query& query, const ports::View& view, Instant now) {
    Flags flags;
    const bool standby_cluster = view.settings.standby_cluster.has_value();
    const bool lock = view.lock_valid(now);
    const auto role = shown_role(view, standby_cluster && lock);
    const bool admits = view.postgres.primary() && !view.keeps_clients_out;
    const bool server_runs = view.postgres.server == cluster::Server::running;
    flags.has_view = view.snapshot != nullptr;
    flags.running = running(view);
    if (!flags.has_view && view.settings.pause) {
        // Automation is off and nobody else may be promoted: the role alone says it.
        flags.primary_ok = view.role == Role::primary && admits;
        flags.standby_leader_ok = view.role == Role::standby_leader && server_runs;
        flags.leader_ok = flags.primary_ok || flags.standby_leader_ok;
    } else {
        flags.primary_ok = lock && !standby_cluster && admits;
        flags.standby_leader_ok =
            lock && standby_cluster && server_runs && view.postgres.in_recovery;
        // The leader of a standby cluster may still be the primary that it was a moment ago.
        flags.leader_ok = lock && (standby_cluster ? server_runs : admits);
    }
    const auto* replication_state = net::find_query(query, "replication_state");
    const auto lag = wanted_lag(query);
    flags.replica_ok =
        role == Role::replica && flags.running && !view.tags.noloadbalance() &&
        !(lock && standby_cluster) &&
        (!lag || within_lag(known_end(view), view.postgres.replay, *lag)) &&
        (replication_state == nullptr || *replication_state == view.postgres.replication_state);
    if (flags.has_view && view.snapshot->sync.names(view.name)) {
        flags.sync = view.settings.synchronous_mode == cluster::SyncMode::on;
        flags.quorum = view.settings.synchronous_mode == cluster::SyncMode::quorum;
    }
    return flags;
}

bool needs_view_ok(std::string_view path, const Flags& flags) {
    const bool leads = flags.primary_ok || flags.standby_leader_ok;
    if (!flags.has_view) return false;
    if (path == "/sync" || path == "/synchronous") return flags.replica_ok && flags.sync;
    if (path == "/quorum") return flags.replica_ok && flags.quorum;
    if (path == "/async" || path == "/asynchronous") {
        return flags.replica_ok && !flags.sync && !flags.quorum;
    }
    if (path == "/read-only-sync" || path == "/read-only-synchronous") {
        return leads || (flags.replica_ok && flags.sync);
    }
    if (path == "/read-only-quorum") return leads || (flags.replica_ok && flags.quorum);
    return false;
}

}  // namespace

int health_code(std::string_view path, const Query& query, const ports::View& view, Instant now) {
    const auto flags = flags_of(query, view, now);
    const auto code = [](bool ok) { return ok ? 200 : 503; };
    // First match wins, and by parts of the path, so that /v1/primary and /primary/ work as well.
    if (contains(path, "standby_leader") || contains(path, "standby-leader")) {
        return code(flags.standby_leader_ok);
    }
    if (contains(path, "leader")) return code(flags.leader_ok);
    if (path == "/" || contains(path, "master") || contains(path, "primary") ||
        contains(path, "read-write")) {
        return code(flags.primary_ok);
    }
    bool ok = false;
    if (contains(path, "replica")) {
        ok = flags.replica_ok;
    } else if (contains(path, "read-only") && !contains(path, "sync") &&
               !contains(path, "quorum")) {
        ok = flags.primary_ok || flags.standby_leader_ok || flags.replica_ok;
    } else if (contains(path, "health")) {
        ok = flags.running;
    } else {
        ok = needs_view_ok(path, flags);
    }
    return code(ok && tags_match(query, view.tags));
}

int liveness_code(const ports::View& view, Instant now) {
    if (view.settings.pause) return 200;
    const auto allowed = view.settings.ttl * (view.postgres.primary() ? 1 : 2);
    return view.next_look + allowed > now ? 200 : 503;
}

int readiness_code(const Query& query, const ports::View& view, Instant now) {
    const auto& postgres = view.postgres;
    if (postgres.server != cluster::Server::running) return 503;
    if (view.lock_valid(now)) return postgres.primary() && view.keeps_clients_out ? 503 : 200;
    if (!running(view) || postgres.replication_state != "streaming") return 503;
    if (!view.snapshot && !postgres.latest_end) return view.failsafe_active ? 200 : 503;
    const auto* mode = net::find_query(query, "mode");
    const auto reached = mode != nullptr && *mode == "write"
                             ? std::max(postgres.receive, postgres.replay)
                             : postgres.replay;
    const auto lag = wanted_lag(query).value_or(view.settings.maximum_lag_on_failover);
    return within_lag(known_end(view), reached, lag) ? 200 : 503;
}

}  // namespace relevo::rest
