#include "sim/trace.h"

#include <fmt/core.h>

namespace relevo::sim {

void Trace::line(Instant at, std::string_view who, std::string_view what) {
    if (!on_) return;
    std::string text = fmt::format("{:>11.4f}  {:<5} {}", to_s(at.time_since_epoch()), who, what);
    if (sink)
        sink(text);
    else
        lines_.push_back(std::move(text));
}

}  // namespace relevo::sim
