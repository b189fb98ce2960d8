// Tells when a file in a directory is written (inotify), and waits for a descriptor: with a time
// limit, on the loop. Where inotify is not to be had the wait simply lasts its whole time: callers
// look again then.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "base/time.h"
#include "os/blocking.h"
#include "os/task.h"

namespace relevo::os {

class FileWatch {
public:
    // Watches files in `directory` (closed after writing, renamed into it, made, removed). The
    // directory is only touched in the pool. Never null.
    static Task<std::unique_ptr<FileWatch>> open(Blocking& pool, std::string directory);
    ~FileWatch();
    FileWatch(const FileWatch&) = delete;
    FileWatch& operator=(const FileWatch&) = delete;

    // Returns at the next change of the file `name` since the last call, or when patience is over
    // (false).
    Task<bool> changed(std::string name, Duration patience);
    // Makes a waiting changed(), or else the next one, return false.
    void interrupt();
    // Whether changes are told at all; otherwise ask again and again.
    bool works() const;

private:
    struct State;
    explicit FileWatch(std::shared_ptr<State> state) : state_(std::move(state)) {}
    std::shared_ptr<State> state_;
};

// Until fd can be read or written, or patience is over (false). fd stays the caller's.
enum class Direction { read, write };
Task<bool> wait_fd(int fd, Direction direction, Duration patience);

}  // namespace relevo::os
