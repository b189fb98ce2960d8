#include "cluster/zone.h"

#include <algorithm>

namespace relevo::cluster {

using std::chrono::seconds;

seconds Zone::offset_at(Seconds at) const {
    const auto next = std::ranges::upper_bound(changes_, at, {}, &Change::at);
    return next == changes_.begin() ? before_ : std::prev(next)->offset;
}

Zone::Shown Zone::shown(Seconds local) const {
    // No zone is farther from UTC than this, so no other change has a say.
    constexpr auto reach = std::chrono::days(2);
    const auto from = std::ranges::lower_bound(changes_, local - reach, {}, &Change::at);
    const auto to = std::ranges::upper_bound(changes_, local + reach, {}, &Change::at);

    Shown out;
    const auto try_offset = [&](seconds offset) {
        const Seconds at = local - offset;
        if (offset_at(at) != offset || out.first == at || out.second == at) return;
        if (!out.first)
            out.first = at;
        else if (!out.second)
            out.second = at;
    };
    seconds before = from == changes_.begin() ? before_ : std::prev(from)->offset;
    try_offset(before);
    for (auto change = from; change != to; ++change) {
        try_offset(change->offset);
        if (local >= change->at + before && local < change->at + change->offset)
            out.skipped_at = change->at;
        before = change->offset;
    }
    if (out.second && *out.second < *out.first) std::swap(out.first, out.second);
    return out;
}

}  // namespace relevo::cluster
