// The agent's names in DNS, as the configuration wants them: updates, the built-in name server,
// both, or neither. What keeps one of them from working is an error in the log and nothing more: a
// name server's key or port must not keep an agent from running PostgreSQL.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <memory>

#include "config/local.h"
#include "dns/publisher.h"
#include "dns/responder.h"
#include "ports/control.h"
#include "ports/task.h"

namespace relevo {

class NameService {
public:
    NameService(boost::asio::io_context& loop, boost::asio::thread_pool& pool,
                const ports::Control& control, const config::DnsConfig& config);
    void start();
    void changed();  // the view was replaced
    Task<void> stop();

private:
    std::unique_ptr<dns::Publisher> publisher_;
    std::unique_ptr<dns::Responder> responder_;
};

}  // namespace relevo
