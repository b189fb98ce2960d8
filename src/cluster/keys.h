// Every write to the DCS that a member or an operator makes, with its guards (contract 4.3; ours
// are stricter in two places: the leader key is only ever put under its own create revision or when
// it is absent, and a release is conditional on the term, not on the name alone).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cluster/backup_job.h"
#include "cluster/snapshot.h"
#include "cluster/tree.h"

namespace relevo::cluster::keys {

inline constexpr const char* initialize = "initialize";
inline constexpr const char* config = "config";
inline constexpr const char* leader = "leader";
inline constexpr const char* status = "status";
inline constexpr const char* optime = "optime/leader";
inline constexpr const char* failover = "failover";
inline constexpr const char* sync = "sync";
inline constexpr const char* history = "history";
inline constexpr const char* failsafe = "failsafe";
inline constexpr const char* timeline = "timeline";  // ours alone; docs/adr/0005
inline constexpr const char* deposed = "deposed";    // ours alone; docs/adr/0007
inline constexpr const char* pulse = "pulse";        // the same
inline constexpr const char* backup = "backup";      // the same; docs/adr/0016
inline constexpr const char* restore = "restore";    // the same; docs/adr/0020
inline constexpr const char* rebuild = "rebuild";    // the same; docs/adr/0022
std::string member(std::string_view name);

// "/service/batman/" from namespace and scope, slashes collapsed.
std::string base_path(std::string_view name_space, std::string_view scope);

// What to put into the timeline key. known: mod revision of the key as it was read, 0 absent.
struct TimelineGrant {
    Timeline number = 0;
    Timeline line = 0;     // what the leader writes, or the last one wrote; 0: not known
    Timeline settled = 0;  // the newest number that was given out when the line was told
    Revision known = 0;
    // Where whoever is to be promoted leaves its timeline, or later: its WAL's end. 0: not told.
    Lsn from{};
    Timeline from_timeline = 0;
    // Told with the line by the primary that writes it: a position of an earlier line beside a
    // newer line would measure everybody by what was left behind.
    std::optional<StatusKey> status{};
};
// Only when there is none, and the timeline key is as it was read; so is the record of a restore in
// place (restore_known: its mod revision, 0: there is none): who read that nobody led and wrote
// late must not lead a cluster that has stopped for one. The grant: the
// number of the promotion that follows, or, of a running primary, the line that it goes on with.
// sync: what to put into the sync key: whoever takes the lead by whatever path changes it, so that
// what another candidate found out before is void. Absent: not in synchronous mode, or there is
// none. In any case on condition that it still is the one that was read (mod revision, 0 absent).
Txn acquire_leader(const MemberName& self, const std::optional<TimelineGrant>& grant,
                   const std::optional<SyncState>& sync, Revision sync_known,
                   Revision restore_known = 0);
Txn put_timeline(const TimelineGrant& grant, Revision term);
// Ours by term and name, but under a lease that is gone.
Txn rewrite_leader(const MemberName& self, Revision term);
// ground: what the caller knew; the status is written in the same transaction when given.
Txn release_leader(Revision term, const std::optional<StatusKey>& status);
// By voters that hear nothing of the leader any more: as if its lease had run out. Only while the
// sync key is the one by which they are enough.
Txn depose_leader(const Deposed& deposed, Revision sync);
// A leader over which one voter alone may judge shows in the DCS too that it lives.
Txn put_pulse(Revision term, std::uint64_t count);
Txn claim_initialize();                                            // "" when absent
Txn put_initialize(const std::string& system_id, Revision known);  // known: mod revision, 0 absent
Txn cancel_initialize(Revision claim);  // only this claim, never another's or a system id
// Only while our claim ("") stands and nobody leads. An empty config_json leaves the config as it
// is.
Txn finish_bootstrap(const MemberName& self, const std::string& system_id,
                     const std::string& config_json, Revision claim,
                     Revision sync_known);  // as in acquire_leader
Txn put_member(const MemberRecord& member);
Txn put_status(const StatusKey& status, Revision term);  // only while our term lasts
Txn put_optime(Lsn position, Revision term);             // for agents before 2.1.0: optime/leader
Txn put_history(const std::vector<HistoryLine>& history, Revision term);
Txn put_failsafe(const std::map<MemberName, std::string>& members, Revision term);
Txn put_config_if_absent(const std::string& json);
Txn put_config(const std::string& json, std::optional<Revision> known);
Txn put_failover(const FailoverRequest& request, std::optional<Revision> known);
Txn clear_failover(std::optional<Revision> known);
// By the leader itself, where the key is as it knows it. known: as clear_failover's.
Txn ask_handover(const FailoverRequest& request, Revision known, Revision term);
Txn put_sync(const SyncState& sync, Revision known,
             Revision term);  // known: mod revision, 0 absent
Txn remove_sync(Revision known, Revision term);
// known: mod revision of the key as it was read, 0 absent. term: only while that leader's lasts.
Txn put_backup(const BackupJob& job, Revision known, std::optional<Revision> term);
// A restore in place. Where a Restoration is given it is what to put into the key, and its revision
// says how the key was read (0: absent): each write holds only while it is so.
// Only while that leader leads this cluster, so that nobody restores one that is being made.
Txn ask_restore(const Restoration& wanted, Revision term, const std::string& system_id);
// The leader has stopped its PostgreSQL: nobody leads from here on.
Txn give_way(const Restoration& restoring, Revision term, const StatusKey& status);
// The number of the timeline that the restored server is to begin.
Txn grant_restore(const Restoration& restoring, const TimelineGrant& grant);
// The swap: from here on the restored data is the cluster's, and `self` leads. The grant tells the
// line that it writes.
Txn finish_restore(const MemberName& self, const Restoration& restored, const TimelineGrant& line,
                   const std::string& system_id);
// By whomever. One that is finished only while nobody leads.
Txn cancel_restore(const Restoration& cancelled, bool was_finished);
// A damaged replica that is made anew (cluster/rebuild.h). A revision says how the key was read, as
// above. The turn is taken only while that leader leads; what ends it is written by whomever.
Txn claim_rebuild(const Rebuild& claim, Revision term);
Txn end_rebuild(const Rebuild& ended, std::optional<Revision> term);
Txn remove_cluster();

}  // namespace relevo::cluster::keys
