#include "relevo/blocking.h"

#include <future>

#include "client/by_thread.h"
#include "client/pool_core.h"

namespace relevo::client {

using Core = PoolCore<ByThread>;

struct BlockingPool::Impl {
    Background background;
    std::shared_ptr<Core> core;
    // Each call has a copy; the last one to go says so.
    std::shared_ptr<void> running;
    std::future<void> quiet;

    Impl() {
        auto last = std::make_shared<std::promise<void>>();
        quiet = last->get_future();
        running = std::shared_ptr<void>(nullptr, [last](void*) { last->set_value(); });
    }
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;
    ~Impl() {
        if (core) core->close();
        running.reset();
        quiet.wait();
        background.stop();
    }
};

namespace {

class Facade final : public BlockingTransaction {
public:
    explicit Facade(ByThread::Transaction& inner) : inner_(inner) {}
    Expected<Rows> execute(std::string sql, Parameters parameters) override {
        return inner_.execute(std::move(sql), std::move(parameters)).get();
    }

private:
    ByThread::Transaction& inner_;
};

}  // namespace

Expected<std::unique_ptr<BlockingPool>> BlockingPool::make(Options options) {
    auto checked = check(std::move(options));
    if (!checked) return std::unexpected(checked.error());
    auto impl = std::make_unique<Impl>();
    impl->core = std::make_shared<Core>(ByThread{impl->background.executor()}, *std::move(checked));
    if (!impl->background.start())
        return std::unexpected(
            Error{Kind::unavailable, "", "the system has no thread for the pool (ulimit -u)", 0});
    return std::unique_ptr<BlockingPool>(new BlockingPool(std::move(impl)));
}

BlockingPool::BlockingPool(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
BlockingPool::~BlockingPool() = default;

void BlockingPool::close() { impl_->core->close(); }

Expected<Rows> BlockingPool::execute(std::string sql, Parameters parameters, Call call) {
    const auto running = impl_->running;
    return impl_->core->execute(std::move(sql), std::move(parameters), call).get();
}

Expected<Receipt> BlockingPool::transaction(
    const std::function<Expected<void>(BlockingTransaction&)>& body, Call call) {
    const auto running = impl_->running;
    // It is run to its end before this call goes on.
    // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines)
    const Core::Body inner = [&](ByThread::Transaction& transaction) -> Direct<Expected<void>> {
        Facade facade(transaction);
        co_return body(facade);
    };
    return impl_->core->transaction(inner, call).get();
}

Pool::Counts BlockingPool::counts() const { return impl_->core->counts(); }

std::string BlockingPool::rest_problem() const { return impl_->core->rest_problem(); }

}  // namespace relevo::client
