// Write-ahead log without bytes. A branch is what one primary wrote between its promotion and its
// end; two primaries never write the same branch, so (branch, position) says exactly what a data
// directory holds, whatever its timeline's number is.
#pragma once

#include <optional>
#include <vector>

#include "base/time.h"
#include "cluster/lsn.h"
#include "cluster/snapshot.h"

namespace relevo::sim {

using BranchId = int;  // -1: none

struct WalEnd {
    BranchId branch = -1;
    cluster::Lsn lsn;
    bool operator==(const WalEnd&) const = default;
};

struct Acked {  // a commit that a client was told is done, or has seen
    cluster::Lsn lsn;
    Instant at;
    bool promised = false;  // synchronous replication was in force
    bool lost = false;      // counted as such
    bool read = false;      // by a reader: its own client was told nothing
};

struct Branch {
    cluster::Timeline timeline = 1;
    BranchId parent = -1;
    cluster::Lsn begins;             // on the parent
    int writer = -1;                 // the only member that writes it
    std::vector<Acked> acked;        // by position
    std::vector<cluster::Lsn> open;  // commits that nobody was told of, by position
};

class WalTree {
public:
    BranchId root(int writer);
    // wanted: the timeline, when it is above the next; 0: the next.
    BranchId fork(WalEnd from, int writer, cluster::Timeline wanted);
    Branch& at(BranchId id) { return branches_[static_cast<std::size_t>(id)]; }
    BranchId size() const { return static_cast<BranchId>(branches_.size()); }
    const Branch& at(BranchId id) const { return branches_[static_cast<std::size_t>(id)]; }
    cluster::Timeline timeline(WalEnd end) const {
        return end.branch < 0 ? 0 : at(end.branch).timeline;
    }

    bool covers(WalEnd holder, WalEnd what) const;  // everything up to `what` is in `holder`
    WalEnd common(WalEnd a, WalEnd b) const;  // how far both are the same; branch -1: not at all
    // The end of `line` as far as clients were told of it.
    WalEnd last_acked(WalEnd line) const;
    // A reader sees all of it, and so is told of its open commits, as good as promised. Whether
    // there were any.
    bool show(WalEnd seen, Instant now);
    // Acknowledged commits on `line` that `holder` lacks, and the oldest of them.
    struct Lost {
        std::size_t count = 0, promised = 0;
        Instant first;
    };
    Lost lost(WalEnd line, WalEnd holder) const;
    std::size_t count_lost(WalEnd line, WalEnd holder);  // those that were not counted before
    std::vector<cluster::HistoryLine> history(BranchId id) const;
    // The newest timeline number that both have, when it is another branch for each; 0: no such.
    cluster::Timeline twin(WalEnd a, WalEnd b) const;
    // Another branch of the same cluster has this one's timeline number: PostgreSQL sees no
    // difference.
    bool has_twin(BranchId id) const;

private:
    std::vector<Branch> branches_;
};

}  // namespace relevo::sim
