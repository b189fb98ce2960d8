#include "faces.h"

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
#include <optional>
#include <thread>

namespace relevo::client::testing {

namespace asio = boost::asio;

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

// On the pool's thread: hands the function to the caller's thread and waits for it.
Task<Expected<void>> on_the_callers(asio::io_context& io, Mailbox& mailbox,
                                    const AnyPool::Body& body, Transaction& transaction) {
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

// The pool of coroutines on a thread of its own; each call goes there and back.
class OnAsio final : public AnyPool {
public:
    static Expected<std::unique_ptr<AnyPool>> make(Options options) {
        std::unique_ptr<OnAsio> made(new OnAsio);
        auto pool = Pool::make(made->io_.get_executor(), std::move(options));
        if (!pool) return std::unexpected(pool.error());
        made->pool_ = *std::move(pool);
        made->thread_ = std::thread([io = &made->io_] { io->run(); });
        return made;
    }
    ~OnAsio() override {
        if (!thread_.joinable()) return;
        asio::post(io_, [this] {
            pool_->close();
            work_.reset();
        });
        thread_.join();
    }
    Expected<Rows> execute(std::string sql, Parameters parameters, Call call) override {
        return asio::co_spawn(io_, pool_->execute(std::move(sql), std::move(parameters), call),
                              asio::use_future)
            .get();
    }
    Expected<Receipt> transaction(const Body& body, Call call) override {
        Mailbox mailbox;
        std::exception_ptr thrown;
        std::optional<Expected<Receipt>> result;
        const client::Body inner = [&](Transaction& transaction) {
            return on_the_callers(io_, mailbox, body, transaction);
        };
        asio::co_spawn(io_, pool_->transaction(inner, call),
                       [&](std::exception_ptr error, Expected<Receipt> receipt) {
                           thrown = error;
                           result = std::move(receipt);
                           mailbox.close();
                       });
        mailbox.serve();
        if (thrown) std::rethrow_exception(thrown);
        return *std::move(result);
    }
    void close() override {
        asio::post(io_, [this] { pool_->close(); });
    }
    Pool::Counts counts() override {
        std::promise<Pool::Counts> promise;
        asio::post(io_, [&] { promise.set_value(pool_->counts()); });
        return promise.get_future().get();
    }

private:
    OnAsio() = default;

    asio::io_context io_{1};
    asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
    std::shared_ptr<Pool> pool_;
    std::thread thread_;
};

class Blocking final : public AnyPool {
public:
    explicit Blocking(std::unique_ptr<BlockingPool> pool) : pool_(std::move(pool)) {}
    Expected<Rows> execute(std::string sql, Parameters parameters, Call call) override {
        return pool_->execute(std::move(sql), std::move(parameters), call);
    }
    Expected<Receipt> transaction(const Body& body, Call call) override {
        return pool_->transaction(body, call);
    }
    void close() override { pool_->close(); }
    Pool::Counts counts() override { return pool_->counts(); }

private:
    std::unique_ptr<BlockingPool> pool_;
};

}  // namespace

Expected<std::unique_ptr<AnyPool>> make_pool(Face face, Options options) {
    if (face == Face::coroutines) return OnAsio::make(std::move(options));
    auto pool = BlockingPool::make(std::move(options));
    if (!pool) return std::unexpected(pool.error());
    return std::make_unique<Blocking>(*std::move(pool));
}

}  // namespace relevo::client::testing
