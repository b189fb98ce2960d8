// Not having to wait for other processes' memory or processor time: what keeps a lease and fences
// must run when the host is at its worst.
#pragma once

#include <string>

#include "base/result.h"

namespace relevo::os {

// Keeps in memory whatever of this process is there now or comes later, and this program's own code
// as a whole: a page of it might have to be read from a disk that is dead. What is never used of
// libraries stays out. denied: why, and what allows it.
Status lock_memory();

// The calling thread goes before all ordinary ones: real time of the lowest priority, or a better
// nice value. Neither threads nor processes that it makes inherit that, a postmaster least of all.
// The text says what it got. denied: why, and what allows it.
Result<std::string> raise_priority();

// This process's /proc/self/oom_score_adj; 0 when it cannot be read.
int oom_score_adjustment();

}  // namespace relevo::os
