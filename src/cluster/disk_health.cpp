#include "cluster/disk_health.h"

#include <fmt/core.h>

namespace relevo::cluster {

bool DiskHealth::answered(const DiskSettings& settings, Instant at, const ProbeAnswer& answer) {
    silence_ = {};
    if (answer.what == ProbeAnswer::What::absent) *this = {};
    known_ = true;
    const bool counts = refused_ && at - *refused_ < settings.failed_after;
    switch (answer.what) {
        case ProbeAnswer::What::written: {
            written_ = {at, answer.took};
            const bool in_time = answer.took < settings.failed_after;
            if (in_time) by_silence_ = false;
            if (!counts) {
                refused_.reset();
                by_errors_ = false;
            }
            return !in_time;
        }
        case ProbeAnswer::What::refused: {
            by_errors_ = by_errors_ || counts;
            refused_ = at;
            error_ = answer.why;
            return !failed();
        }
        case ProbeAnswer::What::absent:
        case ProbeAnswer::What::full:
        case ProbeAnswer::What::unknown: break;
    }
    return false;
}

void DiskHealth::silent(const DiskSettings& settings, Duration more) {
    silence_ += more;
    if (silence_ < settings.failed_after) return;
    by_silence_ = true;
    too_long_ = settings.failed_after;
}

std::string DiskHealth::why() const {
    if (by_errors_) return error_;
    return fmt::format("a page was not written within {} s", too_long_.count());
}

}  // namespace relevo::cluster
