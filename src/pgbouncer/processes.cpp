// PgBouncer's processes: started or taken over, or found where systemd runs them, and watched.
#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <csignal>
#include <filesystem>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/file.h"
#include "pgbouncer/disk.h"
#include "pgbouncer/impl.h"

namespace relevo::pgbouncer {
namespace asio = boost::asio;
namespace {

using std::chrono::milliseconds;
constexpr auto quietly = asio::as_tuple(asio::use_awaitable);
constexpr Duration comes_up_within = std::chrono::seconds(5);
// A program that prints its version has nothing to wait for.
constexpr Duration version_within = std::chrono::seconds(2);

// Whether both name one file, as far as that can be told from here.
bool same_file(const std::string& one, const std::string& other) {
    std::error_code error;
    if (std::filesystem::equivalent(one, other, error)) return true;
    // A relative one is beside a directory that is not ours.
    return !one.starts_with('/') &&
           std::filesystem::path(one).filename() == std::filesystem::path(other).filename();
}

}  // namespace

std::string PgBouncer::Impl::directory_of(int number) const {
    return fmt::format("{}/{}", options.directory, number);
}

// "pgbouncer-relevo@" -> "pgbouncer-relevo@0"
std::string PgBouncer::Impl::unit_of(const Process& process) const {
    const auto at = options.unit.find('@');
    if (at == std::string::npos) return options.unit;
    return fmt::format("{}{}{}", options.unit.substr(0, at + 1), process.number,
                       options.unit.substr(at + 1));
}

IniPlan PgBouncer::Impl::plan(const Process& process) const {
    IniPlan made{.directory = process.directory,
                 .listen_host = options.listen_host,
                 .listen_port = options.listen_port,
                 .number = process.number,
                 .reuse_port = options.processes > 1,
                 .peers = {},
                 .settings = options.settings,
                 .user = user,
                 .kept = {options.keep_own.begin(), options.keep_own.end()},
                 .databases = options.databases,
                 .routes = routes,
                 .generation = process.generation};
    if (options.processes > 1 && knows_peers(process.version))
        for (int i = 0; i < options.processes; ++i) made.peers.push_back(directory_of(i));
    return made;
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
    process.generation = std::to_string(os::boottime_now().time_since_epoch().count());
    auto text = render(plan(process));
    if (!text) co_return std::unexpected(text.error());
    const auto written =
        co_await pool.run([path = process.ini(), content = *std::move(text)]() -> Status {
            RLV_CHECK(os::make_directory(path.substr(0, path.rfind('/')), 0700));
            // Clients wait for it, and a PgBouncer that starts after a power loss gets it anew.
            return os::replace_file(path, content, 0600);
        });
    co_return written;
}

void PgBouncer::Impl::watch(Process& process, os::PidHandle handle) {
    process.watch = std::make_unique<os::PidWatch>(
        loop, std::move(handle), [weak = weak_from_this(), &process](pid_t pid) {
            const auto self = weak.lock();
            if (!self || self->stopping || process.coming_up) return;
            if (self->is_ours())
                log::error("PgBouncer (pid {}) ended: starting it again", pid);
            else
                log::error("PgBouncer (pid {}) ended: waiting for {} to start it again", pid,
                           self->unit_of(process));
            asio::co_spawn(self->loop, self->start_again(process),
                           [self](const std::exception_ptr& error) {
                               if (error) std::rethrow_exception(error);
                           });
        });
}

// Empty where it does not say.
Task<Version> PgBouncer::Impl::program_version() {
    os::Command command;
    const bool found = os::find_program(options.program).has_value();
    command.arguments = {found ? options.program : "/usr/sbin/" + options.program, "--version"};
    command.deadline = version_within;
    const auto said = co_await os::run(pool, std::move(command));
    co_return said && said->ok() ? parse_version(said->out) : Version{};
}

// Ok: it runs and answers.
Task<Status> PgBouncer::Impl::come_up(Process& process) {
    process.console = std::make_unique<Console>(process.directory, options.listen_port);
    process.pausing.clear();
    process.settled = false;
    if (!is_ours()) {
        const auto found = co_await find(process);
        co_return found;
    }
    const bool lives = co_await adopt(process);
    if (lives) {
        const auto answers = co_await wait_for_console(process);
        co_return answers;
    }
    process.version = co_await program_version();
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
            // What the one before it said is kept once.
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
        log::info("PgBouncer {} (pid {}) listens on {}:{}", to_string(process.version),
                  process.watch->pid(), options.listen_host, options.listen_port);
    co_return answers;
}

// One that an earlier gateway started, and that lives on.
Task<bool> PgBouncer::Impl::adopt(Process& process) {
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
    if (!living) co_return false;
    log::info("PgBouncer (pid {}) runs already: it is taken over", living.pid());
    watch(process, std::move(living));
    co_return true;
}

// One that somebody else runs is where its socket is, or is not there. Its file is written before,
// since it cannot start without.
Task<Status> PgBouncer::Impl::find(Process& process) {
    const auto said = co_await process.console->ask("SHOW VERSION", answers_within);
    const bool first = process.complained.empty();
    if (said)
        process.version = parse_version(said->value(0, "version"));
    else if (first)
        process.version = co_await program_version();
    if (said || first) RLV_CO_CHECK(co_await write(process));
    if (!said) {
        const auto log = co_await pool.run([path = process.log()] { return last_words(path, 0); });
        co_return not_up(process, said.error(), log);
    }
    RLV_CO_CHECK(co_await identify(process));
    RLV_CO_CHECK(co_await reload(process));
    settle(process);
    log::info("PgBouncer {} (pid {}), which {} runs, is led", to_string(process.version),
              process.watch->pid(), unit_of(process));
    co_return Status{};
}

// Whether it is the one that is meant, and can be used; its end is noticed from now on.
Task<Status> PgBouncer::Impl::identify(Process& process) {
    const auto config = co_await process.console->ask("SHOW CONFIG", answers_within);
    if (!config) co_return std::unexpected(config.error());
    for (std::size_t row = 0; row < config->rows.size(); ++row) {
        const auto reads = config->value(row, "value");
        if (config->value(row, "key") != "conffile" || same_file(reads, process.ini())) continue;
        co_return fail(
            ErrorCode::conflict,
            fmt::format("the PgBouncer at {} reads {}, not {}: the command of {} must end in the "
                        "latter",
                        process.directory, reads, process.ini(), unit_of(process)));
    }
    const auto pid = process.console->peer();
    auto handle = pid ? os::PidHandle::open(*pid) : Result<os::PidHandle>(os::PidHandle{});
    if (!handle || !*handle || !handle->alive())
        co_return fail(ErrorCode::unavailable,
                       fmt::format("the process of the PgBouncer at {} cannot be watched: is it of "
                                   "another PID namespace?",
                                   process.directory));
    auto why = co_await pool.run(
        [path = process.log(), number = handle->pid()] { return deaf(path, number); });
    if (!why.empty())
        co_return fail(ErrorCode::unavailable,
                       fmt::format("PgBouncer {}; free the address or change pgbouncer.listen, "
                                   "then: systemctl restart {}",
                                   why, unit_of(process)));
    watch(process, *std::move(handle));
    co_return Status{};
}

std::unexpected<Error> PgBouncer::Impl::not_up(const Process& process, const Error& error,
                                               const std::string& log) const {
    const auto unit = unit_of(process);
    if (error.code == ErrorCode::denied)
        return fail(error.code, fmt::format("{}; the gateway and {} must run as one user (User=)",
                                            error.message, unit));
    if (error.code != ErrorCode::unavailable) return std::unexpected(error);
    return fail(error.code,
                fmt::format("no PgBouncer answers at {}: systemctl start {} (or see why it does "
                            "not run: systemctl status {}){}",
                            process.directory, unit, unit,
                            log.empty() ? "" : "; the last that it said: " + log));
}

void PgBouncer::Impl::settle(Process& process) {
    process.settled = true;
    for (const auto& database : options.databases) open_for_pause(process, database.name);
}

Task<Status> PgBouncer::Impl::wait_for_console(Process& process) {
    const Instant end = os::boottime_now() + comes_up_within;
    while (true) {
        // It is a moment between its start and its socket.
        constexpr Duration look_again = milliseconds(15);
        if (stopping || !process.watch) co_return fail(ErrorCode::cancelled, "given up");
        const pid_t pid = process.watch->pid();
        const bool ended = co_await process.watch->ended(look_again);
        if (ended) {
            auto why =
                co_await pool.run([path = process.log(), pid] { return last_words(path, pid); });
            co_return fail(ErrorCode::unavailable,
                           fmt::format("PgBouncer ended at once: {}",
                                       why.empty() ? "see " + process.log() : why));
        }
        const auto answer = co_await process.console->ask("SHOW VERSION", answers_within);
        if (answer) {
            process.version = parse_version(answer->value(0, "version"));
            auto why = co_await pool.run([path = process.log(), pid] { return deaf(path, pid); });
            if (!why.empty()) {
                (void)process.watch->send(SIGKILL);
                constexpr Duration dies_within = std::chrono::seconds(1);
                (void)co_await process.watch->ended(dies_within);
                co_return fail(ErrorCode::unavailable, "PgBouncer " + why +
                                                           "; it is tried again, or change "
                                                           "pgbouncer.listen");
            }
            settle(process);
            co_return Status{};
        }
        if (answer.error().code == ErrorCode::denied || os::boottime_now() > end)
            co_return fail(
                answer.error().code,
                answer.error().message + "; the gateway and PgBouncer must run as one user");
    }
}

Task<void> PgBouncer::Impl::start_again(Process& process) {
    // One that does not come up is tried once a second: its port may be free then. One that systemd
    // starts is looked for more often: that waits for 100 ms (RestartSec).
    const auto pause = is_ours() ? milliseconds(1000) : milliseconds(50);
    const auto self = shared_from_this();
    process.coming_up = true;
    while (!stopping) {
        const auto up = co_await come_up(process);
        if (up) {
            process.complained.clear();
            process.coming_up = false;
            on_start(up);
            co_return;
        }
        const auto& why = up.error().message;
        if (std::exchange(process.complained, why) != why) on_start(up);
        // One that lives and does not answer: a second one could not have its port. Its end is
        // waited for.
        if (is_ours() && process.watch && process.watch->alive()) break;
        process.watch.reset();
        again.expires_after(pause);
        co_await again.async_wait(quietly);
    }
    process.coming_up = false;
}

}  // namespace relevo::pgbouncer
