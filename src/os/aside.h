// Calls that may hang for ever (a dead disk, a network file system whose server is gone), each in a
// thread of its own that nobody joins: it costs neither a place in a pool nor the program's end.
// One at a time. Unlike Blocking::run_within, what comes back late touches no loop any more.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>

#include "base/time.h"
#include "os/task.h"
#include "os/watch.h"

namespace relevo::os {

class Aside {
public:
    // work() must own all that it uses. Nothing: it has not come back within `patience`, or the one
    // before it has not to this day (then this one was not begun), or there is no thread to be had.
    // One caller at a time.
    template <class Work>
    Task<std::optional<std::invoke_result_t<Work>>> run(Duration patience, Work work) {
        using Value = std::invoke_result_t<Work>;
        if (running_) {
            const bool came_back = co_await wait_fd(running_->fd, Direction::read, patience);
            if (!came_back) co_return std::nullopt;
            running_.reset();
        }
        auto slot = std::make_shared<Slot<Value>>();
        if (slot->fd < 0) co_return std::nullopt;
        try {
            std::thread([slot, work = std::move(work)]() mutable {
                slot->value.emplace(work());
                slot->tell();
            }).detach();
        } catch (const std::system_error&) {
            co_return std::nullopt;
        }
        running_ = slot;
        auto value = co_await rest<Value>(patience);
        co_return value;
    }

    // Goes on waiting for the work that run() left behind, and brings what it returns, which is a
    // Value. Nothing: it has not come back within `patience` either, or there is none.
    template <class Value>
    Task<std::optional<Value>> rest(Duration patience) {
        if (!running_) co_return std::nullopt;
        const auto slot = std::static_pointer_cast<Slot<Value>>(running_);
        const bool came_back = co_await wait_fd(slot->fd, Direction::read, patience);
        if (!came_back) co_return std::nullopt;
        slot->hear();
        running_.reset();
        co_return std::move(slot->value);
    }

    // A work is under way that nobody has heard the end of.
    bool hangs() const { return running_ != nullptr; }

private:
    // Shared with the thread, and kept by whoever is the last.
    struct Ended {
        int fd = ::eventfd(0, EFD_CLOEXEC);
        Ended() = default;
        Ended(const Ended&) = delete;
        Ended& operator=(const Ended&) = delete;
        virtual ~Ended() {
            if (fd >= 0) ::close(fd);
        }
        void tell() const {
            const std::uint64_t one = 1;
            [[maybe_unused]] const auto told = ::write(fd, &one, sizeof one);
        }
        void hear() const {
            std::uint64_t count = 0;
            [[maybe_unused]] const auto heard = ::read(fd, &count, sizeof count);
        }
    };
    template <class Value>
    struct Slot : Ended {
        std::optional<Value> value;
    };

    std::shared_ptr<Ended> running_;
};

}  // namespace relevo::os
