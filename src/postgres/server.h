// The server as something that is started, stopped, killed and promoted: processes, signals and the
// two connections to it. What stands in its files is the adapter's business (postgres_adapter.cpp).
//
// One thread. start, stop, promote and recover: one at a time, which the adapter sees to; kill() at
// any time.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "os/process.h"
#include "os/turn.h"
#include "os/watch.h"
#include "ports/postgres.h"
#include "postgres/observer.h"

namespace relevo::postgres {

class Server {
public:
    using Config = Observer::Config;
    Server(boost::asio::io_context& loop, os::Blocking& pool, Config config);
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    Task<Observer::Seen> observe(cluster::Look look);
    void set_making_cluster(bool making) { observer_.set_making_cluster(making); }
    void on_exit(std::function<void(ports::ExitInfo)> handler) {
        exit_handler_ = std::move(handler);
    }

    // Whether a postmaster that we watch lives.
    bool alive() const;
    // Looks for one on the disk when we know of none, and watches it. Whether there is one.
    Task<bool> find();

    // arguments: after the program's name. Ok, outcome_unknown and failed as
    // ports::Postgres::start.
    Task<Status> start(std::vector<std::string> arguments, Duration timeout);
    Task<Status> stop(ports::StopPlan plan);
    Task<Status> kill();
    Task<Status> promote(Duration timeout);
    Task<Status> checkpoint(Duration patience);
    // `postgres --single`: replays the WAL after a crash and stops cleanly. Nothing runs.
    Task<Status> single_user();
    // Before the data directory is worked on: backends that outlived their postmaster are killed.
    // unavailable: one does not end, since it waits for its disk.
    Task<Status> end_leftovers();
    // SIGHUP to the postmaster: also reaches one that takes no connections yet.
    Status reload_by_signal();

    // A connection for short statements that stays open; held by one at a time, given back by going
    // away.
    class Work {
    public:
        Connection& operator*() const { return *connection_; }
        Connection* operator->() const { return connection_.get(); }
        Work(Work&&) noexcept = default;
        Work& operator=(Work&&) = delete;
        ~Work();

    private:
        friend class Server;
        Work(os::Turn::Held turn, std::unique_ptr<Connection> connection,
             std::weak_ptr<std::unique_ptr<Connection>> home)
            : turn_(std::move(turn)), connection_(std::move(connection)), home_(std::move(home)) {}
        os::Turn::Held turn_;
        std::unique_ptr<Connection> connection_;
        std::weak_ptr<std::unique_ptr<Connection>> home_;
    };
    Task<Result<Work>> work(Duration patience);
    bool working() const { return working_.taken(); }
    // A connection of its own without a statement timeout, for what may take long.
    Task<Result<std::unique_ptr<Connection>>> patient_connection(Duration patience);
    // One to that database, with these options (-c name=value ...) instead of ours.
    Task<Result<std::unique_ptr<Connection>>> connection_to(std::string application,
                                                            std::string database,
                                                            std::string server_options,
                                                            Duration patience,
                                                            Connection::Refused* refused);
    // One that the postmaster makes now.
    Task<Result<std::unique_ptr<Connection>>> new_connection(Duration patience);

    const std::string& real_path() const { return real_path_; }

private:
    struct Shutdown;
    void hold(os::PidHandle process);
    void ended(pid_t pid);
    Task<Status> wait_until_ready(os::FileWatch& files, pid_t pid, Duration timeout,
                                  unsigned kills);
    Task<void> watch_shut_down(std::shared_ptr<Shutdown> shutdown);
    Task<void> end_with(ports::StopPlan plan);
    Task<void> let_go_of_archiver();
    // Whether none of them is left.
    Task<bool> end_now();
    Task<bool> kill_all();
    static Task<bool> ends(os::PidWatch& process, Instant until);
    Task<Status> promote_by_signal();
    std::string program() const;

    boost::asio::io_context& loop_;
    os::Blocking& pool_;
    Config config_;
    Observer observer_;
    os::Turn observing_, working_;
    std::shared_ptr<std::unique_ptr<Connection>> idle_work_;
    // Those not yet known to have ended; the last one is the current.
    std::vector<std::unique_ptr<os::PidWatch>> watches_;
    os::FileWatch* waiting_files_ = nullptr;  // start()'s: woken when the postmaster ends
    std::function<void(ports::ExitInfo)> exit_handler_;
    std::string real_path_;
    unsigned kills_ = 0;  // start() sees by it that kill() came in between
    os::Turn spawning_;   // held from the decision to start until the new process is watched
};

}  // namespace relevo::postgres
