// For tests: a disk that answers probes as it is told, from whichever thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>

#include "cluster/disk_health.h"

namespace relevo::agent {

class FakeDisk {
public:
    using What = cluster::ProbeAnswer::What;

    // How it answers from now on.
    void answers(What what) {
        const std::lock_guard guard(mutex_);
        what_ = what;
    }
    // From now on it does not answer, or does again.
    void hangs(bool on) {
        const std::lock_guard guard(mutex_);
        hangs_ = on;
        changed_.notify_all();
    }
    // The next so many probes are refused, then it is as before.
    void refuses(int times) {
        const std::lock_guard guard(mutex_);
        refusals_ = times;
    }
    cluster::ProbeAnswer probe() {
        std::unique_lock lock(mutex_);
        ++asked_;
        ++inside_;
        most_inside_ = std::max(most_inside_, inside_);
        changed_.wait(lock, [this] { return !hangs_; });
        --inside_;
        if (refusals_ > 0 || what_ == What::refused) {
            refusals_ = std::max(refusals_ - 1, 0);
            return {What::refused, {}, "cannot sync /probe: Input/output error"};
        }
        return {what_, std::chrono::milliseconds(2), what_ == What::unknown ? "may not" : ""};
    }
    // Blocks like a look at a disk that hangs.
    void wait() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return !hangs_; });
    }
    int asked() const {
        const std::lock_guard guard(mutex_);
        return asked_;
    }
    int most_at_once() const {
        const std::lock_guard guard(mutex_);
        return most_inside_;
    }

private:
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    What what_ = What::written;
    bool hangs_ = false;
    int refusals_ = 0, asked_ = 0, inside_ = 0, most_inside_ = 0;
};

}  // namespace relevo::agent
