#include "etcd/memory_dcs.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <map>
#include <set>
#include <utility>

namespace relevo::etcd {

namespace asio = boost::asio;
using Steady = std::chrono::steady_clock;

MemoryServer::MemoryServer(Clock clock) : clock_(std::move(clock)) {
    if (!clock_)
        clock_ = [] {
            return Instant{std::chrono::duration_cast<Duration>(Steady::now().time_since_epoch())};
        };
    told_ = store_.revision();
}

void MemoryServer::settle() {
    store_.advance(now());
    if (store_.revision() == told_) return;
    told_ = store_.revision();
    const auto listeners = listeners_;
    for (const auto& [id, listener] : listeners)
        if (listeners_.contains(id)) listener();
}

int MemoryServer::listen(Listener listener) {
    listeners_[++last_id_] = std::move(listener);
    return last_id_;
}

void MemoryServer::leave(int id) { listeners_.erase(id); }

namespace {

// What outlives the adapter in handlers already posted.
struct Shared {
    explicit Shared(asio::io_context& context, std::shared_ptr<MemoryServer> at)
        : io(context), server(std::move(at)), expiry(context) {}

    asio::io_context& io;
    std::shared_ptr<MemoryServer> server;
    MemoryFaults faults;
    ports::Dcs::ChangeHandler handler;
    asio::steady_timer expiry;
    std::set<asio::steady_timer*> sleeping;
    cluster::Revision delivered = 0;
    bool stopped = false;
};
using SharedPtr = std::shared_ptr<Shared>;

bool cut_off(const Shared& shared) { return shared.faults.unreachable || shared.faults.frozen; }

void deliver(const SharedPtr& shared) {
    if (shared->stopped || cut_off(*shared) || !shared->handler) return;
    auto tree = std::make_shared<const cluster::KeyTree>(shared->server->store().tree());
    asio::post(shared->io, [shared, tree = std::move(tree)] {
        if (shared->stopped || !shared->handler || tree->revision <= shared->delivered) return;
        shared->delivered = tree->revision;
        shared->handler(tree);
    });
}

// The server has no thread of its own: whoever is connected sees to it that leases expire in time.
void wait_for_expiry(const SharedPtr& shared) {
    shared->expiry.cancel();
    const auto next = shared->server->store().next_expiry();
    if (!next || shared->stopped) return;
    shared->expiry.expires_after(std::max(*next - shared->server->now(), Duration{}));
    shared->expiry.async_wait([shared](const boost::system::error_code& error) {
        if (error || shared->stopped) return;
        shared->server->settle();
        wait_for_expiry(shared);
    });
}

class Adapter final : public MemoryDcs {
public:
    Adapter(asio::io_context& io, std::shared_ptr<MemoryServer> server)
        : shared_(std::make_shared<Shared>(io, std::move(server))) {}
    ~Adapter() override { leave(); }

    void set_faults(MemoryFaults faults) override;
    Task<Result<cluster::KeyTree>> read(Duration deadline) override;
    Task<Result<cluster::TxnResult>> commit(cluster::Txn txn, Duration deadline) override;
    Task<Result<ports::Lease>> keep_lease(std::chrono::seconds ttl, Duration deadline) override;
    Task<Status> revoke_lease(Duration deadline) override;
    void watch(ChangeHandler handler) override;
    Task<void> stop() override;

private:
    Task<Status> reach(Duration deadline);
    Status answer();
    void leave();

