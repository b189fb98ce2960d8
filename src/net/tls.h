// TLS settings as files, and OpenSSL contexts made of them. Only net's .cpp files see Asio's SSL.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"

namespace boost::asio::ssl {
class context;
}

namespace relevo::net {

enum class VerifyClient { none, optional, required };

struct ServerTls {
    std::string certfile;  // empty: plain HTTP
    std::string keyfile;   // empty: the key stands in certfile
    std::string keyfile_password;
    std::string cafile;
    std::string ciphers;  // OpenSSL's list, for TLS 1.2
    VerifyClient verify_client = VerifyClient::none;
    bool operator==(const ServerTls&) const = default;
    bool on() const { return !certfile.empty(); }
};

struct ClientTls {
    std::string cafile;  // empty: the system's store
    std::string certfile, keyfile, keyfile_password;
    // Without a client certificate nothing is verified; with one the chain is, the host name is
    // not.
    bool insecure = false;
    bool operator==(const ClientTls&) const = default;
};

using TlsContext = std::shared_ptr<boost::asio::ssl::context>;

// Read the files: on a thread pool, where a loop is running. Errors name the file and what to do.
Result<TlsContext> make_server_context(const ServerTls& tls);
Result<TlsContext> make_client_context(const ClientTls& tls);

// Changes whenever the content of one of the files does (also when one appears or goes).
std::string fingerprint(const ServerTls& tls);

}  // namespace relevo::net
