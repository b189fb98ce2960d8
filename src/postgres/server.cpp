#include "postgres/server.h"

#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <chrono>
#include <utility>

#include "base/log.h"
#include "os/clock.h"
#include "os/doomed.h"
#include "os/file.h"
#include "postgres/config_files.h"

namespace relevo::postgres {

namespace asio = boost::asio;
using namespace std::chrono_literals;

Server::Server(asio::io_context& loop, os::Blocking& pool, Config config)
    : loop_(loop),
      pool_(pool),
      config_(config),
      observer_(pool, std::move(config)),
      idle_work_(std::make_shared<std::unique_ptr<Connection>>()) {}

Server::~Server() = default;

std::string Server::program() const { return program_path(config_(), "postgres"); }

void Server::hold(os::PidHandle process) {
    const pid_t pid = process.pid();
    if (!watches_.empty() && watches_.back()->pid() == pid && watches_.back()->alive()) return;
    watches_.push_back(std::make_unique<os::PidWatch>(loop_, std::move(process),
                                                      [this](pid_t gone) { ended(gone); }));
}

void Server::ended(pid_t pid) {
    const auto seen = os::boottime_now();
    std::erase_if(watches_, [pid](const auto& watch) { return watch->pid() == pid; });
    observer_.forget_server();
    idle_work_->reset();
    if (waiting_files_) waiting_files_->interrupt();
    if (exit_handler_) exit_handler_({pid, seen});
}

bool Server::alive() const { return !watches_.empty() && watches_.back()->alive(); }

Task<Observer::Seen> Server::observe(cluster::Look look) {
    const auto turn = co_await observing_.take();
    const bool lives = alive() && !os::doomed(watches_.back()->pid());
    auto seen = co_await observer_.observe(lives, look);
    if (!seen.real_path.empty()) real_path_ = seen.real_path;
    if (seen.postmaster && *seen.postmaster) hold(std::move(*seen.postmaster));
    co_return seen;
}

Task<bool> Server::find() {
    if (alive()) co_return true;
    const auto config = std::make_shared<const ports::PostgresConfig>(config_());
    auto view = co_await pool_.run_within(2s, [config] { return look_at_disk(*config, nullptr); });
    if (!view) co_return false;
    real_path_ = view->real_path;
    if (view->postmaster) {
        observer_.learn_address(*view->pid_file);
        hold(std::move(*view->postmaster));
    }
    co_return alive();
}

Server::Work::~Work() {
    const auto home = home_.lock();
    if (home && connection_ && connection_->usable()) *home = std::move(connection_);
}

Task<Result<Server::Work>> Server::work(Duration patience) {
    auto turn = co_await working_.take();
    if (!turn) co_return fail(ErrorCode::cancelled, "given up before the server was asked");
    auto connection = std::move(*idle_work_);
    if (!connection || !connection->usable()) {
        auto opened = co_await Connection::open(pool_, observer_.reach("relevo work"), patience);
        if (!opened) co_return std::unexpected(opened.error());
        connection = *std::move(opened);
    }
    co_return Work(std::move(turn), std::move(connection), idle_work_);
}

Task<Result<std::unique_ptr<Connection>>> Server::patient_connection(Duration patience) {
    auto options = observer_.reach("relevo work");
    options.server_options =
        "-c statement_timeout=0 -c synchronous_commit=local -c search_path=pg_catalog";
    auto opened = co_await Connection::open(pool_, std::move(options), patience);
    co_return opened;
}

Task<Result<std::unique_ptr<Connection>>> Server::connection_to(std::string application,
                                                                std::string database,
                                                                std::string server_options,
                                                                Duration patience,
                                                                Connection::Refused* refused) {
    auto options = observer_.reach(application);
    options.database = std::move(database);
    options.server_options = std::move(server_options);
    auto opened = co_await Connection::open(pool_, std::move(options), patience, refused);
    co_return opened;
}

Task<Result<std::unique_ptr<Connection>>> Server::new_connection(Duration patience) {
    auto opened = co_await Connection::open(pool_, observer_.reach("relevo work"), patience);
    co_return opened;
}

namespace {

struct Launched {
    Result<pid_t> pid = fail(ErrorCode::failed, "not started");
    os::PidHandle process;
    std::string real_path;
};

// What is left of a postmaster that was killed keeps its shared memory, and a new one refuses to
// start beside it.
// unavailable: one was killed and does not end (os/doomed.h). It may yet write what it was about
// to, perhaps into a file that stands there since.
Status end_orphans(const std::string& real_path, const std::string& program) {
    std::vector<os::PidHandle> left;
    for (const auto& process : server_processes(real_path, program)) {
        // The log's collector holds no shared memory, and ends by itself once it has written why.
        if (process.title.ends_with("logger")) continue;
        auto handle = os::PidHandle::open(process.pid);
        if (!handle) continue;
        log::warning("ending process {} ({}), which is left of a PostgreSQL that died", process.pid,
                     process.title);
        if (const auto sent = handle->send(SIGKILL); !sent) {
            if (sent.error().code != ErrorCode::not_found) log::warning("{}", sent.error().message);
            continue;
        }
        left.push_back(*std::move(handle));
    }
    for (const auto& handle : left)
        if (!handle.wait(5s))
            return fail(
                ErrorCode::unavailable,
                fmt::format("a process of PostgreSQL in {} was killed and has not ended: it "
                            "waits for its disk",
                            real_path));
    return {};
}

// Blocks.
Launched launch(const ports::PostgresConfig& config, const std::string& program,
                std::vector<std::string> arguments) {
    Launched launched;
    const auto view = look_at_disk(config, nullptr);
    launched.real_path = view.real_path;
    if (view.postmaster) {
        launched.pid =
            fail(ErrorCode::conflict, fmt::format("PostgreSQL already runs in {} as process {}",
                                                  config.data_dir, view.postmaster->pid()));
        return launched;
    }
    if (const auto ended = end_orphans(view.real_path, program); !ended) {
        launched.pid = std::unexpected(ended.error());
        return launched;
    }
    // A process number that came to mean something else must not keep the server from starting.
    pid_t grandparent = 0;
    if (view.pid_file && os::process_info(view.pid_file->pid)) grandparent = view.pid_file->pid;
    os::Detached what;
    what.command.arguments = {program};
    what.command.arguments.insert(what.command.arguments.end(), arguments.begin(), arguments.end());
    what.command.environment = postmaster_environment(grandparent);
    struct stat info{};
    const bool group = ::stat(config.data_dir.c_str(), &info) == 0 && (info.st_mode & S_IRGRP) != 0;
    what.umask = group ? 0027 : 0077;
    launched.pid = os::start_detached(what);
    if (!launched.pid) return launched;
    auto handle = os::PidHandle::open(*launched.pid);
    if (handle)
        launched.process = *std::move(handle);
    else
        launched.pid = fail(ErrorCode::failed, "PostgreSQL ended at once; its log tells why");
    return launched;
}

}  // namespace

Task<Status> Server::start(std::vector<std::string> arguments, Duration timeout) {
    if (const auto allowed = may_run_servers(); !allowed) co_return allowed;
    if (alive()) co_return fail(ErrorCode::conflict, "PostgreSQL already runs");
    const unsigned kills = kills_;
    auto files = co_await os::FileWatch::open(pool_, config_().data_dir);
    pid_t pid = 0;
    {
        // kill() waits for this: a process that nobody watches yet could not be fenced.
        const auto turn = co_await spawning_.take();
        if (kills_ != kills) co_return fail(ErrorCode::cancelled, "the start was given up");
        const auto config = config_();
        const auto path = program();
        auto launched =
            co_await pool_.run([&] { return launch(config, path, std::move(arguments)); });
        if (!launched.pid) co_return std::unexpected(launched.pid.error());
        real_path_ = launched.real_path;
        pid = *launched.pid;
        hold(std::move(launched.process));
        // A kill() that could not wait for us counts on this.
        if (kills_ != kills) co_await kill_all();
    }
    waiting_files_ = files.get();
    auto status = co_await wait_until_ready(*files, pid, timeout, kills);
    waiting_files_ = nullptr;
    co_return status;
}

// postmaster.pid's last line is the postmaster's own word on when it accepts connections ("ready",
// for a hot standby once it is consistent; "standby" when it never will): no connection attempts
// are needed, and inotify tells of the change at once. Where inotify does not work the file is
// simply read every 20 ms.
Task<Status> Server::wait_until_ready(os::FileWatch& files, pid_t pid, Duration timeout,
                                      unsigned kills) {
    const auto until = os::boottime_now() + timeout;
    const auto data_dir = config_().data_dir;
    const Duration look_again = files.works() ? Duration(500ms) : Duration(20ms);
    for (;;) {
        if (kills_ != kills)
            co_return fail(ErrorCode::cancelled, "PostgreSQL was killed while it started");
        const bool lives =
            !watches_.empty() && watches_.back()->pid() == pid && watches_.back()->alive();
        if (!lives)
            co_return fail(
                ErrorCode::failed,
                "PostgreSQL ended while it started; its log tells why (log_directory, or "
                "this program's standard error)");
        auto file = co_await pool_.run_within(2s, [data_dir] { return read_pid_file(data_dir); });
        if (file && *file && **file && (**file)->pid == pid) {
            const auto& status = (**file)->status;
            observer_.learn_address(***file);
            if (status == "ready" || status == "standby") co_return Status{};
        }
        auto patience = look_again;
        if (timeout > Duration{}) {
            const auto left = until - os::boottime_now();
            if (left <= Duration{})
                co_return fail(
                    ErrorCode::outcome_unknown,
                    fmt::format("PostgreSQL is still starting after {} s", to_s(timeout)));
            patience = std::min(patience, left);
        }
        co_await files.changed("postmaster.pid", patience);
    }
}

Task<Status> Server::end_leftovers() {
    const auto real_path = real_path_.empty() ? config_().data_dir : real_path_;
    co_return co_await pool_.run(
        [real_path, name = program()] { return end_orphans(real_path, name); });
}

Task<Status> Server::single_user() {
    if (const auto allowed = may_run_servers(); !allowed) co_return allowed;
    const bool running = co_await find();
    if (running) co_return fail(ErrorCode::conflict, "PostgreSQL runs: stop it first");
    const auto data_dir = config_().data_dir;
    const auto path = program();
    if (const auto ended = co_await end_leftovers(); !ended) co_return ended;
    auto options = co_await pool_.run([&] {
        const auto text = os::read_file(data_dir + "/postmaster.opts", 1 << 20);
        return text ? options_of_last_start(*text) : std::vector<std::string>();
    });
    os::Command command;
    command.arguments = {path, "--single", "-D", data_dir};
    command.arguments.insert(command.arguments.end(), options.begin(), options.end());
    // WAL that is not archived yet must stay: it is of the past that a rewind looks into.
    for (const char* option : {"-c", "archive_mode=on", "-c", "archive_command=false", "template1"})
        command.arguments.emplace_back(option);
    command.environment = postmaster_environment(0);
    command.dies_with_us = true;
    auto ended = co_await os::run(pool_, std::move(command));
    if (!ended) co_return within("recovering in single-user mode", ended.error());
    if (!ended->ok())
        co_return fail(ErrorCode::failed,
                       "recovering in single-user mode: " + os::describe(*ended));
    co_return Status{};
}

Task<Status> Server::checkpoint(Duration patience) {
    auto connection = co_await patient_connection(std::min<Duration>(patience, 3s));
    if (!connection) co_return within("CHECKPOINT", connection.error());
    auto done = co_await (*connection)->query("CHECKPOINT", patience);
    if (!done) co_return within("CHECKPOINT", done.error());
    co_return Status{};
}

}  // namespace relevo::postgres
