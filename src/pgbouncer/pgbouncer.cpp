#include "pgbouncer/pgbouncer.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>
#include <map>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/process.h"
#include "pgbouncer/console.h"
#include "pgbouncer/disk.h"
#include "pgbouncer/sockets.h"
#include "pgbouncer/together.h"

namespace relevo::pgbouncer {
namespace asio = boost::asio;
namespace {

using ports::Route;
using ports::Routes;
using std::chrono::milliseconds;
constexpr auto quietly = asio::as_tuple(asio::use_awaitable);
// PgBouncer answers from memory within a millisecond; one that is stopped or swapped out does not.
constexpr Duration answers_within = milliseconds(1000);
constexpr Duration comes_up_within = std::chrono::seconds(5);

std::string identifier(const std::string& name) {
    std::string out = "\"";
    for (const char c : name) {
        if (c == '"') out += '"';
        out += c;
    }
    return out + "\"";
}

}  // namespace

struct PgBouncer::Impl : std::enable_shared_from_this<PgBouncer::Impl> {
    struct Process {
        int number = 0;
        std::string directory;
        std::unique_ptr<Console> console;
        std::map<std::string, std::unique_ptr<Console>> pausing;  // by database: a PAUSE may wait
        std::unique_ptr<os::PidWatch> watch;
        int failures = 0;
        bool settled = false;  // it came up: its end is news
        std::string ini() const { return directory + "/pgbouncer.ini"; }
        std::string log() const { return directory + "/pgbouncer.log"; }
    };

    Impl(asio::io_context& loop_, os::Blocking pool_, Options options_,
         std::function<void(const Status&)> on_start_)
        : loop(loop_),
          pool(pool_),
          options(std::move(options_)),
          on_start(std::move(on_start_)),
          again(loop_) {}

    asio::io_context& loop;
    os::Blocking pool;
    Options options;
    UserIni user;
    Routes routes;
    std::function<void(const Status&)> on_start;
    std::vector<std::unique_ptr<Process>> processes;
    asio::steady_timer again;
    bool stopping = false;
    std::vector<std::string> told;  // overrides that were logged

