#include "postgres/timeline_files.h"

#include <fmt/core.h>

#include <filesystem>
#include <system_error>

#include "os/file.h"

namespace relevo::postgres {
namespace {

// Every promotion of a cluster takes one; more at once is a key that somebody wrote by hand.
constexpr cluster::Timeline most_placeholders = 10'000;

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

}  // namespace relevo::postgres
