// How a server ends and how it is promoted: the half of server.h that is about signals.
#include <fmt/core.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <chrono>
#include <utility>

#include "base/log.h"
#include "os/clock.h"
#include "os/doomed.h"
#include "os/file.h"
#include "os/systemd.h"
#include "postgres/server.h"

namespace relevo::postgres {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using boost::system::error_code;

namespace {

int signal_of(cluster::StopMode mode) {
    switch (mode) {
        case cluster::StopMode::smart: return SIGTERM;
        case cluster::StopMode::fast: return SIGINT;
        case cluster::StopMode::immediate: return SIGQUIT;
    }
    return SIGINT;
}

std::optional<cluster::StopMode> harder(cluster::StopMode mode) {
    switch (mode) {
        case cluster::StopMode::smart: return cluster::StopMode::fast;
        case cluster::StopMode::fast: return cluster::StopMode::immediate;
        case cluster::StopMode::immediate: return std::nullopt;
    }
    return std::nullopt;
}

bool is_shut_down(const ControlFile& file) {
    return file.data.state == cluster::ControlState::shut_down ||
           file.data.state == cluster::ControlState::shut_down_in_recovery;
}

// "postgres: archiver", "postgres: cluster_name: archiver archiving 0000000100..."
bool is_archiver(std::string_view title, std::string_view cluster_name) {
    for (const auto& prefix :
         {std::string("postgres: "), fmt::format("postgres: {}: ", cluster_name)})
        if (title.starts_with(prefix + "archiver")) return true;
    return false;
}

Task<void> pause(Duration time) {
    const auto executor = co_await asio::this_coro::executor;
    asio::steady_timer timer(executor, time);
    error_code ignored;
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

}  // namespace

// Beside a stop: waits for "shut down" in pg_control and tells it once.
struct Server::Shutdown {
    std::function<void(cluster::ControlData)> tell;
    std::unique_ptr<os::FileWatch> files;
    bool stopped = false;  // the postmaster has ended: nothing more will be written
    bool over = false;
    asio::steady_timer done;
    explicit Shutdown(asio::io_context& loop) : done(loop, asio::steady_timer::time_point::max()) {}
};

Task<void> Server::watch_shut_down(std::shared_ptr<Shutdown> shutdown) {
    const auto config = config_();
    const Duration look_again = shutdown->files->works() ? Duration(1s) : Duration(50ms);
    for (;;) {
        const bool last = shutdown->stopped;
        auto read = co_await pool_.run([&config] { return read_control_file(config); });
        if (read && is_shut_down(*read)) {
            if (shutdown->tell) shutdown->tell(read->data);
            if (!last && config.archiver_patience) co_await let_go_of_archiver();
            co_return;
        }
        if (last) co_return;
        co_await shutdown->files->changed("pg_control", look_again);
    }
}

// After the shutdown's checkpoint nothing is left but the walsenders, who send it, and the
// archiver, whose command may hang with a repository for minutes. It ends with its command: a
// process group of its own (PostgreSQL: postmaster.c, InitPostmasterChild).
Task<void> Server::let_go_of_archiver() {
    const auto config = config_();
    if (!alive()) co_return;
    const pid_t postmaster = watches_.back()->pid();
    const bool gone = co_await watches_.back()->ended(*config.archiver_patience);
    if (gone) co_return;
    const auto found =
        co_await pool_.run([postmaster, name = config.scope]() -> std::optional<pid_t> {
            for (const pid_t child : os::children_of(postmaster)) {
                const auto process = os::process_info(child);
                if (process && is_archiver(process->title, name)) return child;
            }
            return std::nullopt;
        });
    if (!found || !alive() || watches_.back()->pid() != postmaster) co_return;
    log::warning(
        "PostgreSQL is shut down but for its archiver, whose command takes more than {} s: it is "
        "ended; what it leaves is archived by the next primary",
        config.archiver_patience->count());
    ::kill(-*found, SIGQUIT);
}

Task<Status> Server::stop(ports::StopPlan plan) {
    const bool running = co_await find();
    if (!running) co_return Status{};
    if (plan.checkpoint_first) {
        const Duration patience =
            plan.escalate_after > Duration{} ? plan.escalate_after : Duration(1h);
        const auto done = co_await checkpoint(patience);
        if (!done) log::warning("before the stop: {}", done.error().message);
    }
    std::shared_ptr<Shutdown> shutdown;
    const bool cut = config_().archiver_patience && plan.mode != cluster::StopMode::immediate;
    if (plan.on_shut_down || cut) {
        shutdown = std::make_shared<Shutdown>(loop_);
        shutdown->tell = plan.on_shut_down;
        shutdown->files = co_await os::FileWatch::open(pool_, config_().data_dir + "/global");
        asio::co_spawn(loop_, watch_shut_down(shutdown), [shutdown](std::exception_ptr) {
            shutdown->over = true;
            shutdown->done.cancel();
        });
    }
    co_await end_with(plan);
    if (shutdown) {
        shutdown->stopped = true;
        shutdown->files->interrupt();
        while (!shutdown->over) {
            error_code ignored;
            co_await shutdown->done.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
        }
    }
    // An adopted postmaster may have told systemd in our name that we stop.
    os::notify_ready();
    if (alive()) co_return fail(ErrorCode::failed, "PostgreSQL does not end, not even by SIGKILL");
    co_return Status{};
}

Task<void> Server::end_with(ports::StopPlan plan) {
    std::optional<cluster::StopMode> mode = plan.mode;
    while (mode && alive()) {
        const auto sent = watches_.back()->send(signal_of(*mode));
        if (!sent) log::warning("{}", sent.error().message);
        if (watches_.empty()) co_return;
        const bool gone = co_await watches_.back()->ended(plan.escalate_after);
        if (gone) co_return;
        mode = harder(*mode);
        if (mode)
            log::warning("PostgreSQL did not stop in {} s: the next harder way",
                         to_s(plan.escalate_after));
    }
    if (!alive()) co_return;
    log::warning("PostgreSQL did not stop: SIGKILL to it and all its processes");
    co_await kill_all();
}

Task<bool> Server::end_now() {
    if (alive()) {
        (void)watches_.back()->send(SIGQUIT);
        const bool gone = co_await watches_.back()->ended(200ms);
        if (!gone) log::warning("PostgreSQL did not end by SIGQUIT within 200 ms: SIGKILL");
    }
    co_return co_await kill_all();
}

Task<Status> Server::kill() {
    ++kills_;
    if (waiting_files_) waiting_files_->interrupt();
    // What is known to live dies before anything is waited for.
    bool all_dead = co_await end_now();
    // A start that is between its decision and its new process lets us in afterwards, with the
    // process known. Its thread may hang on a disk: then the start itself kills what comes of it.
    const auto turn = co_await spawning_.take_within(1s);
    if (!alive() && real_path_.empty()) co_await find();
    if (alive()) all_dead = co_await end_now();
    if (!turn)
        co_return fail(
            ErrorCode::outcome_unknown,
            "PostgreSQL is just being started and will be killed as soon as it is there");
    if (!all_dead || (alive() && !os::doomed(watches_.back()->pid())))
        co_return fail(ErrorCode::failed,
                       "PostgreSQL's processes do not end: they hang in the kernel (a disk?)");
    co_return Status{};
}

// The postmaster's tree, and whoever else works in the data directory as a server: backends whose
// postmaster died go on with their statement. /proc alone is asked, no disk.
Task<bool> Server::kill_all() {
    std::vector<std::unique_ptr<os::PidWatch>> dying;
    const auto watch = [&](pid_t pid) {
        auto handle = os::PidHandle::open(pid);
        if (handle)
            dying.push_back(std::make_unique<os::PidWatch>(loop_, *std::move(handle), nullptr));
    };
    if (alive()) {
        for (const auto one : os::kill_tree(watches_.back()->pid())) watch(one);
    }
    const auto path = real_path_.empty() ? config_().data_dir : real_path_;
    for (const auto& process : server_processes(path, program(), os::Detail::no_memory)) {
        watch(process.pid);
        ::kill(process.pid, SIGKILL);
    }
    const auto until = os::boottime_now() + 10s;
    bool all_dead = true, all_ended = true;
    for (const auto& process : dying) {
        const bool ended = co_await ends(*process, until);
        all_ended = all_ended && ended;
        all_dead = all_dead && (ended || os::doomed(process->pid()));
    }
    if (all_dead && !all_ended)
        log::warning(
            "PostgreSQL is killed, but processes of it end only when the disk answers that they "
            "wait for; until then they do nothing");
    if (watches_.empty()) co_return all_dead;
    // The current one's own watch fires on the same event; it may still be in the queue.
    if (all_ended) co_await watches_.back()->ended(1s);
    co_return all_dead;
}

// Whether it has ended by then. Not waited for: one that can do nothing any more until its disk
// answers.
Task<bool> Server::ends(os::PidWatch& process, Instant until) {
    constexpr Duration piece = 500ms;
    for (;;) {
        const auto left = std::max<Duration>(until - os::boottime_now(), 1ms);
        const bool ended = co_await process.ended(std::min<Duration>(left, piece));
        if (ended || left <= piece || os::doomed(process.pid())) co_return ended;
    }
}

Status Server::reload_by_signal() {
    if (!alive()) return fail(ErrorCode::failed, "PostgreSQL does not run");
    return watches_.back()->send(SIGHUP);
}

Task<Status> Server::promote_by_signal() {
    const auto path = config_().data_dir + "/promote";
    // A file that is there after all is seen at any later signal.
    auto written = co_await pool_.run([path]() -> Status {
        auto put = os::write_file(path, "", 0600);
        if (put || ::unlink(path.c_str()) == 0 || errno == ENOENT) return put;
        return fail(ErrorCode::outcome_unknown, put.error().message);
    });
    if (!written) co_return written;
    if (!alive()) co_return fail(ErrorCode::failed, "PostgreSQL does not run");
    co_return watches_.back()->send(SIGUSR1);
}

Task<Status> Server::promote(Duration timeout) {
    const bool running = co_await find();
    if (!running) co_return fail(ErrorCode::failed, "cannot promote: PostgreSQL does not run");
    const auto until = os::boottime_now() + timeout;
    bool asked = false;
    bool sent = false;  // and no answer came: it may have been heard
    std::string problem = "no answer";
    Duration wait = 2ms;  // a promotion takes some 30 ms
    while (os::boottime_now() < until) {
        if (!alive()) co_return fail(ErrorCode::failed, "PostgreSQL ended while it was promoted");
        const auto left = std::max<Duration>(until - os::boottime_now(), 1ms);
        auto connection = co_await work(std::min<Duration>(left, 1s));
        if (connection) {
            auto answer = co_await (*connection)
                              ->query("SELECT pg_is_in_recovery()", std::min<Duration>(left, 1s));
            if (answer && answer->value() == "f") co_return Status{};
            if (!answer) problem = answer.error().message;
            if (answer && !asked) {
                auto promoted =
                    co_await (*connection)
                        ->query("SELECT pg_promote(false)", std::min<Duration>(left, 1s));
                asked = promoted.has_value();
                sent = true;
                if (!promoted) problem = promoted.error().message;
            }
        } else {
            problem = connection.error().message;
        }
        if (!asked) {
            const auto signalled = co_await promote_by_signal();
            if (!signalled && sent)
                co_return fail(ErrorCode::outcome_unknown,
                               "PostgreSQL was asked to promote itself and did not answer: " +
                                   signalled.error().message);
            if (!signalled) co_return within("cannot promote", signalled.error());
            asked = true;
        }
        co_await pause(wait);
        wait = std::min<Duration>(wait + 1ms, 10ms);
    }
    co_return fail(
        ErrorCode::outcome_unknown,
        fmt::format(
            "PostgreSQL was told to promote itself and is still in recovery after {} s ({})",
            to_s(timeout), problem));
}

}  // namespace relevo::postgres
