#include "etcd/etcd_dcs.h"

#include <random>
#include <utility>

#include "base/log.h"
#include "etcd/client.h"
#include "etcd/convert.h"
#include "etcd/watch.h"

namespace relevo::etcd {

namespace {

using Kind = Request::Kind;

cluster::LeaseId random_lease() {
    std::random_device device;
    std::uniform_int_distribution<cluster::LeaseId> any(1);
    return any(device);
}

template <class Reply>
const Reply& reply_of(const CallPtr& call) {
    return static_cast<const Unary<Reply>&>(*call).reply;
}

// prepare(stubs, context, queue, message)
template <class Reply, class Message, class Prepare>
std::function<CallPtr(Call::Setup)> unary(Message message, Prepare prepare) {
    return [message = std::move(message), prepare](Call::Setup setup) -> CallPtr {
        auto call = std::make_shared<Unary<Reply>>(std::move(setup));
        call->start([&](Stubs& stubs, grpc::ClientContext* context, grpc::CompletionQueue* queue) {
            return prepare(stubs, context, queue, message);
        });
        return call;
    };
}

class EtcdDcs final : public ports::Dcs {
public:
    EtcdDcs(std::shared_ptr<Client> client, std::string base)
        : client_(std::move(client)), base_(std::move(base)) {}
    ~EtcdDcs() override { client_->close(); }

    Task<Result<cluster::KeyTree>> read(Duration deadline) override;
    Task<Result<cluster::TxnResult>> commit(cluster::Txn txn, Duration deadline) override;
    Task<Result<ports::Lease>> keep_lease(std::chrono::seconds ttl, Duration deadline) override;
    Task<Status> revoke_lease(Duration deadline) override;
    void watch(ChangeHandler handler) override;
    Task<void> stop() override { return client_->stop(); }

private:
    // The TTL the server now gives the lease; 0: it does not know it.
    Task<Result<std::int64_t>> keep_alive(cluster::LeaseId lease, Duration deadline);
    Task<Result<ports::Lease>> grant(std::chrono::seconds ttl, Steady::time_point give_up);

