#include "client/by_thread.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <system_error>

namespace relevo::client {

bool Background::start() {
    try {
        thread_ = std::thread([this] { io_.run(); });
        return true;
    } catch (const std::system_error&) {
        return false;
    }
}

void Background::stop() {
    io_.stop();
    if (thread_.joinable()) thread_.join();
}

void ByThread::Socket::interrupt() {
    const Guard lock(mutex_);
    interrupted_ = true;
    if (copy_ >= 0) ::shutdown(copy_, SHUT_RDWR);
}

void ByThread::Socket::close() {
    const Guard lock(mutex_);
    if (copy_ >= 0) ::close(copy_);
    copy_ = -1;
}

bool ByThread::Socket::watch(int fd) {
    fd_ = fd;
    if (fd < 0) return false;
    if (!copied_) {
        const Guard lock(mutex_);
        copy_ = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
        copied_ = true;  // where it could not be, interrupt() is heard at the next wait only
    }
    return true;
}

bool ByThread::Socket::wait_for(Direction direction) {
    pollfd polled{fd_, static_cast<short>(direction == Direction::read ? POLLIN : POLLOUT), 0};
    for (;; now_ = Clock::now()) {
        if (interrupted_) return false;
        int timeout_ms = -1;
        if (until_ != Clock::time_point::max()) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(until_ - now_);
            if (left.count() <= 0) return false;
            timeout_ms = static_cast<int>(std::min<std::chrono::milliseconds::rep>(
                left.count(), std::numeric_limits<int>::max()));
        }
        const int came = ::poll(&polled, 1, timeout_ms);
        if (came > 0) return !interrupted_;
        if (came < 0 && errno != EINTR) return false;
    }
}

}  // namespace relevo::client
