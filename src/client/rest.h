// Asks the members' REST API who is in the cluster: all of them at once, and the first one that
// names a leader is believed. Plain HTTP/1.1 or TLS; nothing is sent but the question, redirects
// are not followed. Never throws. On Asio, also for a pool of threads (by_thread.h).
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "client/by_asio.h"
#include "client/members.h"
#include "relevo/types.h"

namespace boost::asio::ssl {
class context;
}

namespace relevo::client {

struct RestUrl {
    bool tls = false;
    std::string host;  // a name or an address, without brackets
    std::string port;
    std::string text() const;  // "https://[::1]:8008"
};

// http:// or https://, a host, perhaps a port (8008) and a slash; nullopt: anything else.
std::optional<RestUrl> parse_rest_url(const std::string& text);

// How the members are asked; made once from the options, whose mistakes it names (invalid).
struct RestWay {
    std::vector<RestUrl> urls;  // none: nobody is asked
    std::string ca_file, cert_file, key_file;
};
Expected<RestWay> check_rest(const Rest& rest);

// null where no URL needs it. The files are small and read anew each time, since certificates are
// renewed while a pool lives.
using RestTls = std::shared_ptr<boost::asio::ssl::context>;
std::expected<RestTls, std::string> read_tls(const RestWay& way);

struct Asked {
    std::optional<Members> members;  // nullopt: no answer that could be used
    std::string problem;             // what the last that could not be used was wrong about
};
// Ends by then, whatever a name server or a member does.
Task<Asked> ask_members(boost::asio::any_io_executor executor, RestWay way,
                        Clock::time_point until);

}  // namespace relevo::client
