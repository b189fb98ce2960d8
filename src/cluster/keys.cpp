#include "cluster/keys.h"

#include <fmt/core.h>

namespace relevo::cluster::keys {
namespace {

Compare absent(std::string key) { return {std::move(key), Compare::What::create_revision, 0, {}}; }
Compare under_term(Revision term) { return {leader, Compare::What::create_revision, term, {}}; }
Compare valued(std::string key, std::string value) {
    return {std::move(key), Compare::What::value, 0, std::move(value)};
}
// As it was read; a known revision of 0 means that there was no such key.
Compare unchanged(std::string key, Revision known) {
    if (known == 0) return absent(std::move(key));
    return {std::move(key), Compare::What::mod_revision, known, {}};
}
std::vector<Compare> if_known(const char* key, std::optional<Revision> known) {
    if (!known) return {};
    return {unchanged(key, *known)};
}

Write put(std::string key, std::string value) {
    return {Write::What::put, std::move(key), std::move(value), false};
}
Write put_leased(std::string key, std::string value) {
    return {Write::What::put, std::move(key), std::move(value), true};
}
Write removal(std::string key) { return {Write::What::remove, std::move(key), {}, false}; }

}  // namespace

std::string member(std::string_view name) { return "members/" + std::string(name); }

std::string base_path(std::string_view name_space, std::string_view scope) {
    std::string out = "/";
    const auto append = [&out](std::string_view text) {
        for (const char c : text) {
            if (c != '/' || out.back() != '/') out += c;
        }
        if (out.back() != '/') out += '/';
    };
    append(name_space);
    append(scope);
    return out;
}

namespace {
std::string timeline_json(const TimelineGrant& grant) {
    std::string text = fmt::format(R"({{"timeline":{})", grant.number);
    if (grant.line != 0)
        text += fmt::format(R"(,"line":{},"settled":{})", grant.line, grant.settled);
    if (grant.from)
        text +=
            fmt::format(R"(,"from":{},"from_timeline":{})", grant.from.value, grant.from_timeline);
    return text + "}";
}
}  // namespace

Txn acquire_leader(const MemberName& self, const std::optional<TimelineGrant>& grant,
                   const std::optional<SyncState>& sync_state, Revision sync_known,
                   Revision restore_known) {
    Txn txn{{absent(leader), unchanged(restore, restore_known)}, {}};
    if (grant) {
        txn.compares.push_back(unchanged(timeline, grant->known));
        txn.writes.push_back(put(timeline, timeline_json(*grant)));
        if (grant->status) txn.writes.push_back(put(status, to_json(*grant->status)));
    }
    txn.compares.push_back(unchanged(sync, sync_known));
    if (sync_state) txn.writes.push_back(put(sync, to_json(*sync_state)));
    txn.writes.push_back(put_leased(leader, self));
    return txn;
}

Txn put_timeline(const TimelineGrant& grant, Revision term) {
    Txn txn{{under_term(term), unchanged(timeline, grant.known)},
            {put(timeline, timeline_json(grant))}};
    if (grant.status) txn.writes.push_back(put(status, to_json(*grant.status)));
    return txn;
}

Txn rewrite_leader(const MemberName& self, Revision term) {
    // The name too: an agent of Patroni's may have put its own over ours without a new term.
    return {{under_term(term), valued(leader, self)}, {put_leased(leader, self)}};
}

Txn release_leader(Revision term, const std::optional<StatusKey>& last) {
    Txn txn{{under_term(term)}, {}};
    if (last) txn.writes.push_back(put(status, to_json(*last)));
    txn.writes.push_back(removal(leader));
    return txn;
}

Txn depose_leader(const Deposed& who, Revision known) {
    return {{under_term(who.term), unchanged(sync, known)},
            {removal(leader), put(deposed, to_json(who))}};
}

Txn put_pulse(Revision term, std::uint64_t count) {
    return {{under_term(term)},
            {put(pulse, fmt::format(R"({{"term":{},"count":{}}})", term, count))}};
}

// Under the lease: a claim whose host dies goes with it, and another may try (docs/adr/0004).
Txn claim_initialize() { return {{absent(initialize)}, {put_leased(initialize, "")}}; }

Txn put_initialize(const std::string& system_id, Revision known) {
    return {{unchanged(initialize, known)}, {put(initialize, system_id)}};
}

// Only ever a claim: a system id in there is somebody's cluster.
Txn cancel_initialize(Revision claim) {
    return {{unchanged(initialize, claim), valued(initialize, "")}, {removal(initialize)}};
}

Txn finish_bootstrap(const MemberName& self, const std::string& system_id,
                     const std::string& config_json, Revision claim, Revision sync_known) {
    Txn txn{{absent(leader), unchanged(initialize, claim), unchanged(sync, sync_known)},
            {put(initialize, system_id)}};
    if (!config_json.empty()) txn.writes.push_back(put(config, config_json));
    txn.writes.push_back(put_leased(leader, self));
    return txn;
}

Txn put_member(const MemberRecord& record) {
    return {{}, {put_leased(member(record.name), to_json(record))}};
}

Txn put_status(const StatusKey& value, Revision term) {
    return {{under_term(term)}, {put(status, to_json(value))}};
}
Txn put_optime(Lsn position, Revision term) {
    return {{under_term(term)}, {put(optime, std::to_string(position.value))}};
}
Txn put_history(const std::vector<HistoryLine>& value, Revision term) {
    return {{under_term(term)}, {put(history, to_json(value))}};
}
Txn put_failsafe(const std::map<MemberName, std::string>& members, Revision term) {
    return {{under_term(term)}, {put(failsafe, failsafe_json(members))}};
}

Txn put_config_if_absent(const std::string& json) {
    return {{absent(config)}, {put(config, json)}};
}
Txn put_config(const std::string& json, std::optional<Revision> known) {
    return {if_known(config, known), {put(config, json)}};
}

Txn put_failover(const FailoverRequest& request, std::optional<Revision> known) {
    return {if_known(failover, known), {put(failover, to_json(request))}};
}
Txn clear_failover(std::optional<Revision> known) {
    return {if_known(failover, known), {put(failover, "{}")}};
}

Txn ask_handover(const FailoverRequest& request, Revision known, Revision term) {
    return {{unchanged(failover, known), under_term(term)}, {put(failover, to_json(request))}};
}

Txn put_sync(const SyncState& value, Revision known, Revision term) {
    return {{unchanged(sync, known), under_term(term)}, {put(sync, to_json(value))}};
}
Txn remove_sync(Revision known, Revision term) {
    return {{unchanged(sync, known), under_term(term)}, {removal(sync)}};
}

Txn put_backup(const BackupJob& job, Revision known, std::optional<Revision> term) {
    Txn txn{{unchanged(backup, known)}, {put(backup, to_json(job))}};
    if (term) txn.compares.push_back(under_term(*term));
    return txn;
}

Txn ask_restore(const Restoration& wanted, Revision term, const std::string& system_id) {
    return {{unchanged(restore, wanted.revision), under_term(term), valued(initialize, system_id)},
            {put(restore, to_json(wanted))}};
}

Txn give_way(const Restoration& restoring, Revision term, const StatusKey& last) {
    return {{under_term(term), unchanged(restore, restoring.revision)},
            {put(status, to_json(last)), removal(leader), put(restore, to_json(restoring))}};
}

Txn grant_restore(const Restoration& restoring, const TimelineGrant& grant) {
    return {
        {absent(leader), unchanged(restore, restoring.revision), unchanged(timeline, grant.known)},
        {put(timeline, timeline_json(grant)), put(restore, to_json(restoring))}};
}

Txn finish_restore(const MemberName& self, const Restoration& restored, const TimelineGrant& line,
                   const std::string& system_id) {
    return {{absent(leader), unchanged(restore, restored.revision), valued(initialize, system_id),
             unchanged(timeline, line.known)},
            {removal(sync), removal(status), removal(optime), removal(history), removal(failsafe),
             put(timeline, timeline_json(line)), put(restore, to_json(restored)),
             put_leased(leader, self)}};
}

Txn cancel_restore(const Restoration& cancelled, bool was_finished) {
    Txn txn{{unchanged(restore, cancelled.revision)}, {put(restore, to_json(cancelled))}};
    if (was_finished) txn.compares.push_back(absent(leader));
    return txn;
}

Txn claim_rebuild(const Rebuild& claim, Revision term) {
    return {{unchanged(rebuild, claim.revision), under_term(term)}, {put(rebuild, to_json(claim))}};
}

Txn end_rebuild(const Rebuild& ended, std::optional<Revision> term) {
    Txn txn{{unchanged(rebuild, ended.revision)}, {put(rebuild, to_json(ended))}};
    if (term) txn.compares.push_back(under_term(*term));
    return txn;
}

Txn remove_cluster() { return {{}, {{Write::What::remove_prefix, "", {}, false}}}; }

}  // namespace relevo::cluster::keys
