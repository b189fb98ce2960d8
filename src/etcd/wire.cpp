#include "etcd/wire.h"

#include <pthread.h>
#include <signal.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

namespace relevo::etcd {

namespace asio = boost::asio;

void Signal::set() {
    set_ = true;
    timer_.cancel();
}

Task<bool> Signal::wait_until(Steady::time_point time) {
    if (std::exchange(set_, false)) co_return true;
    timer_.expires_at(time);
    co_await timer_.async_wait(asio::as_tuple(asio::use_awaitable));
    co_return std::exchange(set_, false);
}

namespace {
struct Tag {
    std::function<void(bool)> then;
};
}  // namespace

Wire::Wire(asio::io_context& io) : io_(io) {
    // Signals belong to the main thread; gRPC's own threads inherit this mask too.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { loop(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Wire::~Wire() { close(); }

void* Wire::tag(std::function<void(bool ok)> then) {
    ++pending_;
    return new Tag{std::move(then)};
}

void Wire::close() {
    if (std::exchange(closed_, true)) return;
    *alive_ = false;
    queue_.Shutdown();
    thread_.join();
}

void Wire::loop() {
    pthread_setname_np(pthread_self(), "etcd");
    void* got = nullptr;
    bool ok = false;
    while (queue_.Next(&got, &ok)) {
        std::unique_ptr<Tag> tag(static_cast<Tag*>(got));
        asio::post(io_, [this, alive = alive_, tag = std::move(tag), ok] {
            // After close() `this` may be gone; what the tag holds is not.
            if (*alive) --pending_;
            tag->then(ok);
            if (*alive && pending_ == 0 && on_idle) on_idle();
        });
    }
}

}  // namespace relevo::etcd
