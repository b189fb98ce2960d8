// A name server in the agent, for sites without one that takes updates: it answers for two names
// from what the agent knows at that moment, and says SERVFAIL when the agent is in doubt, so that a
// member that is cut off never names a primary. Authoritative for its zone only; no recursion, no
// transfer. UDP and TCP on one address.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "dns/facts.h"
#include "dns/wire.h"
#include "net/task.h"

namespace relevo::dns {

struct ResponderOptions {
    std::string host;  // to listen on
    std::uint16_t port = 53;
    std::string zone;
    Names names;
};

// Pure: what is answered to a query, given what is known (nullopt: in doubt).
Answer answer_for(const Query& query, const std::string& zone, const Names& names,
                  const std::optional<Wanted>& known);
// The same on bytes; "": nothing is answered. The fuzz target.
std::string respond(std::string_view bytes, bool tcp, const std::string& zone, const Names& names,
                    const std::optional<Wanted>& known);

class Responder {
public:
    using Known = std::function<std::optional<Wanted>()>;  // asked for each query
    Responder(boost::asio::io_context& loop, ResponderOptions options, Known known);
    ~Responder();
    Responder(const Responder&) = delete;
    Responder& operator=(const Responder&) = delete;

    // invalid: the address is in use, or its port needs a right that is missing.
    Status start();
    std::uint16_t port() const;  // that was bound; for tests, which ask for port 0
    net::Task<void> stop();

private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace relevo::dns