    std::shared_ptr<Client> client_;
    std::string base_;
    cluster::LeaseId lease_ = 0;
    std::chrono::seconds lease_ttl_{};  // as asked for
};

Task<Result<cluster::KeyTree>> EtcdDcs::read(Duration deadline) {
    Request request{
        .what = "reading the keys in etcd",
        .kind = Kind::read,
        .start = unary<pb::RangeResponse>(
            to_range(base_), [](auto& stubs, auto* context, auto* queue, const auto& message) {
                return stubs.kv.PrepareAsyncRange(context, message, queue);
            })};
    const auto call = co_await client_->run(std::move(request), deadline);
    if (!call) co_return std::unexpected(call.error());
    co_return to_tree(reply_of<pb::RangeResponse>(*call), base_);
}

Task<Result<cluster::TxnResult>> EtcdDcs::commit(cluster::Txn txn, Duration deadline) {
    const auto lease = lease_;
    for (const auto& write : txn.writes)
        if (write.with_lease && lease == 0)
            co_return fail(ErrorCode::not_found,
                           "writing to etcd: there is no lease yet to write under");
    Request request{.what = "writing to etcd",
                    .kind = Kind::single_write,
                    .start = unary<pb::TxnResponse>(
                        to_txn(txn, base_, lease),
                        [](auto& stubs, auto* context, auto* queue, const auto& message) {
                            return stubs.kv.PrepareAsyncTxn(context, message, queue);
                        })};
    const auto call = co_await client_->run(std::move(request), deadline);
    if (!call) co_return std::unexpected(call.error());
    if (judge((*call)->status()) == Verdict::lease_missing) {
        if (lease_ == lease) lease_ = 0;
        co_return fail(ErrorCode::not_found,
                       "writing to etcd: it does not know our lease any more");
    }
    const auto& reply = reply_of<pb::TxnResponse>(*call);
    co_return cluster::TxnResult{.succeeded = reply.succeeded(),
                                 .revision = reply.header().revision()};
}

Task<Result<std::int64_t>> EtcdDcs::keep_alive(cluster::LeaseId lease, Duration deadline) {
    Request request{.what = "keeping the lease in etcd",
                    .kind = Kind::repeatable_write,
                    .start = [lease](Call::Setup setup) -> CallPtr {
                        auto call = std::make_shared<KeepAlive>(std::move(setup));
                        call->start(lease);
                        return call;
                    }};
    const auto call = co_await client_->run(std::move(request), deadline);
    if (!call) co_return std::unexpected(call.error());
    if (judge((*call)->status()) == Verdict::lease_missing) co_return 0;
    co_return static_cast<const KeepAlive&>(**call).reply.ttl();
}

Task<Result<ports::Lease>> EtcdDcs::keep_lease(std::chrono::seconds ttl, Duration deadline) {
    const auto give_up = Steady::now() + deadline;
    client_->set_lease_ttl(ttl);
    if (const auto lease = lease_; lease != 0 && lease_ttl_ == ttl) {
        const auto kept = co_await keep_alive(lease, deadline);
        if (!kept) co_return std::unexpected(kept.error());
        if (*kept > 0)
            co_return ports::Lease{.id = lease, .fresh = false, .ttl = std::chrono::seconds(*kept)};
        log::info("etcd does not know our lease any more: asking for a new one");
        if (lease_ == lease) lease_ = 0;
    }
    const auto granted = co_await grant(ttl, give_up);
    co_return granted;
}

// With an id of our own choice, so that asking a second endpoint does not make a second lease.
Task<Result<ports::Lease>> EtcdDcs::grant(std::chrono::seconds ttl, Steady::time_point give_up) {
    const auto id = random_lease();
    pb::LeaseGrantRequest message;
    message.set_id(id);
    message.set_ttl(ttl.count());
    Request request{.what = "getting a lease from etcd",
                    .kind = Kind::repeatable_write,
                    .start = unary<pb::LeaseGrantResponse>(
                        message, [](auto& stubs, auto* context, auto* queue, const auto& sent) {
                            return stubs.lease.PrepareAsyncLeaseGrant(context, sent, queue);
                        })};
    const auto call = co_await client_->run(std::move(request), give_up - Steady::now());
    if (!call) co_return std::unexpected(call.error());
    auto granted_s = reply_of<pb::LeaseGrantResponse>(*call).ttl();
    if (judge((*call)->status()) == Verdict::lease_exists) {
        // An earlier attempt of this very call was heard after all. Since then time has passed.
        const auto kept = co_await keep_alive(id, give_up - Steady::now());
        if (!kept) co_return std::unexpected(kept.error());
        granted_s = *kept;
    }
    if (granted_s <= 0)
        co_return fail(ErrorCode::unavailable, "getting a lease from etcd: it expired at once");
    lease_ = id;
    lease_ttl_ = ttl;
    co_return ports::Lease{.id = id, .fresh = true, .ttl = std::chrono::seconds(granted_s)};
}

Task<Status> EtcdDcs::revoke_lease(Duration deadline) {
    const auto lease = lease_;
    if (lease == 0) co_return Status{};
    pb::LeaseRevokeRequest message;
    message.set_id(lease);
    Request request{.what = "giving back the lease to etcd",
                    .kind = Kind::repeatable_write,
                    .start = unary<pb::LeaseRevokeResponse>(
                        message, [](auto& stubs, auto* context, auto* queue, const auto& sent) {
                            return stubs.lease.PrepareAsyncLeaseRevoke(context, sent, queue);
                        })};
    const auto call = co_await client_->run(std::move(request), deadline);
    if (!call) co_return std::unexpected(call.error());
    if (lease_ == lease) lease_ = 0;
    co_return Status{};
}

void EtcdDcs::watch(ChangeHandler handler) {
    const auto watcher = std::make_shared<Watcher>(client_, base_, std::move(handler));
    client_->on_stop = [weak = std::weak_ptr(watcher)] {
        if (const auto running = weak.lock()) running->wake();
    };
    client_->spawn(Watcher::run(watcher));
}

}  // namespace

Result<std::unique_ptr<ports::Dcs>> make_etcd_dcs(boost::asio::io_context& io, EtcdOptions options,
                                                  std::string base_path) {
    if (options.endpoints.empty() && options.srv_domain.empty())
        return fail(ErrorCode::invalid,
                    "etcd: no endpoints are given: set hosts, host, url, proxy or srv");
    RLV_TRY(auto credentials, read_credentials(options));
    auto client =
        std::make_shared<Client>(io, std::move(options), std::move(credentials), base_path);
    return std::make_unique<EtcdDcs>(std::move(client), std::move(base_path));
}

}  // namespace relevo::etcd
