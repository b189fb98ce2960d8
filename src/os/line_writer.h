// Lines to where writing may block: a pipe that nobody reads, a journal that is full, a disk that
// is dead. A thread of its own writes; whoever has something to say never waits.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/time.h"

namespace relevo::os {

class LineWriter {
public:
    using Out = std::function<void(std::string_view line)>;
    // out: called in the thread, with one line at a time. More than lines_max that wait: further
    // ones are dropped and counted, and the count is a line when there is room again.
    LineWriter(Out out, std::size_t lines_max);
    // Waits for nothing: what still hangs in `out` is left to itself. drain() first.
    ~LineWriter();
    LineWriter(const LineWriter&) = delete;
    LineWriter& operator=(const LineWriter&) = delete;

    void add(std::string line);  // by any thread
    // Until all was written (true) or `patience` has passed.
    bool drain(Duration patience);

private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace relevo::os
