// The agent's names in DNS, as the configuration wants them: updates, the built-in name server,
// both, or neither. What keeps one of them from working is an error in the log and nothing more: a
// name server's key or port must not keep an agent from running PostgreSQL.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <memory>
#include <optional>

#include "config/local.h"
#include "dns/publisher.h"
#include "dns/responder.h"
#include "ports/control.h"
#include "ports/task.h"

namespace relevo {

class NameService {
public:
    // The pool is joined before the loop goes.
    NameService(boost::asio::io_context& loop, boost::asio::thread_pool& pool,
                const ports::Control& control, config::DnsConfig config);
    void start();
    void changed();  // the view was replaced
    // A reload, the key file included. What is not usable is said, and what was there goes on.
    Task<void> apply(config::DnsConfig config);
    Task<void> stop();

private:
    Task<void> renew_publisher();
    Task<void> renew_responder(std::optional<config::Address> before);
    std::unique_ptr<dns::Responder> make_responder();

    boost::asio::io_context& loop_;
    boost::asio::thread_pool& pool_;
    const ports::Control& control_;
    config::DnsConfig config_;                 // as it is in force
    std::optional<config::DnsConfig> wanted_;  // by a reload, until it is
    bool applying_ = false;
    std::unique_ptr<dns::Publisher> publisher_;
    std::unique_ptr<dns::Responder> responder_;
};

}  // namespace relevo
