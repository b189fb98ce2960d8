// The cluster as the DCS tells it: every key of the contract (4.1, 4.2) as a value, at one
// revision.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "cluster/lsn.h"
#include "cluster/member.h"
#include "cluster/rebuild.h"
#include "cluster/restoration.h"
#include "cluster/tree.h"

namespace relevo::cluster {

struct LeaderKey {
    MemberName name;
    Revision create_revision = 0;  // the term
    Revision mod_revision = 0;
    LeaseId lease = 0;
    bool operator==(const LeaderKey&) const = default;
};

// The failover key. leader set: switchover; only member: manual failover.
struct FailoverRequest {
    MemberName leader, member;  // empty: not given
    std::optional<WallTime> scheduled_at;
    std::string scheduled_at_text;  // as it was written
    Revision mod_revision = 0;
    bool operator==(const FailoverRequest&) const = default;
};

struct SyncState {
    MemberName leader;  // empty: synchronous replication is not active
    int quorum = 0;
    std::vector<MemberName> voters;  // sync_standby, sorted
    Revision mod_revision = 0;       // 0: the key is absent
    // The key holds something that nobody could read, and nothing good was read before: whether
    // there are voters, and who, is not known. A ground to wait, never to act.
    bool unreadable = false;
    bool operator==(const SyncState&) const = default;
    bool active() const { return !leader.empty(); }
    bool names(std::string_view member) const;            // voter, case-insensitive
    bool names_or_leader(std::string_view member) const;  // voter or leader
};

struct StatusKey {
    Lsn optime;
    std::map<std::string, Lsn> slots;
    std::vector<std::string> retain_slots;
    bool operator==(const StatusKey&) const = default;
};

struct HistoryLine {
    Timeline timeline = 0;  // that ended
    Lsn switch_point;
    std::string reason, timestamp, member;  // the last two may be empty
    bool operator==(const HistoryLine&) const = default;
};

// The newest timeline number that was given to a promotion, and the one that a leader was last
// known to write.
struct TimelineKey {
    Timeline number = 0;
    Timeline line = 0;     // 0: not told
    Timeline settled = 0;  // what was given out up to here was decided when the line was told
    // Where the one that is promoted to `number` leaves its timeline, or later. 0: not told.
    Lsn from{};
    Timeline from_timeline = 0;
    Revision mod_revision = 0;  // 0: the key is absent
    bool operator==(const TimelineKey&) const = default;
};

// The last leader whose key its voters took away since they did not hear it any more.
struct Deposed {
    Revision term = 0;      // 0: nobody was
    MemberName leader, by;  // by: who carried it out
    bool operator==(const Deposed&) const = default;
};

struct ConfigKey {
    std::string json;  // an object, compact
    Revision mod_revision = 0;
    bool operator==(const ConfigKey&) const = default;
};

struct Snapshot {
    Revision revision = 0;
    std::optional<std::string> initialize;  // absent: never; "": bootstrap running; else system id
    Revision initialize_revision = 0;
    LeaseId initialize_lease = 0;  // of a claim: who is at it
    std::optional<ConfigKey> config;
    std::optional<LeaderKey> leader;
    std::map<MemberName, MemberRecord> members;
    StatusKey status;
    bool has_status = false;
    std::optional<FailoverRequest> failover;  // absent, {} and empty strings are all nullopt
    Revision failover_revision = 0;           // of the key, also when it asks for nothing
    SyncState sync;
    std::optional<std::vector<HistoryLine>> history;
    TimelineKey granted;
    Deposed deposed;
    std::map<MemberName, std::string> failsafe;  // name -> api_url
    std::optional<Restoration> restoration;      // in place: the one that goes on, or the last
    std::optional<Rebuild> rebuild;              // a damaged member that is, or was, made anew

    bool unlocked() const { return !leader; }
    bool led_by(std::string_view name) const { return leader && leader->name == name; }
    const MemberRecord* member(std::string_view name) const;
    const MemberRecord* leader_member() const;
    // Last history entry's timeline + 1; 1 for an empty history; 0 when the key is absent.
    Timeline timeline() const;
    bool initialized() const;  // initialize holds a valid system id (digits, 10 or more)
};

// Reads trees into snapshots. A key that cannot be understood is reported once for each of its
// revisions and its last good value stands in for it; it is never a reason to act. Revisions
// (config, sync, failover_revision, members) are then those of the key as it is, so that it can be
// overwritten. Without a last good value: initialize keeps the text as it is (initialized() is
// false, and nobody may bootstrap over it), sync is unreadable, everything else is as if absent.
// `rebuild` is unreadable in any case: no last value stands in for it.
// Keys that did not change since the last call are not parsed again.
class SnapshotReader {
public:
    struct Problem {
        std::string key, what;  // what: what is wrong and what is done instead; never the value
    };
    std::shared_ptr<const Snapshot> read_shared(const KeyTree& tree);
    Snapshot read(const KeyTree& tree) { return *read_shared(tree); }
    // New since the last call; for the log.
    std::vector<Problem> take_problems();

private:
    std::shared_ptr<const Snapshot> last_ = std::make_shared<const Snapshot>();
    std::map<std::string, KeyValue> seen_;  // the keys that last_ was read from
    std::vector<Problem> problems_;

    bool unchanged(const std::string& key, const KeyValue& value) const;
    void remember(const KeyTree& tree);
    void problem(const std::string& key, const std::string& what, bool has_last);
    template <class T, class Parse>
    std::optional<T> good(const KeyTree& tree, const char* key, const T* last, Parse parse);
    void read_initialize(const KeyTree& tree, Snapshot& next);
    void read_config(const KeyTree& tree, Snapshot& next);
    void read_leader(const KeyTree& tree, Snapshot& next);
    void read_members(const KeyTree& tree, Snapshot& next);
    void read_status(const KeyTree& tree, Snapshot& next);
    void read_failover(const KeyTree& tree, Snapshot& next);
    void read_sync(const KeyTree& tree, Snapshot& next);
    void read_timeline(const KeyTree& tree, Snapshot& next);
    void read_restoration(const KeyTree& tree, Snapshot& next);
    void read_rebuild(const KeyTree& tree, Snapshot& next);
};

// The texts, for writers and tests.
std::string to_json(const FailoverRequest& request);
std::string to_json(const SyncState& sync);
std::string to_json(const StatusKey& status);
std::string to_json(const std::vector<HistoryLine>& history);
std::string to_json(const Deposed& deposed);
std::string failsafe_json(const std::map<MemberName, std::string>& members);
Result<FailoverRequest> parse_failover(std::string_view text);
Result<SyncState> parse_sync(std::string_view text);
Result<StatusKey> parse_status(std::string_view text);
Result<std::vector<HistoryLine>> parse_history(std::string_view text);
Result<TimelineKey> parse_timeline(std::string_view text);  // without the revision
Result<Deposed> parse_deposed(std::string_view text);
Result<std::map<MemberName, std::string>> parse_failsafe(std::string_view text);
Result<std::string> parse_config(
    std::string_view text);  // the object, compact, keys in their order
// The content of an NNNNNNNN.history file of PostgreSQL.
Result<std::vector<HistoryLine>> parse_history_file(std::string_view text);

}  // namespace relevo::cluster
