// Whether an archive of WAL has everything between a segment and now, along the timelines that lead
// to the current one, and how far one gets from there. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cluster/lsn.h"
#include "cluster/snapshot.h"

namespace relevo::cluster {

// Segments that follow each other on one timeline.
struct ArchiveGap {
    std::string first, last;
    std::uint64_t segments = 0;
    bool operator==(const ArchiveGap&) const = default;
};

// `archived`: the names of the archive's segments, in any order. `history`: of the current
// timeline's history file. `from`: the first that is needed, as a backup names it. Up to the last
// one that the archive has of the current timeline: what is not archived yet is no gap. `through`:
// or up to that one, if it is of the current timeline; empty, or another file's name: not.
// The segment in which a timeline is left is looked for on the next one, which has it whole.
// invalid: a name, or a segment's size; conflict: `from` is on a timeline that is not in the
// history.
Result<std::vector<ArchiveGap>> archive_gaps(const std::vector<std::string>& archived,
                                             const std::vector<HistoryLine>& history,
                                             Timeline current, std::string_view from,
                                             std::uint64_t segment_bytes,
                                             std::string_view through = {});

// How far recovery gets from a segment on.
struct ArchiveReach {
    std::string first;      // where it begins
    std::string last;       // the last segment before the end or a hole; empty: not even the first
    Timeline timeline = 0;  // of the last
    Lsn end;                // of the last
    std::uint64_t segments = 0;  // that are read
    // The first that is missing, where later ones are there.
    std::optional<std::string> missing;
    bool operator==(const ArchiveReach&) const = default;
};
// Arguments and errors as above.
Result<ArchiveReach> archive_reach(const std::vector<std::string>& archived,
                                   const std::vector<HistoryLine>& history, Timeline current,
                                   std::string_view from, std::uint64_t segment_bytes);

// The timeline and the first byte of a segment. nullopt: that is no segment's name.
struct SegmentStart {
    Timeline timeline = 0;
    Lsn lsn;
};
std::optional<SegmentStart> segment_start(std::string_view name, std::uint64_t segment_bytes);

}  // namespace relevo::cluster
