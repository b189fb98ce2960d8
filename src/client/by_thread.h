// How a call waits, one of two (the other is by_asio.h): a wait blocks the thread that called, and
// its coroutines run to their end there (direct.h). Handing each statement to a thread of the
// pool's and its answer back costs two wakes of a thread, more than all the rest of librelevo.
//
// A session belongs to the call that has it; only interrupt() comes from other threads. What calls
// share is the pool's, under its mutex. Connections are made, and servers looked for, on a thread
// of the pool's own (Background) with the code of by_asio.h: that asks all hosts at once, and is
// too seldom for its cost to matter.
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "client/by_asio.h"
#include "client/direct.h"
#include "client/locks.h"
#include "relevo/types.h"

namespace relevo::client {

// One thread that runs what is written for Asio.
class Background {
public:
    Background() = default;
    ~Background() { stop(); }
    Background(const Background&) = delete;
    Background& operator=(const Background&) = delete;

    bool start();  // false: the system has no thread for it
    void stop();   // what still runs there is dropped
    boost::asio::any_io_executor executor() { return io_.get_executor(); }

private:
    boost::asio::io_context io_{1};
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
        io_.get_executor()};
    std::thread thread_;
};

struct ByThread {
    template <class T>
    using Task = Direct<T>;
    using Mutex = client::Mutex;
    class Transaction {
    public:
        virtual ~Transaction() = default;
        virtual Direct<Expected<Rows>> execute(std::string sql, Parameters parameters) = 0;
    };
    using Body = std::function<Direct<Expected<void>>(Transaction&)>;
    class Socket;
    class Waiter;

    boost::asio::any_io_executor executor;  // the Background's

    Ready<void> sleep_until(Clock::time_point until) const {
        std::this_thread::sleep_until(until);
        return {};
    }
    template <class T>
    Ready<T> elsewhere(boost::asio::awaitable<T> work) const {
        return {boost::asio::co_spawn(executor, std::move(work), boost::asio::use_future).get()};
    }
};

class ByThread::Socket {
public:
    explicit Socket(const ByThread&) {}
    ~Socket() { close(); }
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;

    // Of one exchange. False: it was interrupted, nothing is to be sent.
    bool begin(Clock::time_point until, Clock::time_point now) {
        until_ = until;
        now_ = now;
        return !interrupted_;
    }
    void end() {}
    // As ByAsio's.
    bool watch(int fd);
    Ready<bool> wait(Direction direction) { return {wait_for(direction)}; }
    static bool heard(bool came) { return came; }
    // From any thread. The connection is shut down, which is what wakes the one that waits: it is
    // of no use any more, also for what is asked later.
    void interrupt();
    void close();

private:
    bool wait_for(Direction direction);

    int fd_ = -1;  // libpq's
    // now_ is when the exchange began, so that its first wait need not ask again: a timeout that
    // is late by that much does no harm.
    Clock::time_point until_ = Clock::time_point::max(), now_{};
    std::atomic<bool> interrupted_ = false;
    Mutex mutex_;
    // A duplicate, so that interrupt() can't meet another file under a number that libpq closed.
    int copy_ RLV_GUARDED_BY(mutex_) = -1;
    bool copied_ = false;
};

class ByThread::Waiter {
public:
    explicit Waiter(const ByThread&) {}
    Ready<void> wait(Clock::time_point until) {
        std::unique_lock lock(mutex_);
        bell_.wait_until(lock, until, [&] { return woken_; });
        return {};
    }
    void wake() {
        const std::lock_guard lock(mutex_);
        woken_ = true;
        bell_.notify_one();
    }

private:
    std::mutex mutex_;
    std::condition_variable bell_;
    bool woken_ = false;
};

}  // namespace relevo::client
