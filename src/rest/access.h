// Who may change things over the API (contract 5.2): every PATCH, PUT, POST and DELETE passes here.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "net/message.h"
#include "ports/control.h"
#include "rest/options.h"
#include "rest/orders.h"

namespace relevo::rest {

class Access {
public:
    Access(boost::asio::io_context& loop, boost::asio::thread_pool& pool);
    ~Access();

    // Takes the options over; resolves the allowlist's host names. A name that cannot be resolved
    // is said in the log and allows nobody.
    Task<void> load(const RestOptions& options);

    // Nothing: the request may go on. The list made of the members applies when include_members is
    // set, and not to POST /failsafe: a member that the DCS no longer shows must still be heard.
    Task<std::optional<Refusal>> refuse(const net::Request& request, const ports::View& view,
                                        bool failsafe);

    // Whether credentials, certificates or a list guard the port at all: else refuse() lets
    // everybody in.
    bool guards() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace relevo::rest
