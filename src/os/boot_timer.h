// An alarm on the clock that also counts while the machine is suspended. asio's own timers stand
// still then: what was due meanwhile would come as much too late as the sleep was long, and a lease
// would seem to last.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>

#include "base/time.h"

namespace relevo::os {

class BootTimer {
public:
    BootTimer(boost::asio::io_context& loop, std::function<void()> on_due);
    ~BootTimer();  // no call any more
    BootTimer(const BootTimer&) = delete;
    BootTimer& operator=(const BootTimer&) = delete;

    // By os/clock.h's clock; one that has passed is due at once. In place of the one before.
    void set(Instant when);
    void cancel();
    int descriptor() const;

private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace relevo::os
