// The machine's clocks, for ports::Clock's implementation and for measuring.
#pragma once

#include "base/time.h"

namespace relevo::os {

Instant boottime_now();  // CLOCK_BOOTTIME: counts the time asleep, never steps
WallTime wall_now();

}  // namespace relevo::os
