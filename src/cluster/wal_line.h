// The way that WAL took to where a server writes now: its timeline, and those that this one came
// from, each up to where it was left. What lies beside it is of a past that the cluster gave up.
// Plain values.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "cluster/lsn.h"
#include "cluster/snapshot.h"

namespace relevo::cluster {

struct WalLine {
    std::string system_id;
    Timeline timeline = 0;             // 0: not known
    Lsn end;                           // of its WAL, when it was asked
    std::vector<HistoryLine> history;  // of that timeline; empty on timeline 1

    bool knows(Timeline of) const { return of == timeline || left(of) != nullptr; }
    // Whether WAL of that timeline up to there is on the line.
    bool has(Timeline of, Lsn up_to) const {
        if (of == timeline) return true;
        const auto* at = left(of);
        return at != nullptr && up_to <= at->switch_point;
    }
    bool operator==(const WalLine&) const = default;

private:
    const HistoryLine* left(Timeline of) const {
        const auto at = std::ranges::find(history, of, &HistoryLine::timeline);
        return at == history.end() ? nullptr : &*at;
    }
};

}  // namespace relevo::cluster