    IniPlan plan(const Process& process) const;
    Task<Status> read_user();
    Task<Status> write(Process& process);
    Task<Status> come_up(Process& process);
    Task<Status> wait_for_console(Process& process);
    void watch(Process& process, os::PidHandle handle);
    Task<void> start_again(Process& process);
    Task<Result<Table>> servers(Process& process);
    Task<void> pause(Process& process, std::string database, Duration drain,
                     Result<std::vector<cluster::Blocker>>& out);
    Task<void> resume(Process& process, std::string database, Status& out);
    std::vector<std::string> databases(Route route) const;
};

IniPlan PgBouncer::Impl::plan(const Process& process) const {
    return {.directory = process.directory,
            .listen_host = options.listen_host,
            .listen_port = options.listen_port,
            .number = process.number,
            .reuse_port = options.processes > 1,
            .settings = options.settings,
            .user = user,
            .kept = {options.keep_own.begin(), options.keep_own.end()},
            .databases = options.databases,
            .routes = routes};
}

std::vector<std::string> PgBouncer::Impl::databases(Route route) const {
    std::vector<std::string> names;
    for (const auto& one : options.databases)
        if (one.route == route) names.push_back(one.name);
    return names;
}

Task<Status> PgBouncer::Impl::read_user() {
    auto read = co_await pool.run([path = options.user_ini] { return read_user_ini(path); });
    if (!read) co_return within("pgbouncer.include", read.error());
    user = *std::move(read);
    Process nobody;
    nobody.directory = options.directory;
    const auto sample = plan(nobody);
    RLV_CO_CHECK([&]() -> Status {
        RLV_TRY(const auto text, render(sample));
        static_cast<void>(text);
        return {};
    }());
    auto lines = overridden(sample);
    if (lines != told)
        for (const auto& line : lines) log::warning("{}: {}", options.user_ini, line);
    told = std::move(lines);
    co_return Status{};
}

Task<Status> PgBouncer::Impl::write(Process& process) {
    auto text = render(plan(process));
    if (!text) co_return std::unexpected(text.error());
    const auto written =
        co_await pool.run([path = process.ini(), content = *std::move(text)]() -> Status {
            RLV_CHECK(os::make_directory(path.substr(0, path.rfind('/')), 0700));
            return os::write_file(path, content, 0600);
        });
    co_return written;
}

void PgBouncer::Impl::watch(Process& process, os::PidHandle handle) {
    process.watch = std::make_unique<os::PidWatch>(
        loop, std::move(handle), [weak = weak_from_this(), &process](pid_t pid) {
            const auto self = weak.lock();
            if (!self || self->stopping || !process.settled) return;
            log::error("PgBouncer (pid {}) ended: starting it again", pid);
            asio::co_spawn(self->loop, self->start_again(process),
                           [self](const std::exception_ptr& error) {
                               if (error) std::rethrow_exception(error);
                           });
        });
}

// Ok: it runs and answers.
Task<Status> PgBouncer::Impl::come_up(Process& process) {
    process.console = std::make_unique<Console>(process.directory, options.listen_port);
    process.pausing.clear();
    process.settled = false;
    auto living =
        co_await pool.run([directory = process.directory, ini = process.ini()]() -> os::PidHandle {
            const auto text = os::read_file(directory + "/pgbouncer.pid");
            const auto pid = text ? parse_decimal(trim(*text)) : std::nullopt;
            if (!pid || *pid <= 1) return {};
            const auto info = os::process_info(static_cast<pid_t>(*pid));
            if (!info || !info->title.contains(ini)) return {};
            auto handle = os::PidHandle::open(static_cast<pid_t>(*pid));
            return handle && handle->alive() ? *std::move(handle) : os::PidHandle{};
        });
    if (living) {
        log::info("PgBouncer (pid {}) runs already: it is taken over", living.pid());
        watch(process, std::move(living));
        const auto answers = co_await wait_for_console(process);
        co_return answers;
    }
    RLV_CO_CHECK(co_await write(process));
    os::Detached command;
    // Debian's is where a user's PATH does not look.
    const bool found = os::find_program(options.program).has_value();
    const bool debian = !found && !options.program.contains('/');
    command.command.arguments = {debian ? "/usr/sbin/" + options.program : options.program, "-q",
                                 process.ini()};
    auto handle = co_await pool.run(
        [command, directory = process.directory, log = process.log()]() -> Result<os::PidHandle> {
            // Left by one that was killed; its number may be another program's by now.
            RLV_CHECK(os::remove_file(directory + "/pgbouncer.pid"));
            // What it says is its own; what the one before it said is kept once.
            if (os::exists(log)) RLV_CHECK(os::rename_path(log, log + ".1"));
            RLV_TRY(const pid_t pid, os::start_detached(command));
            return os::PidHandle::open(pid);
        });
    if (!handle)
        co_return fail(ErrorCode::unavailable,
                       fmt::format("PgBouncer cannot be started: {} (is it installed?)",
                                   handle.error().message));
    watch(process, *std::move(handle));
    const auto answers = co_await wait_for_console(process);
    if (answers)
        log::info("PgBouncer (pid {}) listens on {}:{}", process.watch->pid(), options.listen_host,
                  options.listen_port);
    co_return answers;
}

Task<Status> PgBouncer::Impl::wait_for_console(Process& process) {
    const Instant end = os::boottime_now() + comes_up_within;
    while (true) {
        // It is a moment between its start and its socket.
        constexpr Duration look_again = milliseconds(15);
        if (stopping || !process.watch) co_return fail(ErrorCode::cancelled, "given up");
        const bool ended = co_await process.watch->ended(look_again);
        if (ended) {
            auto why = co_await pool.run([path = process.log()] { return last_words(path); });
            co_return fail(ErrorCode::unavailable, fmt::format("PgBouncer ended at once: {}", why));
        }
        const auto answer = co_await process.console->ask("SHOW VERSION", answers_within);
        if (answer) {
            auto why = co_await pool.run([path = process.log()] { return deaf(path); });
            if (!why.empty()) {
                (void)process.watch->send(SIGKILL);
                co_return fail(ErrorCode::unavailable, "PgBouncer " + why +
                                                           "; it is tried again, or change "
                                                           "pgbouncer.listen");
            }
            process.settled = true;
            co_return Status{};
        }
        if (answer.error().code == ErrorCode::denied || os::boottime_now() > end)
            co_return fail(
                answer.error().code,
                answer.error().message + "; the gateway and PgBouncer must run as one user");
    }
}

Task<void> PgBouncer::Impl::start_again(Process& process) {
    // One that does not come up is tried once a second: its port may be free then.
    constexpr auto pause = std::chrono::seconds(1);
    const auto self = shared_from_this();
    while (!stopping) {
        const auto up = co_await come_up(process);
        if (up) {
            process.failures = 0;
            on_start(up);
            co_return;
        }
        if (process.failures++ == 0) log::error("{}", up.error().message);
        on_start(up);
        if (!process.watch || process.watch->alive()) co_return;
        process.watch.reset();
        again.expires_after(pause);
        co_await again.async_wait(quietly);
    }
}

Task<Result<Table>> PgBouncer::Impl::servers(Process& process) {
    auto table = co_await process.console->ask("SHOW SERVERS", answers_within);
    co_return table;
}

Task<void> PgBouncer::Impl::pause(Process& process, std::string database, Duration drain,
                                  Result<std::vector<cluster::Blocker>>& out) {
    auto& console = process.pausing[database];
    console = std::make_unique<Console>(process.directory, options.listen_port);
    // A console of its own, since the answer comes only when the last transaction has ended.
    const auto paused = co_await console->ask("PAUSE " + identifier(database), drain);
    if (paused || !out) co_return;
    if (paused.error().code != ErrorCode::outcome_unknown || process.pausing[database] == nullptr) {
        out = std::unexpected(paused.error());
        co_return;
    }
    const auto table = co_await servers(process);
    if (!table) {
        out = std::unexpected(table.error());
        co_return;
    }
    for (std::size_t row = 0; row < table->rows.size(); ++row) {
        if (table->value(row, "database") != database || table->value(row, "state") != "active")
            continue;
        cluster::Blocker blocker;
        blocker.pid = static_cast<int>(table->number(row, "remote_pid"));
        blocker.user = table->value(row, "user");
        blocker.database = database;
        out->push_back(std::move(blocker));
    }
}

Task<void> PgBouncer::Impl::resume(Process& process, std::string database, Status& out) {
    if (const auto at = process.pausing.find(database); at != process.pausing.end() && at->second)
        at->second->close();
    const auto resumed =
        co_await process.console->ask("RESUME " + identifier(database), answers_within);
    if (!resumed && !resumed.error().message.contains("not paused"))
        out = std::unexpected(resumed.error());
}

PgBouncer::PgBouncer(asio::io_context& loop, os::Blocking pool, Options options,
                     std::function<void(const Status&)> on_start)
    : impl_(std::make_shared<Impl>(loop, pool, std::move(options), std::move(on_start))) {}
PgBouncer::~PgBouncer() = default;

Task<Status> PgBouncer::check() { return impl_->read_user(); }

Task<Status> PgBouncer::start(Routes routes) {
    const auto impl = impl_;
    RLV_CO_CHECK(co_await impl->read_user());
    impl->routes = std::move(routes);
    impl->stopping = false;
    for (int number = 0; number < impl->options.processes; ++number) {
        if (static_cast<std::size_t>(number) < impl->processes.size()) continue;
        auto process = std::make_unique<Impl::Process>();
        process->number = number;
        process->directory = fmt::format("{}/{}", impl->options.directory, number);
        const auto up = co_await impl->come_up(*process);
        if (!up) {
            if (process->watch) (void)process->watch->send(SIGKILL);
            co_return std::unexpected(up.error());
        }
        impl->processes.push_back(std::move(process));
    }
    co_return Status{};
}

Task<Status> PgBouncer::apply(Options options) {
    const auto impl = impl_;
    auto before = std::exchange(impl->options, std::move(options));
    const auto read = co_await impl->read_user();
    if (!read) {
        impl->options = std::move(before);
        (void)co_await impl->read_user();
        co_return std::unexpected(read.error());
    }
    auto& now = impl->options;
    if (now.listen_host != before.listen_host || now.listen_port != before.listen_port ||
        now.processes != before.processes || now.directory != before.directory) {
        log::warning(
            "pgbouncer.listen, processes and directory take effect when the gateway starts anew");
        now.listen_host = before.listen_host;
        now.listen_port = before.listen_port;
        now.processes = before.processes;
        now.directory = before.directory;
    }
    const auto told = co_await repoint(impl->routes);
    co_return told;
}

Task<void> PgBouncer::stop(bool end_processes) {
    const auto impl = impl_;
    impl->stopping = true;
    impl->again.cancel();
    for (auto& process : impl->processes) {
        if (!process->watch) continue;
        if (end_processes) {
            (void)process->watch->send(SIGTERM);
            constexpr Duration ends_within = std::chrono::seconds(3);
            const bool ended = co_await process->watch->ended(ends_within);
            if (!ended) (void)process->watch->send(SIGKILL);
        }
        process->watch.reset();
    }
}

bool PgBouncer::running() const {
    return !impl_->processes.empty() && std::ranges::all_of(impl_->processes, [](const auto& one) {
        // One that was started again is not there for clients before it answers.
        return one->settled && one->watch && one->watch->alive();
    });
}

Task<Result<std::vector<cluster::Blocker>>> PgBouncer::hold(Route route, Duration drain) {
    const auto impl = impl_;
    Result<std::vector<cluster::Blocker>> out = std::vector<cluster::Blocker>{};
    Together all(impl->loop);
    for (auto& process : impl->processes)
        for (auto& database : impl->databases(route))
            all.add(impl->pause(*process, database, drain, out));
    co_await all.wait();
    co_return out;
}

Task<Status> PgBouncer::repoint(Routes routes) {
    const auto impl = impl_;
    impl->routes = std::move(routes);
    Status out;
    Together all(impl->loop);
    for (auto& process : impl->processes)
        all.add([](Impl& self, Impl::Process& one, Status& result) -> Task<void> {
            const auto written = co_await self.write(one);
            if (!written) {
                result = written;
                co_return;
            }
            const auto told = co_await one.console->ask("RELOAD", answers_within);
            if (!told) result = std::unexpected(told.error());
        }(*impl, *process, out));
    co_await all.wait();
    co_return out;
}

Task<Status> PgBouncer::release(Route route) {
    const auto impl = impl_;
    Status out;
    Together all(impl->loop);
    for (auto& process : impl->processes)
        for (auto& database : impl->databases(route))
            all.add(impl->resume(*process, database, out));
    co_await all.wait();
    co_return out;
}

Task<Result<int>> PgBouncer::drop(ports::Endpoint server) {
    const auto impl = impl_;
    std::vector<TcpPair> pairs;
    for (auto& process : impl->processes) {
        const auto table = co_await impl->servers(*process);
        if (!table) co_return std::unexpected(table.error());
        for (std::size_t row = 0; row < table->rows.size(); ++row)
            if (table->value(row, "addr") == server.host &&
                table->number(row, "port") == server.port)
                pairs.push_back({.local = table->value(row, "local_addr"),
                                 .remote = server.host,
                                 .local_port = static_cast<int>(table->number(row, "local_port")),
                                 .remote_port = server.port});
    }
    co_return destroy(pairs);
}

Task<Result<ports::PoolerStats>> PgBouncer::stats() {
    const auto impl = impl_;
    ports::PoolerStats out;
    std::map<std::string, ports::PoolerStats::Database> by_name;
    const auto count = [](const Table& table, std::size_t row, const char* column) {
        return static_cast<std::uint64_t>(std::max<std::int64_t>(0, table.number(row, column)));
    };
    for (auto& process : impl->processes) {
        const auto version = co_await process->console->ask("SHOW VERSION", answers_within);
        if (!version) co_return std::unexpected(version.error());
        out.version = version->rows.empty() ? "" : version->value(0, "version");
        const auto pools = co_await process->console->ask("SHOW POOLS", answers_within);
        if (!pools) co_return std::unexpected(pools.error());
        for (std::size_t row = 0; row < pools->rows.size(); ++row) {
            auto& one = by_name[pools->value(row, "database")];
            one.clients_active += count(*pools, row, "cl_active");
            one.clients_waiting += count(*pools, row, "cl_waiting");
            one.servers_active += count(*pools, row, "sv_active");
            one.servers_idle += count(*pools, row, "sv_idle") + count(*pools, row, "sv_used");
            const auto wait = std::chrono::microseconds(pools->number(row, "maxwait") * 1'000'000 +
                                                        pools->number(row, "maxwait_us"));
            one.longest_wait = std::max(one.longest_wait, wait);
        }
        const auto totals = co_await process->console->ask("SHOW STATS_TOTALS", answers_within);
        if (!totals) co_return std::unexpected(totals.error());
        for (std::size_t row = 0; row < totals->rows.size(); ++row) {
            auto& one = by_name[totals->value(row, "database")];
            one.transactions += count(*totals, row, "xact_count");
            one.queries += count(*totals, row, "query_count");
            one.received_bytes += count(*totals, row, "bytes_received");
            one.sent_bytes += count(*totals, row, "bytes_sent");
        }
        const auto listed = co_await process->console->ask("SHOW DATABASES", answers_within);
        if (!listed) co_return std::unexpected(listed.error());
        for (std::size_t row = 0; row < listed->rows.size(); ++row)
            if (listed->value(row, "paused") == "1")
                by_name[listed->value(row, "name")].paused = true;
    }
    for (auto& [name, one] : by_name) {
        if (name == "pgbouncer") continue;
        one.name = name;
        out.databases.push_back(std::move(one));
    }
    co_return out;
}

}  // namespace relevo::pgbouncer
