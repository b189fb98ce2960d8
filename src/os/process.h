// Children and other processes. run() waits for a command and captures what it says;
// start_detached() is for a postmaster, which outlives us; PidWatch tells of any process's end
// within milliseconds (pidfd), child or not.
//
// Forking from many threads is safe here: between fork and exec only what POSIX allows
// (async-signal-safe) happens, and everything that needs memory is prepared before.
#pragma once

#include <sys/types.h>

#include <boost/asio/io_context.hpp>
#include <csignal>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "os/blocking.h"
#include "os/task.h"

namespace relevo::os {

struct Command {
    std::vector<std::string> arguments;  // [0] is the program: a path, or a name looked for in PATH
    // Changes to our own environment: a value sets, nullopt unsets. "NAME*" as a name unsets by
    // prefix.
    std::map<std::string, std::optional<std::string>> environment;
    std::string directory;  // to run in; empty: ours
    std::string input;      // its standard input
    std::size_t output_limit =
        1 << 20;          // kept of each stream, the last bytes; the rest is read and dropped
    Duration deadline{};  // afterwards the whole group is ended; 0: none
    std::function<void(std::string_view)>
        on_output;  // each piece of stdout or stderr as it comes, on the loop
    // Killed by the kernel when we die, however we die: for what writes into a data directory,
    // where our successor would meet it. Only the program itself, not what it has started.
    bool dies_with_us = false;
    // It and what it starts get processor and disk when nobody else wants them.
    bool gentle = false;
    // Asks the group to end when the coroutine is cancelled or the deadline passed: for a program
    // that takes SIGTERM for something slower.
    int end_signal = SIGTERM;
};

struct Finished {
    int exit_code = 0;       // meaningful when signal is 0
    int signal = 0;          // ended by this one
    bool timed_out = false;  // we ended it, since the deadline passed
    std::string out, err;
    bool ok() const { return exit_code == 0 && signal == 0 && !timed_out; }
};

// "exit code 1: last line of stderr", for a message.
std::string describe(const Finished& finished);

// Runs the command in a process group of its own. not_found/denied/failed: it could not be started.
// Whatever it ended with is a value. When the coroutine is cancelled: end_signal to the group,
// SIGKILL after 2 s, and the answer is the error `cancelled` once it is gone.
Task<Result<Finished>> run(Blocking& pool, Command command);

// The same for code that is in the thread pool already. Blocks; no on_output.
Result<Finished> run_blocking(const Command& command);

// Starts the command in a session of its own, orphaned at once (re-parented to init), with our
// standard output and error and /dev/null as input. Returns its pid; an exec that fails is an
// error. Blocks for milliseconds.
struct Detached {
    Command command;
    mode_t umask = 0077;
};
Result<pid_t> start_detached(const Detached& what);

// Holds a process by a pidfd: the number cannot come to mean another one.
class PidHandle {
public:
    PidHandle() = default;
    PidHandle(PidHandle&& other) noexcept;
    PidHandle& operator=(PidHandle&& other) noexcept;
    ~PidHandle();
    static Result<PidHandle> open(pid_t pid);  // not_found: no such process

    explicit operator bool() const { return fd_ >= 0; }
    pid_t pid() const { return pid_; }
    int fd() const { return fd_; }
    bool alive() const;  // false once it is a zombie or gone
    Status send(int signal_number) const;
    bool wait(Duration patience) const;  // blocks; true: it ended

private:
    pid_t pid_ = 0;
    int fd_ = -1;
};

// Calls back once on the loop when the process ends. Destroyed before: no call.
class PidWatch {
public:
    PidWatch(boost::asio::io_context& loop, PidHandle process, std::function<void(pid_t)> on_end);
    ~PidWatch();
    PidWatch(const PidWatch&) = delete;
    PidWatch& operator=(const PidWatch&) = delete;

    pid_t pid() const;
    bool alive() const;
    Status send(int signal_number) const;
    // Until it has ended (true) or `patience` (0: any time) passed (false). Several may wait.
    Task<bool> ended(Duration patience);

private:
    struct State;
    std::shared_ptr<State> state_;
};

// What /proc says of a process. No disk is touched.
struct ProcessInfo {
    pid_t pid = 0, parent = 0;
    std::string program;         // /proc/N/exe: full path, "" when it cannot be read
    std::string directory;       // /proc/N/cwd, "" when it cannot be read
    std::string title;           // command line, as one text
    char state = '?';            // R S D Z T ...
    std::int64_t started_s = 0;  // seconds since 1970
};
// The title is read out of the process's memory, and waits for one that hangs in the kernel with
// its memory map locked: who fences does without. family: pid, parent and state alone.
enum class Detail { all, no_memory, family };
std::optional<ProcessInfo> process_info(pid_t pid, Detail detail = Detail::all);
std::vector<ProcessInfo> all_processes(Detail detail = Detail::all);
std::vector<pid_t> children_of(pid_t pid);  // direct ones

// The process and all below it: stopped first, so that none is born meanwhile, then SIGKILL. Who
// they were; they may not have ended yet.
std::vector<pid_t> kill_tree(pid_t pid);

// The program in PATH, or as given when it holds a slash; nothing when there is none to execute.
std::optional<std::string> find_program(const std::string& name);

}  // namespace relevo::os
