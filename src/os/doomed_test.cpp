#include "os/doomed.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace relevo::os {
namespace {

TEST(Doomed, NobodyIsWhoLivesOrHasEnded) {
    EXPECT_FALSE(doomed(::getpid()));
    const pid_t child = ::fork();
    if (child == 0) {
        ::pause();
        ::_exit(0);
    }
    ASSERT_GT(child, 0);
    EXPECT_FALSE(doomed(child)) << "it sleeps, but was not killed";
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    siginfo_t info{};
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
    EXPECT_FALSE(doomed(child)) << "a zombie";
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
    EXPECT_FALSE(doomed(child));
}

// One who is cannot be made without a disk that hangs: tests/e2e/disk_scenarios.py freezes one.

}  // namespace
}  // namespace relevo::os
