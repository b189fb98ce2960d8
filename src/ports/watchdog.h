// The host's watchdog device: once armed it resets the host unless it is fed, whatever became of
// this agent. Real: agent/host_watchdog.h over os/watchdog.h. One thread, as all ports; a driver
// that blocks holds up nobody but the caller.
#pragma once

#include "base/result.h"
#include "base/time.h"
#include "ports/task.h"

namespace relevo::ports {

class Watchdog {
public:
    virtual ~Watchdog() = default;
    // Counting from `at`, before it was told, or a moment later: `timeout` after that it resets.
    struct Fed {
        Duration timeout{};
        Instant at;
    };
    // Whether it could be armed, as far as that shows without doing it.
    virtual Task<Status> usable() = 0;
    // cancelled: not_after had passed, and nothing was done. The timeout is whole seconds; the
    // device may answer with another one.
    virtual Task<Result<Fed>> arm(Duration timeout, Instant not_after) = 0;
    virtual Task<Result<Fed>> feed(Instant not_after) = 0;
    // Only when no process of PostgreSQL can write any more. Ok when nothing counts.
    virtual Task<Status> disarm() = 0;
};

}  // namespace relevo::ports
