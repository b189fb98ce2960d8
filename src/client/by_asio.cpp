#include "client/by_asio.h"

#include <fcntl.h>
#include <unistd.h>

namespace relevo::client {

using boost::system::error_code;

void ByAsio::Socket::forget() {
    error_code ignored;
    if (socket_.is_open()) socket_.close(ignored);
    watched_ = -1;
}

void ByAsio::Socket::close() {
    forget();
    alarm_.cancel();
    armed_ = Clock::time_point::max();
}

void ByAsio::Socket::interrupt() {
    late_ = true;
    error_code ignored;
    if (socket_.is_open()) socket_.cancel(ignored);
}

bool ByAsio::Socket::watch(int fd) {
    if (late_ || fd < 0) return false;
    if (watched_ == fd) return true;
    forget();
    const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) return false;
    error_code failed;
    socket_.assign(copy, failed);
    if (failed) {
        ::close(copy);
        return false;
    }
    watched_ = fd;
    return true;
}

// The alarm is left running from one statement to the next and looks at the time when it fires:
// setting and cancelling it for each would cost a tenth of a short statement. Its handlers may
// outlive the socket by a turn of the loop, hence the weak pointer.
void ByAsio::Socket::arm(Clock::time_point until) {
    until_ = until;
    late_ = false;
    if (armed_ <= until_) return;
    armed_ = until_;
    alarm_.expires_at(until_);
    alarm_.async_wait([weak = weak_from_this()](error_code error) {
        const auto self = weak.lock();
        if (error || !self) return;
        self->armed_ = Clock::time_point::max();
        if (self->until_ == Clock::time_point::max()) return;
        if (Clock::now() < self->until_) return self->arm(self->until_);
        self->interrupt();
    });
}

}  // namespace relevo::client
