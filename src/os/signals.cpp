#include "os/signals.h"

#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <utility>

namespace relevo::os {

struct Signals::State : std::enable_shared_from_this<State> {
    boost::asio::signal_set set;
    std::function<void(int)> handler;

    State(boost::asio::io_context& loop, std::function<void(int)> on_signal)
        : set(loop, SIGHUP, SIGTERM, SIGINT), handler(std::move(on_signal)) {}

    void wait() {
        set.async_wait([self = shared_from_this()](const auto& error, int number) {
            if (error || !self->handler) return;
            // Listening again first: the handler may destroy us.
            self->wait();
            const auto handler = self->handler;
            handler(number);
        });
    }
};

Signals::Signals(boost::asio::io_context& loop, std::function<void(int)> on_signal)
    : state_(std::make_shared<State>(loop, std::move(on_signal))) {
    ::signal(SIGPIPE, SIG_IGN);
    state_->wait();
}

Signals::~Signals() {
    state_->handler = nullptr;
    boost::system::error_code ignored;
    state_->set.cancel(ignored);
}

}  // namespace relevo::os
