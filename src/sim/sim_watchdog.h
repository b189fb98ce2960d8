// A host's watchdog device: once armed it resets the host when it is not fed in time, whatever
// runs, hangs or is frozen there. Only disarm(), or the power's end, stops it.
#pragma once

#include <functional>

#include "sim/world.h"

namespace relevo::sim {

class SimWatchdog {
public:
    SimWatchdog(World& world, int member, std::function<void(int)> on_reset)
        : world_(&world), member_(member), on_reset_(std::move(on_reset)) {}

    void arm(Duration timeout) {
        timeout_ = timeout;
        counts_ = true;
        boot_ = world_->host(member_).boot;
        feed();
    }
    void feed() {
        if (!counts()) return;
        const int turn = ++turn_;
        world_->after(timeout_, [this, turn] {
            if (turn != turn_ || !counts()) return;
            counts_ = false;
            on_reset_(member_);
        });
    }
    void disarm() {
        counts_ = false;
        ++turn_;
    }
    bool counts() const { return counts_ && boot_ == world_->host(member_).boot; }

private:
    World* world_;
    int member_;
    std::function<void(int)> on_reset_;
    Duration timeout_{};
    bool counts_ = false;
    int boot_ = 0, turn_ = 0;
};

}  // namespace relevo::sim
