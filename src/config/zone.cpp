#include "config/zone.h"

#include <absl/time/time.h>
#include <fmt/core.h>

#include <algorithm>

namespace relevo::config {
namespace {

using cluster::Zone;
using std::chrono::seconds;

// The rules that a zone has now go on for ever; the table ends there.
const absl::Time last = absl::FromUnixSeconds(4'102'444'800);  // 2100

bool is_name(const std::string& name) {
    // What else the library would take: paths, and words of its own.
    return !name.empty() && name.size() <= 64 && name.front() != '/' && !name.contains("..") &&
           std::ranges::all_of(name, [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '/' || c == '_' || c == '-' || c == '+';
           });
}

seconds offset(const absl::TimeZone& zone, absl::Time at) { return seconds(zone.At(at).offset); }

}  // namespace

Result<Zone> load_zone(const std::string& name) {
    if (name == "UTC") return Zone();
    absl::TimeZone zone;
    if (!is_name(name) || !absl::LoadTimeZone(name, &zone))
        return fail(ErrorCode::not_found,
                    fmt::format("this host knows no time zone of the name {}: expected one of the "
                                "tz database, as Europe/Berlin (package tzdata), or UTC",
                                is_name(name) ? name : "given"));
    const absl::Time first = absl::UnixEpoch();
    std::vector<Zone::Change> changes;
    absl::TimeZone::CivilTransition transition;
    seconds before = offset(zone, first);
    for (absl::Time at = first; zone.NextTransition(at, &transition);) {
        const absl::Time next = zone.At(transition.to).trans;
        if (next <= at || next > last) break;
        at = next;
        // Some change the zone's abbreviation alone.
        const seconds after = offset(zone, at);
        const seconds held = changes.empty() ? before : changes.back().offset;
        if (after != held)
            changes.push_back({Zone::Seconds(seconds(absl::ToUnixSeconds(at))), after});
    }
    return Zone(name, before, std::move(changes));
}

}  // namespace relevo::config
