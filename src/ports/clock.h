// The only way to learn what time it is.
#pragma once

#include "base/time.h"

namespace relevo::ports {

class Clock {
public:
    virtual ~Clock() = default;
    virtual Instant now() const = 0;    // CLOCK_BOOTTIME: never steps back, counts suspended time
    virtual WallTime wall() const = 0;  // calendar: only for people and their schedules
};

}  // namespace relevo::ports
