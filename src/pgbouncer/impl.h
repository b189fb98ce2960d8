// The inside of PgBouncer (pgbouncer.h): its processes, and what is said to each. Of this room
// alone.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "os/process.h"
#include "os/turn.h"
#include "pgbouncer/console.h"
#include "pgbouncer/pgbouncer.h"
#include "pgbouncer/version.h"

namespace relevo::pgbouncer {

// PgBouncer answers from memory within a millisecond; one that is stopped or swapped out does not.
constexpr Duration answers_within = std::chrono::milliseconds(1000);

struct PgBouncer::Impl : std::enable_shared_from_this<PgBouncer::Impl> {
    struct Process {
        int number = 0;
        std::string directory;
        std::unique_ptr<Console> console;
        // By database, of its own since a PAUSE may wait. Open before it is needed: between a
        // primary's end and the PAUSE every client that comes back is turned away.
        std::map<std::string, std::unique_ptr<Console>> pausing;
        std::unique_ptr<os::PidWatch> watch;
        Version version;         // of the one that runs, or else of the one that would be started
        std::string complained;  // why it does not come up
        std::string generation;  // of the file as it was written last
        bool settled = false;    // it came up
        bool coming_up = false;  // whoever waits for that sees its end by himself
        std::string ini() const { return directory + "/pgbouncer.ini"; }
        std::string log() const { return directory + "/pgbouncer.log"; }
    };

    Impl(boost::asio::io_context& loop_, os::Blocking pool_, Options options_,
         std::function<void(const Status&)> on_start_)
        : loop(loop_),
          pool(pool_),
          options(std::move(options_)),
          on_start(std::move(on_start_)),
          again(loop_) {}

    boost::asio::io_context& loop;
    os::Blocking pool;
    Options options;
    UserIni user;
    ports::Routes routes;
    std::function<void(const Status&)> on_start;
    std::vector<std::unique_ptr<Process>> processes;
    boost::asio::steady_timer again;
    os::Turn repointing;  // a file that another one writes is not the one that is read
    std::function<Result<int>(const std::vector<TcpPair>&)> end_connections = destroy;
    bool stopping = false;
    std::vector<std::string> told;  // overrides that were logged

    // processes.cpp: from nothing to a process that answers, and again when it ends.
    bool is_ours() const { return options.unit.empty(); }  // to start and to end
    std::string directory_of(int number) const;
    std::string unit_of(const Process& process) const;
    IniPlan plan(const Process& process) const;
    Task<Status> read_user();
    Task<Status> write(Process& process);
    Task<Status> come_up(Process& process);
    Task<bool> adopt(Process& process);
    Task<Status> find(Process& process);
    Task<Status> identify(Process& process);
    std::unexpected<Error> not_up(const Process& process, const Error& error,
                                  const std::string& log) const;
    Task<Version> program_version();
    Task<Status> wait_for_console(Process& process);
    void settle(Process& process);
    void watch(Process& process, os::PidHandle handle);
    Task<void> start_again(Process& process);

    // pgbouncer.cpp: what is said to one that answers.
    Task<Status> reload(Process& process);
    Task<Result<Table>> servers(Process& process);
    Task<void> pause(Process& process, std::string database, Duration drain,
                     Result<std::vector<cluster::Blocker>>& out);
    Task<void> resume(Process& process, std::string database, Status& out);
    void open_for_pause(Process& process, const std::string& database);
    Task<Result<int>> kill_clients_of(Process& process, ports::Endpoint server);
    Task<Status> count(Process& process, ports::PoolerStats& out,
                       std::map<std::string, ports::PoolerStats::Database>& by_name);
    std::vector<std::string> databases(ports::Route route) const;
};

}  // namespace relevo::pgbouncer
