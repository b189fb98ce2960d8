// Must this member's data be rewound before it can stream from a primary? The table of
// contract 7.9. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/lsn.h"
#include "cluster/postgres_plan.h"
#include "cluster/postgres_state.h"
#include "cluster/snapshot.h"

namespace relevo::postgres {

// Where the local data ends.
struct LocalEnd {
    cluster::Timeline timeline = 0;
    cluster::Lsn lsn;
    bool in_recovery = false;  // it never wrote WAL of its own on this timeline
    cluster::Lsn
        checkpoint_end;  // former primary: the end of its last checkpoint record; 0: unknown
};

// The local end as a stopped server's pg_control tells it; nothing in states that tell too little
// (it crashed: recover it first). checkpoint_end is left to the caller.
std::optional<LocalEnd> local_end(const cluster::ControlData& control);

struct PrimaryTimeline {
    cluster::Timeline timeline = 0;
    cluster::Lsn lsn;                           // IDENTIFY_SYSTEM's
    std::vector<cluster::HistoryLine> history;  // of its timeline; empty on timeline 1
};

// can_rewind is left to the caller.
cluster::Divergence decide_rewind(const LocalEnd& local, const PrimaryTimeline& primary);

// A timeline that both sides have been on, and where each says that it began.
struct SharedTimeline {
    cluster::Timeline number = 0;
    cluster::Lsn begins_here, begins_there;
};
// The newest one, of those that a promotion began. local_history: of the local timeline; empty:
// not known. Nothing when there is none, or none of it was replayed here yet.
std::optional<SharedTimeline> shared_timeline(
    const LocalEnd& local, const std::vector<cluster::HistoryLine>& local_history,
    const PrimaryTimeline& primary);
// What a timeline begins with: a record whose time and checksum no other promotion repeats.
inline constexpr std::size_t first_record_bytes = 48;
// Whether the shared timeline was begun twice. The first bytes of it on both sides; empty: gone.
bool begun_twice(const SharedTimeline& shared, std::string_view here, std::string_view there);
cluster::Divergence twin_of(const SharedTimeline& shared);

// Whether checkpoint_end is needed for the decision: saves running pg_waldump.
bool needs_checkpoint_end(const LocalEnd& local, const PrimaryTimeline& primary);

}  // namespace relevo::postgres
