// The logging front: rooms write lines, bin/ decides where they go. One thread or many may write.
// Secrets never come here (needs.md; the redaction test greps for them).
#pragma once

#include <fmt/core.h>

#include <functional>
#include <string_view>

namespace relevo::log {

enum class Level { debug, info, warning, error, critical };

const char* to_string(Level level);  // Patroni's words: DEBUG INFO WARNING ERROR CRITICAL

// The sink gets every line at or above the level. Before one is set, lines go to stderr.
using Sink = std::function<void(Level, std::string_view)>;
void set_sink(Sink sink);
void set_level(Level level);
bool enabled(Level level);
void write(Level level, std::string_view line);

template <class... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
    if (enabled(Level::debug))
        write(Level::debug, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
    if (enabled(Level::info)) write(Level::info, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
    if (enabled(Level::warning))
        write(Level::warning, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
    if (enabled(Level::error))
        write(Level::error, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace relevo::log
