#include "etcd/call.h"

namespace relevo::etcd {

Call::Call(Setup setup)
    : wire_(std::move(setup.wire)),
      endpoint_(std::move(setup.endpoint)),
      stubs_(endpoint_->stubs()) {
    const auto left = setup.deadline - Steady::now();
    context_.set_deadline(std::chrono::system_clock::now() +
                          std::chrono::duration_cast<std::chrono::system_clock::duration>(left));
    if (!setup.token.empty()) context_.AddMetadata("token", setup.token);
    endpoint_->calls.insert(this);
}

Call::~Call() { endpoint_->calls.erase(this); }

void Call::finish() {
    finished_ = true;
    endpoint_->calls.erase(this);
    if (const auto then = std::exchange(on_finish, nullptr)) then();
}

void KeepAlive::start(std::int64_t lease) {
    request_.set_id(lease);
    stream_ = stubs_->lease.PrepareAsyncLeaseKeepAlive(&context_, &wire_->queue());
    const auto self = std::static_pointer_cast<KeepAlive>(shared_from_this());
    stream_->StartCall(wire_->tag([self](bool started) {
        if (self->wire_->closed()) return;
        if (!started) return self->ended();
        // The end of our side is sent with the request: the server answers it and ends the stream.
        self->stream_->WriteLast(
            self->request_, grpc::WriteOptions(), self->wire_->tag([self](bool) {
                if (self->wire_->closed()) return;
                self->stream_->Read(&self->reply, self->wire_->tag([self](bool answered) {
                    self->answered_ = answered;
                    if (!self->wire_->closed()) self->ended();
                }));
            }));
    }));
}

void KeepAlive::ended() {
    const auto self = std::static_pointer_cast<KeepAlive>(shared_from_this());
    stream_->Finish(&status_, wire_->tag([self](bool) {
        if (self->status_.ok() && !self->answered_)
            self->status_ =
                grpc::Status(grpc::StatusCode::UNAVAILABLE, "the stream ended without an answer");
        // How the stream ended after its answer does not matter.
        if (self->answered_) self->status_ = grpc::Status::OK;
        self->finish();
    }));
}

}  // namespace relevo::etcd
