#include "os/watch.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <cstring>
#include <set>
#include <string>
#include <utility>

namespace relevo::os {

namespace asio = boost::asio;
using boost::system::error_code;

struct FileWatch::State : std::enable_shared_from_this<State> {
    asio::posix::stream_descriptor events;
    asio::steady_timer alarm;  // the waiting coroutine's; cancelled on a change
    std::set<std::string> touched;
    bool interrupted = false;
    alignas(inotify_event) std::array<char, 4096> buffer{};

    explicit State(const asio::any_io_executor& loop) : events(loop), alarm(loop) {}

    void listen() {
        events.async_read_some(asio::buffer(buffer),
                               [self = shared_from_this()](error_code error, std::size_t size) {
                                   if (error) return;
                                   self->take(size);
                                   self->listen();
                               });
    }

    void take(std::size_t size) {
        for (std::size_t at = 0; at + sizeof(inotify_event) <= size;) {
            inotify_event event{};
            std::memcpy(&event, buffer.data() + at, sizeof event);
            // Padded with zero bytes to its length.
            if (event.len > 0) touched.emplace(buffer.data() + at + sizeof event);
            at += sizeof event + event.len;
        }
        alarm.cancel();
    }
};

namespace {
struct Inotify {
    int fd = -1;
    explicit Inotify(const std::string& directory) : fd(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
        const auto mask = IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_DELETE;
        if (fd >= 0 && ::inotify_add_watch(fd, directory.c_str(), mask) < 0)
            ::close(std::exchange(fd, -1));
    }
    ~Inotify() {
        if (fd >= 0) ::close(fd);
    }
    Inotify(const Inotify&) = delete;
    Inotify& operator=(const Inotify&) = delete;
};
}  // namespace

Task<std::unique_ptr<FileWatch>> FileWatch::open(Blocking& pool, std::string directory) {
    const auto executor = co_await asio::this_coro::executor;
    auto state = std::make_shared<State>(executor);
    auto made = co_await pool.run_within(std::chrono::milliseconds(500), [directory] {
        return std::make_unique<Inotify>(directory);
    });
    if (made && (*made)->fd >= 0) {
        state->events.assign(std::exchange((*made)->fd, -1));
        state->listen();
    }
    co_return std::unique_ptr<FileWatch>(new FileWatch(std::move(state)));
}

FileWatch::~FileWatch() {
    error_code ignored;
    state_->events.close(ignored);
    interrupt();
}

void FileWatch::interrupt() {
    state_->interrupted = true;
    state_->alarm.cancel();
}

bool FileWatch::works() const { return state_->events.is_open(); }

Task<bool> FileWatch::changed(std::string name, Duration patience) {
    const auto state = state_;
    const auto until = std::chrono::steady_clock::now() + patience;
    for (;;) {
        if (state->touched.erase(name) > 0) co_return true;
        if (std::exchange(state->interrupted, false)) co_return false;
        if (std::chrono::steady_clock::now() >= until) co_return false;
        state->alarm.expires_at(until);
        error_code ignored;
        co_await state->alarm.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    }
}

namespace {
// The descriptor is a duplicate: libpq may close or replace its own at any time, and the reactor
// must be told before that happens. release() takes it out of epoll, which a mere close of a
// duplicate does not.
struct FdWait {
    asio::posix::stream_descriptor descriptor;
    asio::steady_timer alarm;
    bool late = false;
    FdWait(const asio::any_io_executor& executor, int fd)
        : descriptor(executor, fd), alarm(executor) {}
    ~FdWait() { ::close(descriptor.release()); }
    FdWait(const FdWait&) = delete;
    FdWait& operator=(const FdWait&) = delete;
};
}  // namespace

Task<bool> wait_fd(int fd, Direction direction, Duration patience) {
    const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) co_return false;
    const auto executor = co_await asio::this_coro::executor;
    auto wait = std::make_shared<FdWait>(executor, copy);
    wait->alarm.expires_after(
        std::chrono::duration_cast<std::chrono::steady_clock::duration>(patience));
    wait->alarm.async_wait([wait](error_code error) {
        if (error) return;
        wait->late = true;
        error_code ignored;
        wait->descriptor.cancel(ignored);
    });
    const auto type = direction == Direction::read ? asio::posix::descriptor_base::wait_read
                                                   : asio::posix::descriptor_base::wait_write;
    error_code error;
    co_await wait->descriptor.async_wait(type, asio::redirect_error(asio::use_awaitable, error));
    wait->alarm.cancel();
    // A hang-up or an error of the socket also counts as ready: the caller's read will tell.
    co_return !wait->late && error != asio::error::operation_aborted;
}

}  // namespace relevo::os
