#include "base/log.h"

#include <atomic>
#include <cstdio>
#include <mutex>
#include <utility>

namespace relevo::log {
namespace {

std::atomic<Level> threshold{Level::info};
std::mutex sink_mutex;
Sink& sink() {
    static Sink held;
    return held;
}

}  // namespace

const char* to_string(Level level) {
    switch (level) {
        case Level::debug: return "DEBUG";
        case Level::info: return "INFO";
        case Level::warning: return "WARNING";
        case Level::error: return "ERROR";
        case Level::critical: return "CRITICAL";
    }
    return "?";
}

void set_sink(Sink next) {
    const std::lock_guard hold(sink_mutex);
    sink() = std::move(next);
}

void set_level(Level level) { threshold = level; }
bool enabled(Level level) { return level >= threshold; }

void write(Level level, std::string_view line) {
    const std::lock_guard hold(sink_mutex);
    if (sink()) {
        sink()(level, line);
    } else {
        std::fprintf(stderr, "%s: %.*s\n", to_string(level), static_cast<int>(line.size()),
                     line.data());
    }
}

}  // namespace relevo::log
