// The gateways that listen to this member (POST /gateway), and what they say of a hold that they
// were asked for. A gateway is there as long as its polls come.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <string>
#include <vector>

#include "cluster/stream.h"
#include "ports/clock.h"
#include "ports/task.h"

namespace relevo::agent {

class Poolers {
public:
    Poolers(boost::asio::io_context& io, ports::Clock& clock);

    void report(const cluster::GatewayReport& report);

    struct Outcome {
        std::string blocked_at;  // a gateway that could not; empty: none
        std::vector<cluster::Blocker> blockers;
        std::vector<std::string> silent;  // gateways that have not answered
    };
    // Waits until every gateway that is there has said what came of this hold, one of them that it
    // could not, or the time for transactions and a little more for the answer is over. At once
    // where no gateway is. One caller at a time.
    Task<Outcome> held(std::uint64_t hold, Duration drain);

private:
    struct Gateway {
        Instant seen;
        cluster::GatewayReport last;
    };
    Outcome outcome(std::uint64_t hold);

    ports::Clock& clock_;
    boost::asio::steady_timer answered_;
    std::map<std::string, Gateway> gateways_;
};

}  // namespace relevo::agent
