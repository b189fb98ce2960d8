// One TCP connection to a name server, for one question after the other. TCP also for what would
// fit a datagram: nothing is lost or forged on the way, and a server that is not there says so.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "net/task.h"

namespace relevo::dns {

struct Server {
    std::string host;
    std::uint16_t port = 53;
    bool operator==(const Server&) const = default;
};
std::string to_string(const Server& server);

class Link {
public:
    // unavailable: not reached within the deadline, which counts for all that follows too.
    static net::Task<Result<std::unique_ptr<Link>>> open(boost::asio::io_context& loop,
                                                         boost::asio::thread_pool& pool,
                                                         Server server, Duration deadline);
    virtual ~Link() = default;
    // unavailable: could not be sent. outcome_unknown: sent, and no answer came.
    virtual net::Task<Result<std::string>> ask(std::string message) = 0;
};

}  // namespace relevo::dns
