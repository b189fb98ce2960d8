#include "os/init.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <optional>

namespace relevo::os {
namespace {

// Everything that has ended. The exit code once the program is among it.
std::optional<int> reap(pid_t program) {
    std::optional<int> code;
    int status = 0;
    for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;)
        if (pid == program) code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return code;
}

}  // namespace

std::optional<int> init_if_first_process() {
    if (::getpid() != 1) return std::nullopt;
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    // Blocked before the fork: what comes between it and the first wait is not lost.
    ::sigprocmask(SIG_BLOCK, &all, &before);
    const pid_t program = ::fork();
    if (program <= 0) {
        ::sigprocmask(SIG_SETMASK, &before, nullptr);
        if (program == 0) return std::nullopt;
        return -1;
    }
    for (;;) {
        int number = 0;
        if (::sigwait(&all, &number) != 0) continue;
        if (number != SIGCHLD)
            ::kill(program, number);
        else if (const auto code = reap(program))
            return code;
    }
}

}  // namespace relevo::os
