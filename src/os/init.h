// The work of a first process, for containers that start the agent without an init of their own.
#pragma once

#include <optional>

namespace relevo::os {

// Call it before anything else, while there is one thread. As any other process than number 1 it
// does nothing and returns nullopt. As number 1 it forks: the child returns nullopt and is the
// program; the parent stays, passes on the signals that it gets, reaps every orphan (a postmaster
// outlives the agent that started it and must not stay a zombie, which looks alive), and returns
// the program's exit code (128 + signal when it was killed) when that has ended. -1: it could not
// fork.
std::optional<int> init_if_first_process();

}  // namespace relevo::os