    SharedPtr shared_;
    cluster::LeaseId lease_ = 0;
    std::chrono::seconds lease_ttl_{};
    int listener_ = 0;
};

void Adapter::set_faults(MemoryFaults faults) {
    const bool was_cut = cut_off(*shared_);
    shared_->faults = faults;
    if (!was_cut && cut_off(*shared_) && shared_->handler)
        asio::post(shared_->io, [shared = shared_] {
            if (!shared->stopped)
                shared->handler(
                    fail(ErrorCode::unavailable, "watching: the store cannot be reached"));
        });
    if (was_cut && !cut_off(*shared_)) {
        shared_->delivered = 0;  // a broken watch resumes with a tree, changed or not
        deliver(shared_);
    }
}

Task<Status> Adapter::reach(Duration deadline) {
    const auto shared = shared_;
    if (shared->stopped)
        co_return fail(ErrorCode::cancelled, "the connection to the store is closed");
    if (shared->faults.unreachable)
        co_return fail(ErrorCode::unavailable, "the store cannot be reached");
    if (shared->faults.frozen) {
        asio::steady_timer timer(shared->io, deadline);
        shared->sleeping.insert(&timer);
        co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
        shared->sleeping.erase(&timer);
        if (shared->stopped)
            co_return fail(ErrorCode::cancelled, "the connection to the store is closed");
        co_return fail(ErrorCode::unavailable, "the store did not answer in time");
    }
    // Even the fastest store answers later, not within the call.
    co_await asio::post(shared->io, asio::use_awaitable);
    shared->server->settle();
    co_return Status{};
}

Status Adapter::answer() {
    shared_->server->settle();
    wait_for_expiry(shared_);
    if (std::exchange(shared_->faults.lose_next_answer, false))
        return fail(ErrorCode::outcome_unknown, "the answer of the store was lost");
    return {};
}

Task<Result<cluster::KeyTree>> Adapter::read(Duration deadline) {
    const auto reached = co_await reach(deadline);
    if (!reached) co_return std::unexpected(reached.error());
    co_return shared_->server->store().tree();
}

Task<Result<cluster::TxnResult>> Adapter::commit(cluster::Txn txn, Duration deadline) {
    for (const auto& write : txn.writes)
        if (write.with_lease && lease_ == 0)
            co_return fail(ErrorCode::not_found, "there is no lease yet to write under");
    const auto reached = co_await reach(deadline);
    if (!reached) co_return std::unexpected(reached.error());
    const auto result = shared_->server->store().commit(txn, lease_);
    if (!result) {
        if (result.error().code == ErrorCode::not_found) lease_ = 0;
        co_return std::unexpected(result.error());
    }
    const auto answered = answer();
    if (!answered) co_return std::unexpected(answered.error());
    co_return *result;
}

Task<Result<ports::Lease>> Adapter::keep_lease(std::chrono::seconds ttl, Duration deadline) {
    const auto reached = co_await reach(deadline);
    if (!reached) co_return std::unexpected(reached.error());
    auto& store = shared_->server->store();
    const auto now = shared_->server->now();
    const bool kept = lease_ != 0 && lease_ttl_ == ttl && store.keep_alive(lease_, now);
    if (!kept) {
        lease_ = store.grant(ttl, now);
        lease_ttl_ = ttl;
    }
    const auto answered = answer();
    if (!answered) co_return std::unexpected(answered.error());
    co_return ports::Lease{.id = lease_, .fresh = !kept, .ttl = ttl};
}

Task<Status> Adapter::revoke_lease(Duration deadline) {
    if (lease_ == 0) co_return Status{};
    const auto reached = co_await reach(deadline);
    if (!reached) co_return reached;
    shared_->server->store().revoke(std::exchange(lease_, 0));
    co_return answer();
}

void Adapter::watch(ChangeHandler handler) {
    shared_->handler = std::move(handler);
    shared_->delivered = 0;
    listener_ = shared_->server->listen([shared = shared_] {
        deliver(shared);
        wait_for_expiry(shared);
    });
    deliver(shared_);
    wait_for_expiry(shared_);
}

void Adapter::leave() {
    shared_->stopped = true;
    shared_->handler = nullptr;
    shared_->expiry.cancel();
    if (listener_ != 0) shared_->server->leave(std::exchange(listener_, 0));
    for (auto* timer : shared_->sleeping) timer->cancel();
}

Task<void> Adapter::stop() {
    leave();
    // What was asleep ends before we return.
    while (!shared_->sleeping.empty()) co_await asio::post(shared_->io, asio::use_awaitable);
}

}  // namespace

std::unique_ptr<MemoryDcs> make_memory_dcs(asio::io_context& io,
                                           std::shared_ptr<MemoryServer> server) {
    return std::make_unique<Adapter>(io, std::move(server));
}

}  // namespace relevo::etcd
