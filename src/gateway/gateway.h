// The shell around the router: follows the members' streams, carries out what the router wants with
// a pooler, and shows itself over HTTP. One io_context, one thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config/gateway.h"
#include "gateway/router.h"
#include "ports/clock.h"
#include "ports/pooler.h"

namespace relevo::gateway {

struct Parts {
    boost::asio::io_context& loop;
    boost::asio::thread_pool& pool;
    ports::Clock& clock;
    ports::Pooler& pooler;
    // Starts the pooler, or adopts one that runs; called before the first repoint, and again when
    // it failed.
    std::function<Task<Status>(ports::Routes)> start_pooler;
    std::function<bool()> pooler_runs;
    std::string version;
};

class Gateway {
public:
    Gateway(Parts parts, config::GatewayConfig config);
    ~Gateway();

    // Listens and begins to follow. An error: the address cannot be had.
    Task<Status> start();
    Task<void> stop();
    // A reload. An error leaves everything as it was.
    Task<Status> apply(config::GatewayConfig config);
    void pooler_started(const Status& outcome);
    std::uint16_t port() const;

private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace relevo::gateway
