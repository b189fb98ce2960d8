// Whether a process that was killed and has not ended can still do anything. No disk is touched.
#pragma once

#include <sys/types.h>

namespace relevo::os {

// True: SIGKILL is pending for each of its threads, and each sleeps in the kernel where no signal
// wakes it (state D), as on a disk that does not answer. It runs no instruction of its own any
// more: before it would, it ends. What it had asked the kernel for, a write, may still happen.
// False in doubt, and when it has ended.
bool doomed(pid_t pid);

}  // namespace relevo::os
