// The real PgBouncer as a Pooler: configuration written, processes started, watched and started
// again, told over their consoles. The processes outlive us: whoever comes next adopts them with
// their clients. Or systemd runs them: then they are found by their sockets, and never started or
// ended here.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "os/blocking.h"
#include "pgbouncer/ini.h"
#include "pgbouncer/sockets.h"
#include "ports/pooler.h"

namespace relevo::pgbouncer {

struct Options {
    std::string program = "pgbouncer";  // a path, or looked for in PATH
    // Systemd's that runs it, "name" or "name@" (the process's number goes behind the @); empty: we
    // do. For what an operator is told: systemd itself is not asked.
    std::string unit;
    std::string directory;  // ours alone: a subdirectory for each process
    std::string listen_host;
    int listen_port = 6432;
    int processes = 1;     // more than one share the port (so_reuseport), each with its own pools
    std::string user_ini;  // the user's own file; empty: none
    Settings settings;
    std::vector<std::string> keep_own;
    std::vector<Database> databases;
    bool operator==(const Options&) const = default;
};

class PgBouncer final : public ports::Pooler {
public:
    // on_start: a process came up again after its end, or did not (with why): it knows nothing of
    // a hold that was before. Construct, then start().
    PgBouncer(boost::asio::io_context& loop, os::Blocking pool, Options options,
              std::function<void(const Status&)> on_start);
    ~PgBouncer() override;

    // Checks the user's file and what would be rendered; what of the user's is not taken is logged.
    Task<Status> check();
    // Adopts the processes that run in the directory; starts those that do not, leading to these
    // routes. An error says why one did not come up, in its own words, or what to type where
    // systemd shall start it.
    Task<Status> start(ports::Routes routes);
    // Settings that a running PgBouncer takes are in force after it; `listen` and `processes` need
    // a restart of PgBouncer.
    Task<Status> apply(Options options);
    // Lets go, or ends the processes with their clients (those that are ours).
    Task<void> stop(bool end_processes);
    bool running() const;
    // For tests, instead of the kernel (sockets.h).
    void end_connections_by(std::function<Result<int>(const std::vector<TcpPair>&)> end);

    Task<Result<std::vector<cluster::Blocker>>> hold(ports::Route route, Duration drain) override;
    Task<Status> repoint(ports::Routes routes) override;
    Task<Status> release(ports::Route route) override;
    Task<Result<int>> drop(ports::Endpoint server) override;
    Task<Result<ports::PoolerStats>> stats() override;

private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace relevo::pgbouncer
