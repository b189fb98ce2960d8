// An HTTP/1.0 and 1.1 server, plain or TLS, for one io_context: health checks first. A connection
// costs one coroutine; limits and deadlines on everything a stranger can send.
//
// Ownership: the server must outlive its connections: await stop() before destroying it. Everything
// runs on the io_context's one thread; files are read on the pool. The pool is joined before the
// io_context goes.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "net/message.h"
#include "net/task.h"
#include "net/tls.h"

namespace relevo::net {

struct ServerOptions {
    std::string
        listen;  // "host:port"; host '' or '*': all addresses, dual stack; port 0: any free one
    int backlog = 128;
    ServerTls tls;
    std::size_t header_bytes_max = 16 * 1024;
    std::size_t body_bytes_max = 1024 * 1024;
    std::size_t connections_max = 512;  // above it the longest silent connection makes room
    std::chrono::milliseconds read_timeout{10'000};   // a whole request must arrive within it
    std::chrono::milliseconds idle_timeout{10'000};   // a kept-alive connection without a request
    std::chrono::milliseconds write_timeout{10'000};  // an answer must be taken within it
    std::chrono::milliseconds tls_check_interval{30'000};  // for changed certificate files
    bool operator==(const ServerOptions&) const = default;
};

// Answers one request. Has no deadline from the server; runs beside the other connections'
// handlers.
using Handler = std::function<Task<Response>(Request)>;
// The page for a request that could not be read (400, 413, 431): given the status and the reason.
using ErrorPage = std::function<Response(int status, const std::string& reason)>;

class HttpServer {
public:
    HttpServer(boost::asio::io_context& loop, boost::asio::thread_pool& pool, Handler handler,
               ErrorPage error_page = {});
    ~HttpServer();
    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;

    // Starts listening, or changes over: certificates are read anew, the listener is replaced only
    // when `listen` differs, connections that live go on as they began. An error leaves everything
    // as it was. One call at a time.
    Task<Status> apply(ServerOptions options);

    // Closes the listener and silent connections, lets handlers finish for `grace`, then cancels
    // what they wait for, and returns when the last one has ended.
    Task<void> stop(std::chrono::milliseconds grace = std::chrono::milliseconds{2'000});

    std::uint16_t port() const;  // 0: not listening
    std::size_t connections() const;

private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace relevo::net
