#include "postgres/kept_aside.h"

#include <fmt/format.h>

#include <filesystem>

#include "base/log.h"
#include "base/text.h"
#include "cluster/restoration.h"
#include "os/file.h"
#include "postgres/corruption.h"
#include "postgres/data_directory.h"
#include "postgres/half_made.h"
#include "postgres/voteless.h"

namespace relevo::postgres {
namespace {

namespace fs = std::filesystem;

std::string mark_path(const std::string& data_dir) { return path_beside(data_dir, ".in_place"); }

using State = AsideMark::State;

const char* word(State state) {
    switch (state) {
        case State::begun: return "begun";
        case State::done: return "done";
        case State::returning: return "returning";
    }
    return "begun";
}

std::optional<AsideMark> parse(const std::string& text) {
    const auto lines = split(text, '\n');
    if (lines.size() < 4 || lines[0].empty() || lines[3].empty()) return std::nullopt;
    for (const auto state : {State::begun, State::done, State::returning})
        if (lines[1] == word(state))
            return AsideMark{lines[0], state, lines[2] == "voteless", lines[3]};
    return std::nullopt;
}

Status write(const std::string& data_dir, const AsideMark& mark) {
    return os::write_file(mark_path(data_dir),
                          fmt::format("{}\n{}\n{}\n{}\n", mark.id, word(mark.state),
                                      mark.voteless ? "voteless" : "votes", mark.directory),
                          0600);
}

Result<bool> is_there(const std::string& path) {
    std::error_code error;
    const auto status = fs::symlink_status(path, error);
    if (status.type() == fs::file_type::none)
        return fail(ErrorCode::failed, fmt::format("looking at {}: {}", path, error.message()));
    return fs::exists(status);
}

// nullopt: there is none, or it makes no sense.
Result<std::optional<AsideMark>> read_mark(const std::string& data_dir) {
    const auto text = os::read_file(mark_path(data_dir));
    if (text) return parse(*text);
    if (text.error().code == ErrorCode::not_found) return std::nullopt;
    return std::unexpected(text.error());
}

// Renames are on the disk.
Status settled(const std::string& directory) {
    return os::sync_file_system(fs::path(directory).parent_path().string());
}

// What is known of damage goes with the data that it is about.
Status take_damage_along(const std::string& from, const std::string& to) {
    const auto mark = corruption_marker(from);
    RLV_TRY(const bool known, is_there(mark));
    if (!known) return clear_corruption(to);
    RLV_TRY(const auto text, os::read_file(mark));
    return os::write_file(corruption_marker(to), text, 0600);
}

// What stood in the old data's place goes: half made, or kept under another name.
Status clear_place(const std::string& data_dir, const AsideMark& mark) {
    RLV_TRY(const auto by, read_half_made(data_dir));
    if (by) {
        RLV_CHECK(wipe(data_dir));
    } else if (has_content(data_dir)) {
        RLV_TRY(const auto moved,
                move_aside(data_dir, cluster::aside_suffix(mark.id) + "_restored", Older::kept));
        log::warning("what was restored is kept in {}", moved.back().second);
    }
    RLV_CHECK(os::remove_tree(mark.directory));
    // Not before the place is free: it must never stand beside data that is whole.
    RLV_CHECK(clear_half_made(data_dir));
    return settled(mark.directory);
}

}  // namespace

std::optional<AsideMark> read_aside_mark(const std::string& data_dir) {
    return read_mark(data_dir).value_or(std::nullopt);
}

Status keep_aside(const std::string& data_dir, const std::string& id) {
    RLV_TRY(auto mark, read_mark(data_dir));
    if (mark && mark->id == id && mark->done()) return {};
    if (!mark || mark->id != id || mark->state == State::returning) {
        mark = AsideMark{id, State::begun, is_voteless(data_dir), real_data_dir(data_dir)};
        RLV_CHECK(write(data_dir, *mark));
    }
    const auto aside = mark->directory + cluster::aside_suffix(id);
    RLV_TRY(const bool done, is_there(aside));
    if (!done && has_content(data_dir)) {
        RLV_TRY(const auto by, read_half_made(data_dir));
        if (by) RLV_CHECK(mark_half_made(aside, *by));
        RLV_CHECK(take_damage_along(data_dir, aside));
        RLV_TRY([[maybe_unused]] const auto moved,
                move_aside(data_dir, cluster::aside_suffix(id), Older::kept));
        log::warning("the data from before the restore in place is kept in {}", aside);
    }
    RLV_CHECK(clear_half_made(data_dir));  // it went with what it tells of
    RLV_CHECK(ensure_directory(mark->directory));
    RLV_CHECK(settled(mark->directory));
    mark->state = State::done;
    return write(data_dir, *mark);
}

Status put_back_kept(const std::string& data_dir, const std::string& id) {
    RLV_TRY(auto mark, read_mark(data_dir));
    if (!mark || mark->id != id) return {};
    const auto suffix = cluster::aside_suffix(id);
    const auto aside = mark->directory + suffix;
    RLV_TRY(const bool waits, is_there(aside));
    if (mark->done() || (mark->state == State::begun && waits)) {
        RLV_CHECK(clear_place(data_dir, *mark));
        mark->state = State::returning;
        RLV_CHECK(write(data_dir, *mark));
    }
    if (mark->state == State::returning && waits) {
        RLV_CHECK(mark->voteless ? mark_voteless(data_dir) : clear_voteless(data_dir));
        RLV_TRY(const auto by, read_half_made(aside));
        if (by) RLV_CHECK(mark_half_made(data_dir, *by));
        RLV_CHECK(take_damage_along(aside, data_dir));
        RLV_TRY(const auto moved, moved_earlier(mark->directory, suffix));
        RLV_CHECK(put_back(moved));
        RLV_CHECK(clear_half_made(aside));
        RLV_CHECK(clear_corruption(aside));
        log::warning("the data from before the restore in place is back in {}", mark->directory);
    }
    // Before the directory's own rename, or after it came back.
    RLV_CHECK(put_links_back(mark->directory, suffix));
    RLV_CHECK(settled(mark->directory));
    return os::remove_file(mark_path(data_dir));
}

}  // namespace relevo::postgres
