// ports::Watchdog over this host's device. Its calls are made in a thread of its own: a driver may
// block for a moment, and a pool whose threads hang on a dead disk must not starve the device.
#pragma once

#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <memory>
#include <optional>

#include "config/local.h"
#include "os/blocking.h"
#include "os/watchdog.h"
#include "ports/watchdog.h"

namespace relevo::agent {

class HostWatchdog final : public ports::Watchdog {
public:
    explicit HostWatchdog(std::function<config::WatchdogConfig()> config);
    ~HostWatchdog() override;

    Task<Status> usable() override;
    Task<Result<Fed>> arm(Duration timeout, Instant not_after) override;
    Task<Result<Fed>> feed(Instant not_after) override;
    Task<Status> disarm() override;

private:
    // The configured one, unless another is armed.
    os::Watchdog& device(const config::WatchdogConfig& wanted);
    os::Blocking& thread();

    std::function<config::WatchdogConfig()> config_;
    config::WatchdogConfig used_;
    std::unique_ptr<os::Watchdog> device_;          // the thread's, while something runs there
    std::optional<boost::asio::thread_pool> pool_;  // made when first needed
    std::optional<os::Blocking> thread_;
    Duration timeout_{};
};

}  // namespace relevo::agent
