// The fork itself, for run() and start_detached(). Private to os.
#pragma once

#include <sys/types.h>

#include "base/result.h"
#include "os/process.h"

namespace relevo::os {

struct Child {
    PidHandle process;
    int input = -1, output = -1,
        errors = -1;  // our ends, non-blocking, close-on-exec; the taker closes them
    Child() = default;
    Child(Child&& other) noexcept;
    Child& operator=(Child&& other) noexcept = delete;
    ~Child();  // closes what was not taken; the process is left alone
};

// In a process group of its own. The caller reaps it.
Result<Child> spawn(const Command& command);

// What waitpid says, once the pidfd says that it ended.
void reap(pid_t pid, Finished& finished);

// Keeps the last bytes.
void append_output(std::string& kept, std::string_view piece, std::size_t limit);

}  // namespace relevo::os
