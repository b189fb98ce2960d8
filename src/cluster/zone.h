// A time zone as a plain table: what its clocks add to UTC, and from when on. Pure; the table comes
// from outside (config/zone.h reads it from the system's tz database), so what is computed from it
// can be tested with a zone that changes when the test wants it to.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"

namespace relevo::cluster {

class Zone {
public:
    using Seconds = std::chrono::sys_seconds;
    struct Change {
        Seconds at;
        std::chrono::seconds offset{};  // from then on
        bool operator==(const Change&) const = default;
    };

    Zone() = default;  // UTC
    // before: what holds until the first change. Changes are in order of time, and less than a day
    // each.
    Zone(std::string name, std::chrono::seconds before, std::vector<Change> changes)
        : name_(std::move(name)), before_(before), changes_(std::move(changes)) {}

    const std::string& name() const { return name_; }
    std::chrono::seconds offset_at(Seconds at) const;

    // When the zone's clocks show `local` (a time of day as if it were UTC). Most are shown once;
    // one that is skipped when clocks are put forward, never; one that comes again when they are
    // put back, twice.
    struct Shown {
        std::optional<Seconds> first, second;
        Seconds skipped_at;  // when it is never shown: the instant of the change that skips it
    };
    Shown shown(Seconds local) const;

private:
    std::string name_ = "UTC";
    std::chrono::seconds before_{};
    std::vector<Change> changes_;
};

}  // namespace relevo::cluster
