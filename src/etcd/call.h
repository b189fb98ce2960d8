// One call on one endpoint: an attempt. It is alive as long as gRPC works on it, whoever else lets
// go.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/async_unary_call.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "etcd/endpoint.h"
#include "etcd/wire.h"
#include "rpc.grpc.pb.h"

namespace relevo::etcd {

namespace pb = ::etcdserverpb;

class Call : public std::enable_shared_from_this<Call> {
public:
    struct Setup {
        std::shared_ptr<Wire> wire;
        std::shared_ptr<Endpoint> endpoint;
        Steady::time_point deadline;
        std::string token;  // empty: none
    };
    explicit Call(Setup setup);
    virtual ~Call();
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

    void cancel() { context_.TryCancel(); }
    bool finished() const { return finished_; }
    // Of a finished call.
    const grpc::Status& status() const { return status_; }
    virtual const pb::ResponseHeader& header() const = 0;
    Endpoint& endpoint() const { return *endpoint_; }
    const std::shared_ptr<Endpoint>& endpoint_ptr() const { return endpoint_; }
    Steady::time_point started() const { return started_; }

    std::function<void()> on_finish;  // on the io_context, at most once

protected:
    void finish();

    std::shared_ptr<Wire> wire_;
    std::shared_ptr<Endpoint> endpoint_;
    std::shared_ptr<Stubs> stubs_;  // the channel must outlive the call
    grpc::ClientContext context_;
    grpc::Status status_;

private:
    Steady::time_point started_ = Steady::now();
    bool finished_ = false;
};
using CallPtr = std::shared_ptr<Call>;

template <class Reply>
class Unary final : public Call {
public:
    using Call::Call;

    // prepare(stubs, context, queue) -> the prepared call
    template <class Prepare>
    void start(Prepare&& prepare) {
        reader_ = prepare(*stubs_, &context_, &wire_->queue());
        reader_->StartCall();
        reader_->Finish(&reply, &status_, wire_->tag([self = shared_from_this()](bool) {
            static_cast<Unary&>(*self).finish();
        }));
    }
    const pb::ResponseHeader& header() const override { return reply.header(); }

    Reply reply;

private:
    std::unique_ptr<grpc::ClientAsyncResponseReader<Reply>> reader_;
};

// LeaseKeepAlive is a stream; one request and its answer on a stream of their own make it a call.
class KeepAlive final : public Call {
public:
    using Call::Call;
    void start(std::int64_t lease);
    const pb::ResponseHeader& header() const override { return reply.header(); }

    pb::LeaseKeepAliveResponse reply;

private:
    void ended();

    pb::LeaseKeepAliveRequest request_;
    std::unique_ptr<
        grpc::ClientAsyncReaderWriter<pb::LeaseKeepAliveRequest, pb::LeaseKeepAliveResponse>>
        stream_;
    bool answered_ = false;
};

}  // namespace relevo::etcd
