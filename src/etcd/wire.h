// gRPC as the rest of this room sees it: operations that finish on the io_context's thread.
#pragma once

#include <grpcpp/completion_queue.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <thread>

#include "ports/task.h"

namespace relevo::etcd {

using Steady = std::chrono::steady_clock;

// Lets one coroutine wait for "something happened, or it is time". On the io_context's thread.
class Signal {
public:
    explicit Signal(boost::asio::io_context& io) : timer_(io) {}
    void set();
    // true: set meanwhile (and now unset). false: the time came, or the waiting coroutine was
    // cancelled.
    Task<bool> wait_until(Steady::time_point time);

private:
    boost::asio::steady_timer timer_;
    bool set_ = false;
};

// The completion queue and the one thread that waits on it. That thread only posts to the
// io_context, so that all our state belongs to one thread. Calls share it and may outlive close();
// after it they must not start operations.
class Wire {
public:
    explicit Wire(boost::asio::io_context& io);
    ~Wire();
    Wire(const Wire&) = delete;
    Wire& operator=(const Wire&) = delete;

    grpc::CompletionQueue& queue() { return queue_; }
    // What to give gRPC as a tag. `then` runs once on the io_context, or is dropped with it.
    void* tag(std::function<void(bool ok)> then);
    std::size_t pending() const { return pending_; }
    bool closed() const { return closed_; }
    // Every call must have been cancelled before: blocks until gRPC has given back all operations,
    // which takes microseconds then.
    void close();
    std::function<void()> on_idle;  // pending() has become 0

private:
    void loop();

    boost::asio::io_context& io_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
    grpc::CompletionQueue queue_;
    std::size_t pending_ = 0;
    bool closed_ = false;
    std::thread thread_;
};

}  // namespace relevo::etcd
