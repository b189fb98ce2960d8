// An HTTP/1.1 client: one connection a request unless it asks to be kept, and one deadline over
// name lookup, connect, TLS and answer together. Redirects are not followed. Never throws.
//
// Everything runs on the io_context's one thread; the pool is joined before the io_context goes.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "net/message.h"
#include "net/task.h"
#include "net/tls.h"

namespace relevo::net {

struct Credentials {
    std::string username, password;
    bool operator==(const Credentials&) const = default;
};

// The value of an Authorization header: "Basic dXNlcjpwYXNz".
std::string basic_authorization(const Credentials& credentials);

struct ClientOptions {
    ClientTls tls;
    std::optional<Credentials> credentials;  // sent with every request
    std::string user_agent = "relevo";
    std::size_t body_bytes_max = 16 * 1024 * 1024;
};

struct ClientRequest {
    std::string method = "GET";
    std::string url;  // http://host:port/path?query or https://
    Headers headers;
    std::optional<std::string>
        body;  // set: sent with its Content-Length, JSON unless headers say else
    // Over a connection that an earlier such request left open, when there is one that the server
    // has not closed since; one that is just being closed is an error like any other. For what is
    // asked again and again.
    bool keep = false;
};

struct ClientResponse {
    int status = 0;
    Headers headers;
    std::string body;
};

class HttpClient {
public:
    HttpClient(boost::asio::io_context& loop, boost::asio::thread_pool& pool,
               ClientOptions options);
    ~HttpClient();
    HttpClient(const HttpClient&) = delete;
    HttpClient& operator=(const HttpClient&) = delete;

    // Any HTTP status is an answer. Errors: invalid (URL, TLS files), unavailable (no answer, and
    // the request was surely not taken), outcome_unknown (it was sent, then no answer came: a GET
    // may simply be repeated), cancelled.
    Task<Result<ClientResponse>> request(ClientRequest request, Duration deadline);

    // For requests that begin after it. TLS files are read at the next https request.
    void set_options(ClientOptions options);

private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

// The same for a program without a loop (relevoctl). A name lookup that hangs is waited for.
Result<ClientResponse> request_blocking(const ClientOptions& options, ClientRequest request,
                                        Duration deadline);

}  // namespace relevo::net
