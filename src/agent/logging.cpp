#include "agent/logging.h"

#include <fmt/chrono.h>
#include <fmt/core.h>
#include <poll.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/assert.h"
#include "os/line_writer.h"

namespace relevo::agent {
namespace {

std::string asctime(std::chrono::system_clock::time_point now, const std::string& dateformat) {
    const auto seconds = std::chrono::system_clock::to_time_t(now);
    std::tm local{};
    localtime_r(&seconds, &local);
    if (!dateformat.empty()) {
        char text[128];
        const auto length = std::strftime(text, sizeof text, dateformat.c_str(), &local);
        return std::string(text, length);
    }
    const auto ms =
        std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() %
        1000;
    return fmt::format("{:%Y-%m-%d %H:%M:%S},{:03}", local, ms);
}

// Python's %(name)s fields; those that only make sense in Python's program say "-".
std::string field(std::string_view name, log::Level level, std::string_view line,
                  const config::LogConfig& config, std::chrono::system_clock::time_point now) {
    if (name == "asctime") return asctime(now, config.dateformat);
    if (name == "levelname") return log::to_string(level);
    if (name == "message") return std::string(line);
    if (name == "process") return std::to_string(getpid());
    if (name == "name" || name == "processName") return "relevo";
    if (name == "created")
        return fmt::format("{:.6f}", std::chrono::duration<double>(now.time_since_epoch()).count());
    return "-";
}

std::string plain(const config::LogConfig& config, log::Level level, std::string_view line) {
    const auto now = std::chrono::system_clock::now();
    std::string out;
    const std::string& format = config.format;
    for (std::size_t i = 0; i < format.size(); ++i) {
        const auto close = format[i] == '%' && i + 1 < format.size() && format[i + 1] == '('
                               ? format.find(')', i)
                               : std::string::npos;
        if (close == std::string::npos) {
            out += format[i];
            continue;
        }
        out +=
            field(std::string_view(format).substr(i + 2, close - i - 2), level, line, config, now);
        i = close + 1;  // the conversion letter; widths such as %(levelname)-8s end at it
        while (i < format.size() && !std::isalpha(static_cast<unsigned char>(format[i]))) ++i;
    }
    return out;
}

std::string json(const config::LogConfig& config, log::Level level, std::string_view line) {
    const auto now = std::chrono::system_clock::now();
    nlohmann::ordered_json out;
    for (const auto& [name, shown] : config.json_fields)
        out[shown] = field(name, level, line, config, now);
    if (config.json_fields.empty())
        for (const char* name : {"asctime", "levelname", "message"})
            out[name] = field(name, level, line, config, now);
    for (const auto& [name, value] : config.static_fields) out[name] = value;
    return out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

namespace {

// The log's sink is the one global.
std::shared_ptr<os::LineWriter>& line_writer() {
    static std::shared_ptr<os::LineWriter> writer;
    return writer;
}

// Of an assertion that fails: on the terminal, pipe or socket when that takes it at once.
void say_last_words(const char* text, std::size_t length) {
    pollfd errors{STDERR_FILENO, POLLOUT, 0};
    if (::poll(&errors, 1, 0) != 1) return;
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text, length);
}

}  // namespace

void drain_logging(Duration patience) {
    if (line_writer()) line_writer()->drain(patience);
}

Status set_up_logging(const config::LogConfig& config) {
    std::shared_ptr<spdlog::sinks::sink> out;
    try {
        if (config.dir.empty()) {
            out = std::make_shared<spdlog::sinks::stderr_sink_mt>();
        } else {
            const std::string path = config.dir + "/patroni.log";
            out = std::make_shared<spdlog::sinks::rotating_file_sink_mt>(
                path, static_cast<std::size_t>(config.file_size_bytes),
                static_cast<std::size_t>(config.file_num));
            if (config.mode) chmod(path.c_str(), static_cast<mode_t>(*config.mode));
        }
    } catch (const spdlog::spdlog_ex& e) {
        return fail(ErrorCode::failed, fmt::format("log.dir {}: {}", config.dir, e.what()));
    }
    auto logger = std::make_shared<spdlog::logger>("relevo", out);
    logger->set_pattern("%v");
    logger->set_level(spdlog::level::trace);
    logger->flush_on(spdlog::level::trace);
    log::set_level(config.level);
    // Nobody whose lines are logged waits for whoever reads them, nor for the disk.
    auto writer = std::make_shared<os::LineWriter>(
        [logger](std::string_view line) { logger->info("{}", line); },
        static_cast<std::size_t>(config.max_queue_size));
    log::set_sink([writer, config](log::Level level, std::string_view line) {
        writer->add(config.type == "json" ? json(config, level, line) : plain(config, level, line));
    });
    line_writer() = writer;
    set_last_words(say_last_words);
    return {};
}

}  // namespace relevo::agent
