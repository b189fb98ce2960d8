#include "agent/host_watchdog.h"

#include <utility>

#include "os/clock.h"

namespace relevo::agent {

namespace {

std::unexpected<Error> too_late() {
    return fail(ErrorCode::cancelled, "the right to lead had run out before the device was told");
}

}  // namespace

HostWatchdog::HostWatchdog(std::function<config::WatchdogConfig()> config)
    : config_(std::move(config)) {}

HostWatchdog::~HostWatchdog() {
    if (pool_) pool_->join();
}

os::Blocking& HostWatchdog::thread() {
    if (!pool_) {
        pool_.emplace(1);
        thread_.emplace(*pool_);
    }
    return *thread_;
}

os::Watchdog& HostWatchdog::device(const config::WatchdogConfig& wanted) {
    const bool same = wanted.device == used_.device && wanted.driver == used_.driver;
    if (!device_ || (!same && !device_->armed())) {
        used_ = wanted;
        device_ = std::make_unique<os::Watchdog>(wanted.device, wanted.driver == "testing"
                                                                    ? os::testing_watchdog()
                                                                    : os::kernel_watchdog());
    }
    return *device_;
}

Task<Status> HostWatchdog::usable() {
    auto status =
        co_await thread().run([this, config = config_()] { return device(config).usable(); });
    co_return status;
}

Task<Result<ports::Watchdog::Fed>> HostWatchdog::arm(Duration timeout, Instant not_after) {
    auto armed =
        co_await thread().run([this, config = config_(), timeout, not_after]() -> Result<Fed> {
            const Instant at = os::boottime_now();
            if (at > not_after) return too_late();
            RLV_TRY(timeout_, device(config).arm(timeout));
            return Fed{timeout_, at};
        });
    co_return armed;
}

Task<Result<ports::Watchdog::Fed>> HostWatchdog::feed(Instant not_after) {
    auto fed = co_await thread().run([this, config = config_(), not_after]() -> Result<Fed> {
        const Instant at = os::boottime_now();
        if (at > not_after) return too_late();
        if (const auto done = device(config).feed(); !done) return std::unexpected(done.error());
        return Fed{timeout_, at};
    });
    co_return fed;
}

Task<Status> HostWatchdog::disarm() {
    auto status =
        co_await thread().run([this, config = config_()] { return device(config).disarm(); });
    co_return status;
}

}  // namespace relevo::agent
