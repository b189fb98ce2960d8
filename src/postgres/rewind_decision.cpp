#include "postgres/rewind_decision.h"

#include <fmt/format.h>

#include <algorithm>

namespace relevo::postgres {

namespace {

using Verdict = cluster::Divergence::Verdict;
using cluster::to_string;

cluster::Divergence answer(Verdict verdict, std::string why) {
    return {.verdict = verdict, .why = std::move(why), .can_rewind = false};
}

// Where the primary's history left our timeline; nothing when it never was on it.
std::optional<cluster::Lsn> switch_point(const LocalEnd& local, const PrimaryTimeline& primary) {
    const auto line =
        std::ranges::find(primary.history, local.timeline, &cluster::HistoryLine::timeline);
    if (line == primary.history.end()) return std::nullopt;
    return line->switch_point;
}

cluster::Divergence decide_former_primary(const LocalEnd& local, const PrimaryTimeline& primary,
                                          cluster::Lsn forked) {
    if (local.lsn >= forked)
        return answer(
            Verdict::must_rewind,
            fmt::format(
                "this former primary wrote up to {} on timeline {}, which timeline {} left at {}",
                to_string(local.lsn), local.timeline, primary.timeline, to_string(forked)));
    // The shutdown checkpoint is the last record of a clean stop. That the new timeline begins
    // right behind it is the whole proof that nothing of ours is missing there.
    if (local.checkpoint_end && local.checkpoint_end != forked)
        return answer(
            Verdict::must_rewind,
            fmt::format(
                "this former primary's last checkpoint on timeline {} ends at {}, but timeline {} "
                "begins at {}",
                local.timeline, to_string(local.checkpoint_end), primary.timeline,
                to_string(forked)));
    // An unknown end (its segment is gone) must not lead to a rewind that could only fail and cost
    // the data: PostgreSQL itself refuses to stream what does not fit.
    return answer(Verdict::streams,
                  fmt::format("timeline {} begins at {}, where this former primary's WAL ends",
                              primary.timeline, to_string(forked)));
}

}  // namespace

std::optional<LocalEnd> local_end(const cluster::ControlData& control) {
    using State = cluster::ControlState;
    switch (control.state) {
        case State::shut_down_in_recovery:
        case State::in_archive_recovery:
            if (control.min_recovery_end && control.min_recovery_end_timeline != 0)
                return LocalEnd{.timeline = control.min_recovery_end_timeline,
                                .lsn = control.min_recovery_end,
                                .in_recovery = true,
                                .checkpoint_end = {}};
            // It was started as a standby and never replayed anything: its WAL is its own.
            return LocalEnd{.timeline = control.checkpoint_timeline,
                            .lsn = control.checkpoint,
                            .in_recovery = false,
                            .checkpoint_end = {}};
        case State::shut_down:
            return LocalEnd{.timeline = control.checkpoint_timeline,
                            .lsn = control.checkpoint,
                            .in_recovery = false,
                            .checkpoint_end = {}};
        case State::unknown:
        case State::starting_up:
        case State::shutting_down:
        case State::in_crash_recovery:
        case State::in_production: return std::nullopt;
    }
    return std::nullopt;
}

cluster::Divergence decide_rewind(const LocalEnd& local, const PrimaryTimeline& primary) {
    if (local.timeline == 0 || primary.timeline == 0 || !local.lsn)
        return answer(Verdict::undecided, "a timeline or a position is unknown");
    if (local.timeline > primary.timeline)
        return answer(Verdict::must_rewind,
                      fmt::format("this member is on timeline {}, the primary on the older {}",
                                  local.timeline, primary.timeline));
    if (local.timeline == primary.timeline)
        return answer(Verdict::streams, fmt::format("both are on timeline {}", local.timeline));

    const auto forked = switch_point(local, primary);
    if (!forked)
        return answer(Verdict::must_rewind,
                      fmt::format("timeline {} is not in the history of the primary's timeline {}",
                                  local.timeline, primary.timeline));
    if (!local.in_recovery) return decide_former_primary(local, primary, *forked);
    if (local.lsn > *forked)
        return answer(
            Verdict::must_rewind,
            fmt::format(
                "this standby replayed up to {} on timeline {}, which timeline {} left at {}",
                to_string(local.lsn), local.timeline, primary.timeline, to_string(*forked)));
    return answer(
        Verdict::streams,
        fmt::format("this standby replayed up to {} on timeline {}, and timeline {} left "
                    "it later, at {}",
                    to_string(local.lsn), local.timeline, primary.timeline, to_string(*forked)));
}

namespace {

struct Begun {
    cluster::Timeline number = 0;
    cluster::Lsn at;
};

// From the newest to the oldest; the first one of a cluster was begun by nobody's promotion.
std::vector<Begun> begun(cluster::Timeline timeline,
                         const std::vector<cluster::HistoryLine>& history) {
    std::vector<Begun> all;
    cluster::Timeline number = timeline;
    for (auto line = history.rbegin(); line != history.rend(); ++line) {
        all.push_back({number, line->switch_point});
        number = line->timeline;
    }
    return all;
}

}  // namespace

std::optional<SharedTimeline> shared_timeline(
    const LocalEnd& local, const std::vector<cluster::HistoryLine>& local_history,
    const PrimaryTimeline& primary) {
    const auto there = begun(primary.timeline, primary.history);
    const auto find = [&](cluster::Timeline number) {
        return std::ranges::find(there, number, &Begun::number);
    };
    auto here = begun(local.timeline, local_history);
    // Its own history file may be in the archive alone.
    if (here.empty())
        if (const auto at = find(local.timeline); at != there.end()) here.push_back(*at);
    for (const Begun& mine : here) {
        const auto theirs = find(mine.number);
        if (theirs == there.end()) continue;
        if (local.in_recovery && mine.number == local.timeline &&
            local.lsn.value < mine.at.value + first_record_bytes)
            return std::nullopt;
        return SharedTimeline{mine.number, mine.at, theirs->at};
    }
    return std::nullopt;
}

bool begun_twice(const SharedTimeline& shared, std::string_view here, std::string_view there) {
    if (shared.begins_here != shared.begins_there) return true;
    constexpr std::size_t enough = 24;  // a record's header, with its checksum
    const std::size_t both = std::min(here.size(), there.size());
    return both >= enough && here.substr(0, both) != there.substr(0, both);
}

cluster::Divergence twin_of(const SharedTimeline& shared) {
    auto twin = answer(
        Verdict::must_rewind,
        fmt::format("timeline {} was begun twice, apart from each other: at {} here and at {} by "
                    "the primary",
                    shared.number, to_string(shared.begins_here), to_string(shared.begins_there)));
    twin.twin = true;
    return twin;
}

bool needs_checkpoint_end(const LocalEnd& local, const PrimaryTimeline& primary) {
    if (local.in_recovery || local.timeline >= primary.timeline) return false;
    const auto forked = switch_point(local, primary);
    return forked && local.lsn < *forked;
}

}  // namespace relevo::postgres
