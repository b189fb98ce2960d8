// Signals as callbacks on the loop.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>

namespace relevo::os {

// Calls back for each SIGHUP, SIGTERM, SIGINT until destroyed. SIGPIPE is ignored from then on.
class Signals {
public:
    Signals(boost::asio::io_context& loop, std::function<void(int)> on_signal);
    ~Signals();
    Signals(const Signals&) = delete;
    Signals& operator=(const Signals&) = delete;

private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace relevo::os
