#include "os/spawn.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <utility>

#include "base/text.h"
#include "os/priority.h"

namespace relevo::os {

namespace {

// All that the child needs, made before the fork: afterwards no memory may be asked for.
struct Prepared {
    std::string program, directory;
    std::vector<std::string> arguments, environment;
    std::vector<char*> argv, envp;
};

std::vector<std::string> changed_environment(const Command& command) {
    const auto matches = [&](std::string_view name) {
        return std::ranges::any_of(command.environment, [&](const auto& change) {
            const std::string_view key = change.first;
            return key.ends_with('*') ? name.starts_with(key.substr(0, key.size() - 1))
                                      : key == name;
        });
    };
    std::vector<std::string> result;
    for (char** entry = ::environ; entry && *entry; ++entry) {
        const std::string_view text = *entry;
        if (!matches(text.substr(0, text.find('=')))) result.emplace_back(text);
    }
    for (const auto& [name, value] : command.environment)
        if (value) result.push_back(name + "=" + *value);
    return result;
}

Result<Prepared> prepare(const Command& command) {
    if (command.arguments.empty()) return fail(ErrorCode::invalid, "an empty command");
    const auto program = find_program(command.arguments[0]);
    if (!program)
        return fail(ErrorCode::not_found,
                    fmt::format("no program {} to execute", command.arguments[0]));
    Prepared made{*program, command.directory, command.arguments, changed_environment(command), {},
                  {}};
    return made;
}

// Pointers into the strings; to be called where the value stays.
void point(Prepared& made) {
    for (auto& text : made.arguments) made.argv.push_back(text.data());
    for (auto& text : made.environment) made.envp.push_back(text.data());
    made.argv.push_back(nullptr);
    made.envp.push_back(nullptr);
}

struct Pipe {
    int read = -1, write = -1;
    Pipe() {
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) == 0) read = ends[0], write = ends[1];
    }
    ~Pipe() {
        if (read >= 0) ::close(read);
        if (write >= 0) ::close(write);
    }
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;
    void close_write() { ::close(std::exchange(write, -1)); }
};

// While this stands, no signal handler of ours can run, in the child either.
class SignalsBlocked {
public:
    SignalsBlocked() {
        sigset_t all;
        ::sigfillset(&all);
        ::pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    SignalsBlocked(const SignalsBlocked&) = delete;
    SignalsBlocked& operator=(const SignalsBlocked&) = delete;

private:
    sigset_t before_{};
};

struct Report {  // what comes back through the pipe
    enum Kind : int { pid, error } kind;
    int value;
};

// From here on: async-signal-safe calls only.

void child_report(int fd, Report report) {
    [[maybe_unused]] const auto written = ::write(fd, &report, sizeof report);
}

// The signal comes when the thread that forked ends, which for those of a pool is our own end.
// Whoever died before this line is no longer our parent.
void die_with(pid_t parent) {
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || ::getppid() != parent) ::_exit(127);
}

// Inherited by all that it starts. A kernel that does not know one of them goes on without.
void be_gentle() {
    constexpr int least = 19, who_process = 1, idle = 3, class_shift = 13;  // ioprio_set(2)
    (void)::setpriority(PRIO_PROCESS, 0, least);
    (void)::syscall(SYS_ioprio_set, who_process, 0, idle << class_shift);
}

// What is protected from the kernel's memory killer is the agent, not what it runs.
void be_killable() {
    const int file = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (file < 0) return;
    [[maybe_unused]] const auto written = ::write(file, "0", 1);
    ::close(file);
}

[[noreturn]] void child_exec(const Prepared& made, int input, int output, int errors, int report) {
    struct sigaction standard{};
    standard.sa_handler = SIG_DFL;
    for (int number = 1; number < NSIG; ++number) ::sigaction(number, &standard, nullptr);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    bool ok = ::dup2(input, 0) >= 0;
    if (output >= 0) ok = ok && ::dup2(output, 1) >= 0;
    if (errors >= 0) ok = ok && ::dup2(errors, 2) >= 0;
    // All others close with the exec, whoever forgot to say so.
    ::syscall(SYS_close_range, 3U, ~0U, 1U << 2 /* CLOSE_RANGE_CLOEXEC */);
    if (ok && !made.directory.empty()) ok = ::chdir(made.directory.c_str()) == 0;
    if (ok) ::execve(made.program.c_str(), made.argv.data(), made.envp.data());
    child_report(report, {Report::error, errno});
    ::_exit(127);
}

