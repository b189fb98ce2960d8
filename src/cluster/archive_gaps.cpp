#include "cluster/archive_gaps.h"

#include <fmt/core.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <optional>
#include <set>

namespace relevo::cluster {
namespace {

struct Segment {
    Timeline timeline = 0;
    std::uint64_t number = 0;  // of the whole WAL
    auto operator<=>(const Segment&) const = default;
};

constexpr std::uint64_t log_bytes = 1ULL << 32U;  // what the middle of a name counts

std::optional<std::uint32_t> hexadecimal(std::string_view text) {
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

std::optional<Segment> parse(std::string_view name, std::uint64_t segment_bytes) {
    if (name.size() != 24) return std::nullopt;
    const auto timeline = hexadecimal(name.substr(0, 8));
    const auto log = hexadecimal(name.substr(8, 8));
    const auto number = hexadecimal(name.substr(16, 8));
    const auto in_log = log_bytes / segment_bytes;
    if (!timeline || !log || !number || *timeline == 0 || *number >= in_log) return std::nullopt;
    return Segment{*timeline, *log * in_log + *number};
}

std::string name_of(const Segment& segment, std::uint64_t segment_bytes) {
    const auto in_log = log_bytes / segment_bytes;
    return fmt::format("{:08X}{:08X}{:08X}", segment.timeline, segment.number / in_log,
                       segment.number % in_log);
}

class Walk {
public:
    Walk(std::set<Segment> there, std::uint64_t segment_bytes)
        : there_(std::move(there)), segment_bytes_(segment_bytes) {}

    // Numbers from `first` up to `end`, without it. The archive is walked, not the numbers: a hole
    // may be wide.
    void look(Timeline timeline, std::uint64_t first, std::uint64_t end) {
        auto next = first;
        for (auto at = there_.lower_bound({timeline, first});
             next < end && at != there_.end() && at->timeline == timeline && at->number < end;
             ++at) {
            if (at->number > next) missing(timeline, next, at->number);
            next = at->number + 1;
        }
        if (next < end) missing(timeline, next, end);
    }
    std::optional<std::uint64_t> last(Timeline timeline) const {
        auto after = there_.lower_bound({timeline + 1, 0});
        if (after == there_.begin()) return std::nullopt;
        --after;
        return after->timeline == timeline ? std::optional(after->number) : std::nullopt;
    }
    std::vector<ArchiveGap> take() { return std::move(gaps_); }

private:
    void missing(Timeline timeline, std::uint64_t first, std::uint64_t end) {
        gaps_.push_back({.first = name_of({timeline, first}, segment_bytes_),
                         .last = name_of({timeline, end - 1}, segment_bytes_),
                         .segments = end - first});
    }

    std::set<Segment> there_;
    std::uint64_t segment_bytes_;
    std::vector<ArchiveGap> gaps_;
};

}  // namespace

namespace {

// What one walks along: from the first segment, over the timelines that lead to the current one.
struct Way {
    std::set<Segment> there;
    Segment begin;
    struct Part {
        Timeline timeline = 0;
        std::uint64_t first = 0;
        std::optional<std::uint64_t> end;  // without it; absent: the current timeline
    };
    std::vector<Part> parts;
};

Result<Way> way_of(const std::vector<std::string>& archived,
                   const std::vector<HistoryLine>& history, Timeline current, std::string_view from,
                   std::uint64_t segment_bytes) {
    // PostgreSQL's: 1 MB to 1 GB.
    if (!std::has_single_bit(segment_bytes) || segment_bytes < (1U << 20U) ||
        segment_bytes > (1U << 30U))
        return fail(ErrorCode::invalid,
                    fmt::format("a WAL segment cannot have {} bytes", segment_bytes));
    const auto begin = parse(from, segment_bytes);
    if (!begin)
        return fail(ErrorCode::invalid, fmt::format("{} is no segment's name", from.substr(0, 40)));
    Way out;
    out.begin = *begin;
    for (const auto& name : archived)
        if (const auto segment = parse(name, segment_bytes)) out.there.insert(*segment);
    auto lines = history;
    std::ranges::sort(lines, {}, &HistoryLine::timeline);
    auto timeline = begin->timeline;
    auto next = begin->number;
    for (std::size_t i = 0; i < lines.size() && timeline < current; ++i) {
        if (lines[i].timeline < timeline) continue;
        if (lines[i].timeline != timeline) break;
        const auto left = lines[i].switch_point.value / segment_bytes;
        out.parts.push_back({.timeline = timeline, .first = next, .end = std::max(next, left)});
        next = std::max(next, left);
        timeline = i + 1 < lines.size() ? lines[i + 1].timeline : current;
    }
    if (timeline != current)
        return fail(
            ErrorCode::conflict,
            fmt::format("timeline {} is not in the history of timeline {}", timeline, current));
    out.parts.push_back({.timeline = current, .first = next, .end = std::nullopt});
    return out;
}

}  // namespace

Result<std::vector<ArchiveGap>> archive_gaps(const std::vector<std::string>& archived,
                                             const std::vector<HistoryLine>& history,
                                             Timeline current, std::string_view from,
                                             std::uint64_t segment_bytes,
                                             std::string_view through) {
    RLV_TRY(auto way, way_of(archived, history, current, from, segment_bytes));
    Walk walk(std::move(way.there), segment_bytes);
    const auto wanted = parse(through, segment_bytes);
    for (const auto& part : way.parts) {
        if (part.end) {
            walk.look(part.timeline, part.first, *part.end);
            continue;
        }
        auto last = walk.last(part.timeline);
        if (wanted && wanted->timeline == part.timeline)
            last = std::max(last.value_or(0), wanted->number);
        if (last) walk.look(part.timeline, part.first, *last + 1);
    }
    return walk.take();
}

Result<ArchiveReach> archive_reach(const std::vector<std::string>& archived,
                                   const std::vector<HistoryLine>& history, Timeline current,
                                   std::string_view from, std::uint64_t segment_bytes) {
    RLV_TRY(const auto way, way_of(archived, history, current, from, segment_bytes));
    ArchiveReach out;
    out.first = name_of(way.begin, segment_bytes);
    for (const auto& part : way.parts) {
        auto next = part.first;
        for (; (!part.end || next < *part.end) && way.there.contains({part.timeline, next});
             ++next) {
            out.last = name_of({part.timeline, next}, segment_bytes);
            out.timeline = part.timeline;
            out.end = Lsn{(next + 1) * segment_bytes};
            ++out.segments;
        }
        if (part.end && next >= *part.end) continue;
        // Later ones of this timeline, or of those that follow: a hole.
        const auto later = std::ranges::any_of(way.parts, [&](const auto& other) {
            if (other.timeline < part.timeline) return false;
            const auto at = way.there.lower_bound(
                {other.timeline, other.timeline == part.timeline ? next : other.first});
            return at != way.there.end() && at->timeline == other.timeline;
        });
        if (later) out.missing = name_of({part.timeline, next}, segment_bytes);
        break;
    }
    return out;
}

std::optional<SegmentStart> segment_start(std::string_view name, std::uint64_t segment_bytes) {
    if (!std::has_single_bit(segment_bytes) || segment_bytes > log_bytes) return std::nullopt;
    const auto segment = parse(name, segment_bytes);
    if (!segment) return std::nullopt;
    return SegmentStart{segment->timeline, Lsn{segment->number * segment_bytes}};
}

}  // namespace relevo::cluster
