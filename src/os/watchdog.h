// A watchdog device of Linux (/dev/watchdog): once open it resets the host unless it is fed. Where
// it is fed, and when it may rest, its owner decides; this only talks to it.
//
// Not for several threads. Its calls may block in a driver for a moment: not for the loop.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

#include "base/result.h"
#include "base/time.h"

namespace relevo::os {

// What the kernel is asked for; a test puts its own in. As the system calls of these names, with
// errno.
struct WatchdogCalls {
    std::function<int(const std::string& path)> open;  // for writing
    std::function<int(int fd, unsigned long request, void* argument)> ioctl;
    std::function<ssize_t(int fd, const void* bytes, std::size_t count)> write;
    std::function<int(int fd)> close;
    // A word of the device's in sysfs ("state", "nowayout"); empty: not told.
    std::function<std::string(const std::string& path, const char* name)> attribute;
};
WatchdogCalls kernel_watchdog();
// watchdog.driver: testing. The "device" is a FIFO or file that is told what a device would be: `T`
// with the timeout in seconds, `1` for food, `V` for the end. Never a real device.
WatchdogCalls testing_watchdog();

class Watchdog {
public:
    Watchdog(std::string path, WatchdogCalls calls);
    ~Watchdog();  // leaves it counting, as the agent's death would
    Watchdog(const Watchdog&) = delete;
    Watchdog& operator=(const Watchdog&) = delete;

    const std::string& path() const { return path_; }
    bool armed() const { return fd_ >= 0; }
    // not_found, denied: it could not be armed. Does not open it, for that would begin the count.
    Status usable() const;
    // Opens it, unless it is open, sets the timeout and feeds it. The timeout in force, which may
    // be another one.
    Result<Duration> arm(Duration timeout);
    Status feed();
    // Magic close. One that is not ours but counts, left by an agent that died, is stopped as well;
    // one that does not count is not touched.
    Status disarm();

private:
    Result<Duration> timeout_in_force();
    std::unexpected<Error> problem(const std::string& what) const;
    void tell_limits();

    std::string path_;
    WatchdogCalls calls_;
    int fd_ = -1;
    bool limits_told_ = false;
};

}  // namespace relevo::os
