// The REST API of a member: Patroni's endpoints (contract section 5) over net's server; what it
// shows and what may be ordered comes from ports::Control. On purpose different:
// docs/adr/0010-rest-deviations.md.
//
// Control, io_context and pool outlive it; stop() is awaited before it is destroyed.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cstdint>
#include <memory>

#include "base/result.h"
#include "ports/control.h"
#include "rest/options.h"

namespace relevo::rest {

class RestApi {
public:
    RestApi(boost::asio::io_context& loop, boost::asio::thread_pool& pool, ports::Control& control,
            RestOptions options);
    ~RestApi();
    RestApi(const RestApi&) = delete;
    RestApi& operator=(const RestApi&) = delete;

    Task<Status> start();
    // A reload: certificates are read again; the listener is replaced only when its address
    // differs. An error leaves everything as it was.
    Task<Status> apply(RestOptions options);
    // Running orders (a switchover that waits) are given two seconds, then their waits are
    // cancelled.
    Task<void> stop();

    std::uint16_t port() const;  // 0: not listening

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace relevo::rest
