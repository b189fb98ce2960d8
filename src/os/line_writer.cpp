#include "os/line_writer.h"

#include <fmt/core.h>

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

namespace relevo::os {

struct LineWriter::State {
    Out out;
    std::size_t lines_max;
    std::mutex mutex;
    std::condition_variable more, idle;
    std::deque<std::string> lines;
    std::size_t dropped = 0;
    bool writing = false, over = false;

    void run() {
        std::unique_lock lock(mutex);
        for (;;) {
            more.wait(lock, [this] { return over || !lines.empty(); });
            if (lines.empty()) return;
            auto line = std::move(lines.front());
            lines.pop_front();
            const auto lost = lines.empty() ? std::exchange(dropped, 0) : 0;
            writing = true;
            lock.unlock();
            out(line);
            if (lost > 0)
                out(fmt::format("{} lines of the log were dropped: nobody took them", lost));
            lock.lock();
            writing = false;
            if (lines.empty()) idle.notify_all();
        }
    }
};

LineWriter::LineWriter(Out out, std::size_t lines_max) : state_(std::make_shared<State>()) {
    state_->out = std::move(out);
    state_->lines_max = lines_max;
    // Signals are for the loop's thread.
    sigset_t all, before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    std::thread([state = state_] { state->run(); }).detach();
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

LineWriter::~LineWriter() {
    const std::lock_guard hold(state_->mutex);
    state_->over = true;
    state_->more.notify_all();
}

void LineWriter::add(std::string line) {
    const std::lock_guard hold(state_->mutex);
    if (state_->lines.size() >= state_->lines_max) {
        ++state_->dropped;
        return;
    }
    state_->lines.push_back(std::move(line));
    state_->more.notify_one();
}

bool LineWriter::drain(Duration patience) {
    std::unique_lock lock(state_->mutex);
    return state_->idle.wait_for(lock, patience,
                                 [this] { return state_->lines.empty() && !state_->writing; });
}

}  // namespace relevo::os
