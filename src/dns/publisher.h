// Keeps the names at the name servers right while this member leads: at once when it begins to
// serve, again every 10 s (somebody may have edited the zone, a server may have come back), and for
// each server by itself. What goes wrong is an error in the log, once and then each minute, and
// never keeps PostgreSQL from anything.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <memory>
#include <vector>

#include "dns/facts.h"
#include "dns/key.h"
#include "dns/link.h"
#include "net/task.h"
#include "ports/control.h"

namespace relevo::dns {

struct PublisherOptions {
    Names names;
    std::string zone;
    std::vector<Server> servers;
    Key key;
};

class Publisher {
public:
    // The pool is joined before the loop goes.
    Publisher(boost::asio::io_context& loop, boost::asio::thread_pool& pool,
              const ports::Control& control, PublisherOptions options);
    ~Publisher();
    Publisher(const Publisher&) = delete;
    Publisher& operator=(const Publisher&) = delete;

    void start();
    void changed();  // the view was replaced; cheap
    net::Task<void> stop();

private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace relevo::dns
