// Where the servers are: the connection string's hosts, and their addresses of the moment. Names
// are looked up each time, so one that follows the primary in DNS is followed. On Asio, also for
// a pool of threads (by_thread.h).
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <string>
#include <vector>

#include "client/session.h"

namespace relevo::client {

struct Conninfo {
    Keywords keywords;            // all but hosts, with our defaults for keepalives
    std::vector<Endpoint> hosts;  // address "": to be looked up, unless the host is a directory
};

// invalid: libpq can't read it, or it names no host.
Expected<Conninfo> parse_conninfo(const std::string& text);

// Every address of every host, in the order given; hosts whose name is not found by then are left
// out. A lookup that hangs ends by itself later.
Task<std::vector<Endpoint>> look_up(boost::asio::any_io_executor executor,
                                    std::vector<Endpoint> hosts, Clock::time_point until);

// All of them at once, each with the time it has; the first that `wanted` accepts is returned, the
// others are closed. Otherwise what the last of them said.
struct Search {
    std::unique_ptr<Session<ByAsio>> session;
    Endpoint endpoint;
    bool hopeless = false;  // all refused us for a reason that waiting does not mend
    Seen seen;
    std::string message;
};
using Wanted = bool (*)(const SessionFacts& session, std::uint32_t timeline_at_least);
Task<Search> search(boost::asio::any_io_executor executor, Keywords keywords,
                    std::vector<Endpoint> endpoints, Wanted wanted, std::uint32_t timeline_at_least,
                    Clock::time_point until);

}  // namespace relevo::client
