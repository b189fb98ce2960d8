// What is asked of the local PostgreSQL and what comes back, as plain values: the core decides in
// these words, ports/postgres.h carries them out.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "cluster/lsn.h"
#include "cluster/member.h"

namespace relevo::cluster {

// Where a standby streams from. Addresses, never names that can move.
struct Upstream {
    MemberName member;  // empty: a server outside the cluster
    std::string host;
    int port = 5432;
    std::string slot_name;  // empty: none
    bool operator==(const Upstream&) const = default;
};

struct StartPlan {
    bool as_primary = false;           // in place, after a crash or at bootstrap; else a standby
    std::optional<Upstream> upstream;  // standby: absent = no upstream (waits, follows the archive)
    Role callback_role = Role::replica;  // which role's parameters, hba, ident to write
    Duration timeout{};                  // until it accepts connections; 0: without limit
    // A primary's synchronous_standby_names from its first moment. Absent: as it was last set.
    std::optional<std::string> sync_names{};
    // A primary that lets nobody in but the agents and replication, before Postgres::admit().
    bool hold_clients = false;
};

struct PromotePlan {
    Timeline from = 0;  // of the member's last record
    Timeline to = 0;    // the one to begin; 0: whichever PostgreSQL takes
    Duration timeout{};
    std::optional<std::string> sync_names{};  // as in StartPlan
    bool hold_clients = false;                // the same; sessions from before it stay
};

enum class StopMode { smart, fast, immediate };

struct SlotPlan {  // the physical member slots and permanent slots that should be here
    struct Wanted {
        std::string name;
        Lsn advance_to;  // 0: leave where it is
        bool expected_active = true;
        bool logical = false;
        std::string database, plugin;
    };
    std::vector<Wanted> wanted;
    std::vector<std::string> keep;  // not ours, leave alone
    bool drop_others = true;
};

// Whether this member's data can simply stream from a source, or must be rewound first.
struct Divergence {
    enum class Verdict { streams, must_rewind, undecided } verdict = Verdict::undecided;
    std::string why;          // for the operator: timelines and positions compared
    bool can_rewind = false;  // pg_rewind is allowed and possible here (checksums or wal_log_hints)
    // Both sides began a timeline of the same number, apart from each other. PostgreSQL would
    // stream and mix them in silence, and pg_rewind sees no difference: only a new copy helps.
    bool twin = false;
};

}  // namespace relevo::cluster