// End of the async-signal-safe part.

std::optional<Report> next_report(int fd) {
    Report report{};
    for (;;) {
        const auto got = ::read(fd, &report, sizeof report);
        if (got < 0 && errno == EINTR) continue;
        if (got != static_cast<ssize_t>(sizeof report)) return std::nullopt;
        return report;
    }
}

void wait_for(pid_t pid) {
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
}

std::unexpected<Error> exec_error(const Command& command, int error) {
    const auto code = error == ENOENT   ? ErrorCode::not_found
                      : error == EACCES ? ErrorCode::denied
                                        : ErrorCode::failed;
    return fail(code,
                fmt::format("cannot execute {}: {}", command.arguments[0], std::strerror(error)));
}

std::unexpected<Error> no_resources(const char* what) {
    return fail(ErrorCode::failed, fmt::format("{}: {}", what, std::strerror(errno)));
}

void set_nonblocking(int fd) { ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK); }

}  // namespace

Child::Child(Child&& other) noexcept
    : process(std::move(other.process)),
      input(std::exchange(other.input, -1)),
      output(std::exchange(other.output, -1)),
      errors(std::exchange(other.errors, -1)) {}

Child::~Child() {
    for (const int fd : {input, output, errors})
        if (fd >= 0) ::close(fd);
}

Result<Child> spawn(const Command& command) {
    RLV_TRY(auto made, prepare(command));
    point(made);
    // A child that does not read its input must not end us.
    static std::once_flag once;
    std::call_once(once, [] { ::signal(SIGPIPE, SIG_IGN); });
    Pipe input, output, errors, report;
    if (input.write < 0 || output.write < 0 || errors.write < 0 || report.write < 0)
        return no_resources("cannot make a pipe");
    pid_t pid = 0;
    {
        const bool is_protected = oom_score_adjustment() < 0;
        const SignalsBlocked blocked;
        const pid_t self = ::getpid();
        pid = ::_Fork();  // without the atfork handlers of the libraries: we only exec
        if (pid == 0) {
            ::setpgid(0, 0);
            if (is_protected) be_killable();
            if (command.dies_with_us) die_with(self);
            if (command.gentle) be_gentle();
            child_exec(made, input.read, output.write, errors.write, report.write);
        }
    }
    if (pid < 0) return no_resources("cannot fork");
    ::setpgid(pid, pid);  // also here: whoever is first, the group is there before we use it
    report.close_write();
    if (const auto bad = next_report(report.read)) {
        wait_for(pid);
        return exec_error(command, bad->value);
    }
    Child child;
    auto handle = PidHandle::open(pid);
    if (!handle) {
        ::kill(-pid, SIGKILL);
        wait_for(pid);
        return std::unexpected(handle.error());
    }
    child.process = *std::move(handle);
    child.input = std::exchange(input.write, -1);
    child.output = std::exchange(output.read, -1);
    child.errors = std::exchange(errors.read, -1);
    for (const int fd : {child.input, child.output, child.errors}) set_nonblocking(fd);
    return child;
}

