// A copy that failed, or whose agent died, gives way to the data from before it.
#include <fmt/format.h>

#include "base/text.h"
#include "os/file.h"
#include "postgres/clone.h"
#include "postgres/clone_job.h"
#include "postgres/data_directory.h"
#include "postgres/half_made.h"
#include "postgres/kept_damaged.h"

namespace relevo::postgres {

namespace {

bool of_the_copy(const std::optional<std::string>& mark) {
    return is_a_copy(mark) || mark == by_return;
}

// What came back is as whole as it was.
Status mark_as_before(const std::string& dir, const std::string& suffix) {
    const std::string aside = path_beside(dir, suffix);
    RLV_TRY(const auto mark, read_half_made(dir));
    if (of_the_copy(mark)) {
        RLV_TRY(const auto before, read_half_made(aside));
        RLV_CHECK(before ? mark_half_made(dir, *before) : clear_half_made(dir));
    }
    RLV_CHECK(clear_half_made(aside));
    return end_keeping(dir, suffix);
}

// An empty place may have the old data's own mark already. No file has to be written for that.
Status mark_ahead(const std::string& dir, const std::string& suffix) {
    const std::string aside = path_beside(dir, suffix);
    RLV_TRY(const auto before, read_half_made(aside));
    if (before) return os::rename_path(half_made_marker(aside), half_made_marker(dir));
    RLV_TRY(const auto mark, read_half_made(dir));
    return of_the_copy(mark) ? clear_half_made(dir) : Status{};
}

// The mark comes first: old data that is back already must not be taken for what the copy left. A
// disk that the copy filled may have no room for it: then what the copy left goes first, which its
// own mark allows. Its links' targets stay, for they may be the old data's again.
Status mark_return(const std::string& dir, const std::string& suffix) {
    RLV_TRY(const auto mark, read_half_made(dir));
    if (mark && !of_the_copy(mark) && !has_content(dir)) return {};  // the old data's own
    auto marked = mark_half_made(dir, by_return);
    if (!marked && is_a_copy(mark)) {
        RLV_CHECK(wipe_itself(dir));
        marked = mark_half_made(dir, by_return);
    }
    if (marked || has_content(dir)) return marked;
    return mark_ahead(dir, suffix);
}

Taken taken_of(const std::string& suffix) {
    return suffix == set_aside_suffix ? Taken::left : Taken::refused;
}

}  // namespace

Status bring_back(const std::string& dir, const std::string& suffix, const Moved& moved) {
    // The data directory is the last one. Without it nothing may go.
    if (!os::exists(moved.back().second))
        return fail(ErrorCode::failed,
                    fmt::format("the old data is not in {} any more", moved.back().second));
    RLV_CHECK(mark_return(dir, suffix));
    RLV_CHECK(put_back(moved));
    RLV_CHECK(put_links_back(dir, suffix, taken_of(suffix)));
    return mark_as_before(dir, suffix);
}

Result<bool> undo_interrupted_clone(const ports::PostgresConfig& config) {
    const std::string& dir = config.data_dir;
    RLV_TRY(const auto kept, keeping(dir));
    const bool keeps = !kept.empty();
    const auto& suffix = keeps ? kept : set_aside_suffix;
    RLV_TRY(const Moved moved, moved_earlier(dir, suffix));
    RLV_TRY(const auto mark, read_half_made(dir));
    if (moved.empty()) {
        // Moving it aside may have broken off among its links' targets, or putting it back after
        // the last one of those that are elsewhere. A copy's own links are none of it.
        if (!is_a_copy(mark)) RLV_CHECK(put_links_back(dir, suffix, taken_of(suffix)));
        if (mark == by_return) RLV_CHECK(mark_as_before(dir, suffix));
        if (keeps) RLV_CHECK(end_keeping(dir, suffix));
        return mark == by_return;
    }
    RLV_TRY(const bool full, holds_content(dir));
    if (full && mark == by_bootstrap)
        return fail(ErrorCode::conflict,
                    fmt::format("a new cluster is half made in {}, and {} has data from before a "
                                "copy: move one of them away",
                                dir, moved.back().second));
    if (full && !of_the_copy(mark)) {
        // The copy was complete; only the old data was still to go, or to be kept.
        RLV_CHECK(keeps ? kept_for_good(dir, suffix) : remove_moved(moved));
        RLV_CHECK(clear_half_made(path_beside(dir, suffix)));
        return false;
    }
    RLV_CHECK(bring_back(dir, suffix, moved));
    return true;
}

}  // namespace relevo::postgres
