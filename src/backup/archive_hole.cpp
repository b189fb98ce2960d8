#include "backup/archive_hole.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "backup/repositories.h"
#include "backup/schedule.h"
#include "cluster/archive_gaps.h"

namespace relevo::backup {
namespace {

// When the newest segment before that one was stored, of the same timeline where there is one:
// names sort as they were written.
std::optional<WallTime> stored_before(const ArchiveSight& sight, const std::string& first) {
    if (sight.stored.size() != sight.segments.size()) return std::nullopt;
    std::optional<std::size_t> at;
    for (std::size_t i = 0; i < sight.segments.size(); ++i)
        if (sight.segments[i] < first && (!at || sight.segments[*at] < sight.segments[i])) at = i;
    if (!at || sight.stored[*at] == WallTime{}) return std::nullopt;
    return sight.stored[*at];
}

// What is missing behind the last that the archiver is done with is no hole yet.
std::vector<cluster::ArchiveGap> clipped(std::vector<cluster::ArchiveGap> gaps,
                                         const ArchiveSight& sight) {
    const auto end = cluster::segment_start(sight.believed, sight.segment_bytes);
    if (!end) return gaps;
    std::erase_if(gaps, [&](auto& gap) {
        const auto first = cluster::segment_start(gap.first, sight.segment_bytes);
        if (!first || first->timeline != end->timeline || gap.last <= sight.believed) return false;
        if (end->lsn < first->lsn) return true;
        gap.last = sight.believed;
        gap.segments = (end->lsn.value - first->lsn.value) / sight.segment_bytes + 1;
        return false;
    });
    return gaps;
}

}  // namespace

Result<HoleLook> find_hole(const ArchiveSight& sight) {
    const auto whole = kept(sight.repository.backups);
    if (whole.empty()) return HoleLook{};
    const auto& label = whole.back().label;
    const auto newest =
        std::ranges::find(sight.repository.backups, label, &cluster::BackupRecord::label);
    // From before pg_upgrade, or of another repository: nothing leads from it to here.
    if (!is_of(sight.archive, *newest)) return HoleLook{};
    const auto found =
        cluster::archive_gaps(sight.segments, sight.history, sight.timeline, newest->wal_start,
                              sight.segment_bytes, sight.believed);
    // Made on a timeline that was left since: it is of no use here, and a hole would be no news.
    if (!found && found.error().code == ErrorCode::conflict) return HoleLook{};
    if (!found) return std::unexpected(found.error());
    const auto gaps = clipped(*found, sight);
    if (gaps.empty()) return HoleLook{.since = label, .hole = std::nullopt};
    cluster::ArchiveHole hole{.after = label,
                              .first = gaps.front().first,
                              .last = gaps.back().last,
                              .segments = 0,
                              .since = stored_before(sight, gaps.front().first)};
    for (const auto& gap : gaps) hole.segments += gap.segments;
    return HoleLook{.since = label, .hole = std::move(hole)};
}

std::string describe(const cluster::ArchiveHole& hole) {
    if (hole.segments == 1) return "segment " + hole.first;
    return fmt::format("{} segments from {} to {}", hole.segments, hole.first, hole.last);
}

}  // namespace relevo::backup
