// Sockets are ours alone: a PostgreSQL started by the agent must not inherit the API's listener, or
// the port would stay taken after the agent has gone. Asio (1.81) opens sockets without
// close-on-exec.
#pragma once

#include <fcntl.h>

namespace relevo::net {

inline void close_on_exec(int descriptor) { (void)::fcntl(descriptor, F_SETFD, FD_CLOEXEC); }

}  // namespace relevo::net
