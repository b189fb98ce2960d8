#include "relevo/blocking.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <condition_variable>
#include <deque>
#include <exception>
#include <future>
#include <mutex>
#include <thread>

namespace relevo::client {

namespace asio = boost::asio;

struct BlockingPool::Impl {
    asio::io_context io{1};
    asio::executor_work_guard<asio::io_context::executor_type> work{io.get_executor()};
    std::shared_ptr<Pool> pool;
    std::thread thread;

    Impl() = default;
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;
    ~Impl() {
        if (!thread.joinable()) return;
        asio::post(io, [this] {
            pool->close();
            work.reset();
        });
        thread.join();
    }
};

namespace {

// What the pool's thread wants done on the caller's.
class Mailbox {
public:
    void put(std::function<void()> job) {
        const std::lock_guard lock(mutex_);
        jobs_.push_back(std::move(job));
        bell_.notify_one();
    }
    void close() { put({}); }
    void serve() {  // until closed
        for (;;) {
            std::unique_lock lock(mutex_);
            bell_.wait(lock, [&] { return !jobs_.empty(); });
            const auto job = std::move(jobs_.front());
            jobs_.pop_front();
            lock.unlock();
            if (!job) return;
            job();
        }
    }

private:
    std::mutex mutex_;
    std::condition_variable bell_;
    std::deque<std::function<void()>> jobs_;
};

class Facade final : public BlockingTransaction {
public:
    Facade(asio::io_context& io, Transaction& inner) : io_(io), inner_(inner) {}
    Expected<Rows> execute(std::string sql, Parameters parameters) override {
        return asio::co_spawn(io_, inner_.execute(std::move(sql), std::move(parameters)),
                              asio::use_future)
            .get();
    }

private:
    asio::io_context& io_;
    Transaction& inner_;
};

using BlockingBody = std::function<Expected<void>(BlockingTransaction&)>;

// On the pool's thread: hands the function to the caller's thread and waits for it.
Task<Expected<void>> on_the_callers(asio::io_context& io, Mailbox& mailbox,
                                    const BlockingBody& body, Transaction& transaction) {
    asio::steady_timer done(io, asio::steady_timer::time_point::max());
    Expected<void> result;
    std::exception_ptr thrown;
    mailbox.put([&] {
        try {
            Facade facade(io, transaction);
            result = body(facade);
        } catch (...) {
            thrown = std::current_exception();
        }
        asio::post(io, [&done] { done.cancel(); });
    });
    boost::system::error_code rung;
    co_await done.async_wait(asio::redirect_error(asio::use_awaitable, rung));
    if (thrown) std::rethrow_exception(thrown);
    co_return result;
}

}  // namespace

Expected<std::unique_ptr<BlockingPool>> BlockingPool::make(Options options) {
    auto impl = std::make_unique<Impl>();
    auto pool = Pool::make(impl->io.get_executor(), std::move(options));
    if (!pool) return std::unexpected(pool.error());
    impl->pool = *std::move(pool);
    impl->thread = std::thread([io = &impl->io] { io->run(); });
    return std::unique_ptr<BlockingPool>(new BlockingPool(std::move(impl)));
}

BlockingPool::BlockingPool(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
BlockingPool::~BlockingPool() = default;

Expected<Rows> BlockingPool::execute(std::string sql, Parameters parameters, Call call) {
    return asio::co_spawn(impl_->io,
                          impl_->pool->execute(std::move(sql), std::move(parameters), call),
                          asio::use_future)
        .get();
}

Expected<Receipt> BlockingPool::transaction(const BlockingBody& body, Call call) {
    Mailbox mailbox;
    std::exception_ptr thrown;
    std::optional<Expected<Receipt>> result;
    const Body inner = [&](Transaction& transaction) {
        return on_the_callers(impl_->io, mailbox, body, transaction);
    };
    asio::co_spawn(impl_->io, impl_->pool->transaction(inner, call),
                   [&](std::exception_ptr error, Expected<Receipt> receipt) {
                       thrown = error;
                       result = std::move(receipt);
                       mailbox.close();
                   });
    mailbox.serve();
    if (thrown) std::rethrow_exception(thrown);
    return *std::move(result);
}

Pool::Counts BlockingPool::counts() {
    std::promise<Pool::Counts> promise;
    asio::post(impl_->io, [&] { promise.set_value(impl_->pool->counts()); });
    return promise.get_future().get();
}

}  // namespace relevo::client
