#include "postgres/timeline_files.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "base/text.h"
#include "os/file.h"

namespace relevo::postgres {
namespace {

// Every promotion of a cluster takes one; more at once is a key that somebody wrote by hand.
constexpr cluster::Timeline most_placeholders = 10'000;

// No line but comments; also what a crash left of one.
bool is_placeholder(const std::filesystem::path& file) {
    std::ifstream in(file);
    for (std::string line; std::getline(in, line);) {
        const auto text = trim(line);
        if (!text.empty() && text.front() != '#') return false;
    }
    return in.eof();
}

std::optional<cluster::Timeline> history_number(const std::string& name) {
    constexpr std::string_view suffix = ".history";
    if (name.size() != 8 + suffix.size() || !name.ends_with(suffix)) return std::nullopt;
    cluster::Timeline number = 0;
    const auto read = std::from_chars(name.data(), name.data() + 8, number, 16);
    if (read.ec != std::errc{} || read.ptr != name.data() + 8) return std::nullopt;
    return number;
}

}  // namespace

Status keep_timelines_free(const std::string& data_dir, cluster::Timeline from,
                           cluster::Timeline to) {
    if (to <= from)
        return fail(ErrorCode::conflict,
                    fmt::format("cannot begin timeline {}: this member is on {}", to, from));
    if (to - from > most_placeholders)
        return fail(
            ErrorCode::invalid,
            fmt::format("cannot begin timeline {} from {}: the timeline key in the DCS cannot "
                        "be right, correct it",
                        to, from));
    const auto path = [&](cluster::Timeline timeline) {
        return fmt::format("{}/pg_wal/{:08X}.history", data_dir, timeline);
    };
    std::error_code error;
    if (std::filesystem::exists(path(to), error))
        return fail(ErrorCode::conflict,
                    fmt::format("timeline {} was begun here already: another one is needed", to));
    for (cluster::Timeline between = from + 1; !error && between < to; ++between) {
        if (std::filesystem::exists(path(between), error) || error) continue;
        RLV_CHECK(os::write_file(
            path(between),
            fmt::format("# timeline {} belongs to another member's promotion\n", between), 0600));
    }
    if (error)
        return fail(ErrorCode::failed,
                    fmt::format("cannot look into {}/pg_wal: {}", data_dir, error.message()));
    return {};
}

Status remove_idle_placeholders(const std::string& data_dir) {
    std::error_code error;
    std::vector<std::pair<cluster::Timeline, std::string>> placeholders;
    cluster::Timeline newest_real = 1;
    for (std::filesystem::directory_iterator at(data_dir + "/pg_wal", error), end;
         !error && at != end; at.increment(error)) {
        const auto number = history_number(at->path().filename().string());
        if (!number) continue;
        if (is_placeholder(at->path()))
            placeholders.emplace_back(*number, at->path().string());
        else
            newest_real = std::max(newest_real, *number);
    }
    if (error)
        return fail(ErrorCode::failed,
                    fmt::format("cannot look into {}/pg_wal: {}", data_dir, error.message()));
    for (const auto& [number, path] : placeholders)
        if (number > newest_real) RLV_CHECK(os::remove_file(path));
    return {};
}

}  // namespace relevo::postgres
