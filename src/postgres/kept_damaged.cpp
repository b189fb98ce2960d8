#include "postgres/kept_damaged.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "base/log.h"
#include "base/text.h"
#include "cluster/rebuild.h"
#include "os/disk_space.h"
#include "os/file.h"
#include "postgres/corruption.h"
#include "postgres/data_directory.h"

namespace relevo::postgres {
namespace {

namespace fs = std::filesystem;

std::string mark_path(const std::string& data_dir) { return path_beside(data_dir, ".rebuild"); }

constexpr std::uint64_t mebibyte = 1ULL << 20U;

}  // namespace

Status begin_keeping(const std::string& data_dir, const std::string& suffix) {
    if (!cluster::is_damaged_suffix(suffix))
        return fail(ErrorCode::invalid, "no name for a directory that is kept: " + suffix);
    return os::write_file(mark_path(data_dir), suffix + "\n", 0600);
}

Result<std::string> keeping(const std::string& data_dir) {
    const auto text = os::read_file(mark_path(data_dir));
    if (!text && text.error().code == ErrorCode::not_found) return std::string();
    if (!text) return std::unexpected(text.error());
    std::string suffix(trim(*text));
    return cluster::is_damaged_suffix(suffix) ? suffix : std::string();
}

namespace {

Status take_mark_along(const std::string& from, const std::string& to) {
    const auto text = os::read_file(corruption_marker(from));
    if (!text && text.error().code == ErrorCode::not_found) return {};
    if (!text) return std::unexpected(text.error());
    RLV_CHECK(os::write_file(corruption_marker(to), *text, 0600));
    return clear_corruption(from);
}

}  // namespace

Status kept_for_good(const std::string& data_dir, const std::string& suffix) {
    const auto kept = real_data_dir(data_dir) + suffix;
    RLV_CHECK(take_mark_along(data_dir, kept));
    log::warning(
        "the old, damaged data is kept in {}: remove it when nothing of it is wanted any "
        "more",
        kept);
    return os::remove_file(mark_path(data_dir));
}

Status end_keeping(const std::string& data_dir, const std::string& suffix) {
    RLV_CHECK(take_mark_along(real_data_dir(data_dir) + suffix, data_dir));
    return os::remove_file(mark_path(data_dir));
}

std::vector<std::string> kept_damaged(const std::string& data_dir) {
    const fs::path directory = real_data_dir(data_dir);
    const std::string name = directory.filename().string();
    std::vector<std::string> kept;
    const auto names = os::list_directory(directory.parent_path().string());
    if (!names) return kept;
    for (const auto& one : *names)
        if (one.starts_with(name) && cluster::is_damaged_suffix(one.substr(name.size())))
            kept.push_back((directory.parent_path() / one).string());
    std::ranges::sort(kept);
    return kept;
}

Status check_room_for_two(const std::string& data_dir, const cluster::DiskSettings& settings) {
    if (const auto kept = kept_damaged(data_dir); !kept.empty())
        return fail(ErrorCode::conflict,
                    fmt::format("{} is still there from an earlier time: remove it when nothing of "
                                "it is wanted any more",
                                kept.front()));
    struct Disk {
        os::DiskSpace space;
        std::uint64_t needed = 0;
        std::string path;
    };
    std::map<std::uint64_t, Disk> disks;
    for (const auto& [path, bytes] : directory_sizes(data_dir)) {
        RLV_TRY(const auto space, os::disk_space(path));
        auto& disk = disks[space.device];
        if (disk.path.empty()) disk.path = path;
        disk.space = space;
        disk.needed += bytes;
    }
    for (const auto& [device, disk] : disks) {
        const auto reserve = cluster::limits(settings, disk.space.total).hold;
        if (disk.space.free >= disk.needed + reserve) continue;
        return fail(ErrorCode::failed,
                    fmt::format("there is no room for two copies: {} has {} MiB free, and {} MiB "
                                "are needed beside {} MiB that stay free (disk.hold)",
                                disk.path, disk.space.free / mebibyte, disk.needed / mebibyte,
                                reserve / mebibyte));
    }
    return {};
}

}  // namespace relevo::postgres
