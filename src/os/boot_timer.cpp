#include "os/boot_timer.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cerrno>
#include <cstdint>
#include <ctime>
#include <utility>

#include "base/assert.h"

namespace relevo::os {

namespace asio = boost::asio;
using boost::system::error_code;

struct BootTimer::State : std::enable_shared_from_this<State> {
    asio::posix::stream_descriptor timer;
    std::function<void()> on_due;

    State(asio::io_context& loop, std::function<void()> due)
        : timer(loop, ::timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC)),
          on_due(std::move(due)) {}

    void listen() {
        timer.async_wait(
            asio::posix::descriptor_base::wait_read, [self = shared_from_this()](error_code error) {
                if (error) return;
                std::uint64_t times = 0;
                const auto got = ::read(self->timer.native_handle(), &times, sizeof times);
                // Nothing to read: it was set anew meanwhile.
                if (got == sizeof times && self->on_due) self->on_due();
                self->listen();
            });
    }

    void set(Duration since_boot) {
        const auto s = std::chrono::duration_cast<std::chrono::seconds>(since_boot);
        itimerspec when{};
        when.it_value.tv_sec = s.count();
        when.it_value.tv_nsec = (since_boot - s).count();
        RLV_ASSERT(::timerfd_settime(timer.native_handle(), TFD_TIMER_ABSTIME, &when, nullptr) ==
                   0);
    }
};

BootTimer::BootTimer(asio::io_context& loop, std::function<void()> on_due)
    : state_(std::make_shared<State>(loop, std::move(on_due))) {
    RLV_ASSERT(state_->timer.is_open());
    state_->listen();
}

BootTimer::~BootTimer() {
    state_->on_due = nullptr;
    error_code ignored;
    state_->timer.close(ignored);
}

void BootTimer::set(Instant when) {
    // All zero would be no alarm.
    state_->set(std::max<Duration>(when.time_since_epoch(), std::chrono::nanoseconds(1)));
}

void BootTimer::cancel() { state_->set({}); }

int BootTimer::descriptor() const { return state_->timer.native_handle(); }

}  // namespace relevo::os