Result<pid_t> start_detached(const Detached& what) {
    RLV_TRY(auto made, prepare(what.command));
    point(made);
    Pipe report;
    const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (report.write < 0 || null < 0) {
        if (null >= 0) ::close(null);
        return no_resources("cannot make a pipe");
    }
    pid_t middle = 0;
    {
        const SignalsBlocked blocked;
        middle = ::_Fork();
        if (middle == 0) {
            // A session of its own, and no parent of ours: it lives on when we are restarted.
            const pid_t inner = ::_Fork();
            if (inner == 0) {
                ::setsid();
                ::umask(what.umask);
                child_exec(made, null, -1, -1, report.write);
            }
            child_report(report.write,
                         inner > 0 ? Report{Report::pid, inner} : Report{Report::error, errno});
            ::_exit(0);
        }
    }
    ::close(null);
    if (middle < 0) return no_resources("cannot fork");
    report.close_write();
    wait_for(middle);
    pid_t pid = 0;
    int error = 0;
    while (const auto got = next_report(report.read))
        (got->kind == Report::pid ? pid : error) = got->value;
    if (error != 0) return exec_error(what.command, error);
    if (pid <= 0)
        return fail(ErrorCode::failed, "the process between us and the new one was killed");
    return pid;
}

void reap(pid_t pid, Finished& finished) {
    int status = 0;
    pid_t got = 0;
    while ((got = ::waitpid(pid, &status, 0)) < 0 && errno == EINTR) {
    }
    if (got != pid) return;
    if (WIFSIGNALED(status)) finished.signal = WTERMSIG(status);
    if (WIFEXITED(status)) finished.exit_code = WEXITSTATUS(status);
}

void append_output(std::string& kept, std::string_view piece, std::size_t limit) {
    kept.append(piece);
    if (kept.size() > 2 * limit) kept.erase(0, kept.size() - limit);
}

namespace {

using SteadyClock = std::chrono::steady_clock;

// Reads what is there; false at the end of the stream.
bool drain(int fd, std::string& kept, std::size_t limit) {
    std::array<char, 16384> buffer;
    for (;;) {
        const auto got = ::read(fd, buffer.data(), buffer.size());
        if (got > 0) {
            append_output(kept, {buffer.data(), static_cast<std::size_t>(got)}, limit);
        } else if (got < 0 && errno == EINTR) {
            continue;
        } else {
            return got < 0 && errno == EAGAIN;
        }
    }
}

void feed(Child& child, std::string_view& rest) {
    if (!rest.empty()) {
        const auto written = ::write(child.input, rest.data(), rest.size());
        if (written > 0) rest.remove_prefix(static_cast<std::size_t>(written));
        if (written < 0 && errno != EAGAIN && errno != EINTR) rest = {};
    }
    if (rest.empty()) ::close(std::exchange(child.input, -1));
}

}  // namespace

Result<Finished> run_blocking(const Command& command) {
    RLV_TRY(auto child, spawn(command));
    Finished finished;
    std::string_view rest = command.input;
    const auto until = SteadyClock::now() + std::chrono::nanoseconds(command.deadline);
    feed(child, rest);
    bool ended = false;
    while (!ended) {
        std::array<pollfd, 4> items{{{child.process.fd(), POLLIN, 0},
                                     {child.output, POLLIN, 0},
                                     {child.errors, POLLIN, 0},
                                     {child.input, POLLOUT, 0}}};
        int wait_ms = -1;
        if (command.deadline > Duration{}) {
            const auto left =
                std::chrono::ceil<std::chrono::milliseconds>(until - SteadyClock::now());
            wait_ms = static_cast<int>(std::max<std::int64_t>(0, left.count()));
        }
        const int ready = ::poll(items.data(), items.size(), wait_ms);
        if (ready == 0) {
            finished.timed_out = true;
            ::kill(-child.process.pid(), SIGKILL);
            ended = child.process.wait(std::chrono::seconds(5));
            break;
        }
        if (items[1].revents != 0 && !drain(child.output, finished.out, command.output_limit))
            ::close(std::exchange(child.output, -1));
        if (items[2].revents != 0 && !drain(child.errors, finished.err, command.output_limit))
            ::close(std::exchange(child.errors, -1));
        if (items[3].revents != 0) feed(child, rest);
        ended = items[0].revents != 0;
    }
    if (child.output >= 0) drain(child.output, finished.out, command.output_limit);
    if (child.errors >= 0) drain(child.errors, finished.err, command.output_limit);
    if (ended) reap(child.process.pid(), finished);
    return finished;
}

}  // namespace relevo::os
