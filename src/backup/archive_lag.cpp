#include "backup/archive_lag.h"

#include <algorithm>
#include <charconv>
#include <string_view>

namespace relevo::backup {
namespace {

// An archive that stands still for hours is not measured to the second any more.
constexpr std::size_t moments_max = 1000;
// archive_command gets so long for a segment before it counts as waiting all the same.
constexpr auto slack = std::chrono::seconds(30);

// Where that segment ends; 0: it is another file's name.
cluster::Lsn end_of(std::string_view name, std::uint64_t segment_bytes) {
    constexpr std::size_t digits = 24;
    if (name.size() != digits || segment_bytes == 0) return {};
    std::uint64_t high = 0, low = 0;
    const auto a = std::from_chars(name.data() + 8, name.data() + 16, high, 16);
    const auto b = std::from_chars(name.data() + 16, name.data() + digits, low, 16);
    if (a.ec != std::errc() || a.ptr != name.data() + 16 || b.ec != std::errc() ||
        b.ptr != name.data() + digits)
        return {};
    return cluster::Lsn{(high << 32U) + (low + 1) * segment_bytes};
}

}  // namespace

void ArchiveLag::look(const cluster::ArchiverState& seen, WallTime now, bool believe) {
    if (believe) archived_ = std::max(archived_, end_of(seen.last_archived, seen.segment_bytes));
    if (moments_.size() >= moments_max)
        for (std::size_t at = 1; at < moments_.size(); ++at)
            moments_.erase(moments_.begin() + static_cast<std::ptrdiff_t>(at));
    moments_.push_back({now, seen.written, seen.ended});
    // What no transaction wrote (a checkpoint, what a standby needs to open) does not let
    // PostgreSQL begin another segment; everything else does within archive_timeout. So where no
    // WAL was written for that long, and no segment waits, none of it is missed.
    const auto still = std::ranges::find(moments_, seen.written, &Moment::written);
    if (believe && seen.waiting == 0 && seen.archive_timeout.count() > 0 &&
        now - still->at > seen.archive_timeout + slack)
        archived_ = std::max(archived_, seen.written);
    while (moments_.size() > 1 && moments_[1].written <= archived_) moments_.pop_front();

    const auto& complete = moments_.front();
    const bool missing = seen.waiting > 0 || seen.ended != complete.ended;
    status_ = {.missing_since = std::nullopt,
               .waiting = seen.waiting,
               .last_archived = seen.last_archived,
               .archived_at = seen.archived_at,
               .failing = {},
               .queue_full = false,
               .hole = std::nullopt};
    if (missing) status_.missing_since = complete.at;
    // Before the first look: since the last one went, or longer.
    if (missing && complete.written > archived_ && seen.archived_at)
        status_.missing_since = std::min(complete.at, *seen.archived_at);
    if (seen.failed_at && (!seen.archived_at || *seen.failed_at > *seen.archived_at))
        status_.failing = seen.last_failed;
}

void ArchiveLag::could_not_look() {
    if (!moments_.empty() && !status_.missing_since) status_.missing_since = moments_.back().at;
}

}  // namespace relevo::backup
