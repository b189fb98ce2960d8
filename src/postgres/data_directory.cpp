#include "postgres/data_directory.h"

#include "os/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <ranges>
#include <system_error>

#include "base/log.h"

namespace relevo::postgres {

namespace fs = std::filesystem;

namespace {

fs::path resolved(const std::string& data_dir) {
    std::error_code error;
    const fs::path real = fs::canonical(data_dir, error);
    fs::path path = error ? fs::path(data_dir) : real;
    return path.has_filename() ? path : path.parent_path();  // no '/' at the end
}

// What pg_wal and the tablespaces point to.
std::vector<fs::path> link_targets(const fs::path& data_dir) {
    std::vector<fs::path> targets;
    std::error_code error;
    const auto take = [&](const fs::path& link) {
        std::error_code one;
        if (!fs::is_symlink(link, one)) return;
        const fs::path target = fs::canonical(link, one);
        if (!one && fs::is_directory(target, one)) targets.push_back(target);
    };
    take(data_dir / "pg_wal");
    for (auto at = fs::directory_iterator(data_dir / "pg_tblspc", error);
         !error && at != fs::directory_iterator(); at.increment(error))
        take(at->path());
    return targets;
}

std::unexpected<Error> cannot(std::string_view what, const fs::path& path,
                              const std::error_code& error) {
    return fail(ErrorCode::failed, fmt::format("{} {}: {}", what, path.string(), error.message()));
}

// Only what is surely not there is no directory.
Result<bool> is_directory(const fs::path& path) {
    std::error_code error;
    const auto status = fs::status(path, error);
    if (status.type() == fs::file_type::none) return cannot("looking at", path, error);
    return fs::is_directory(status);
}

Status rename_to(const fs::path& from, const fs::path& to, Older older = Older::removed) {
    std::error_code error;
    if (older == Older::kept && fs::exists(fs::symlink_status(to, error)))
        return fail(ErrorCode::conflict, to.string() + " is there already: nothing is put over it");
    if (older == Older::removed) fs::remove_all(to, error);
    if (error && error != std::errc::no_such_file_or_directory)
        return cannot("removing", to, error);
    fs::rename(from, to, error);
    if (error) return cannot("renaming", from, error);
    return {};
}

Status remove_content(const fs::path& directory) {
    std::error_code error;
    for (auto at = fs::directory_iterator(directory, error);
         !error && at != fs::directory_iterator(); at.increment(error)) {
        if (at->path().filename() == "lost+found") continue;
        std::error_code one;
        fs::remove_all(at->path(), one);
        if (one) return cannot("removing", at->path(), one);
    }
    if (error && error != std::errc::no_such_file_or_directory)
        return cannot("reading", directory, error);
    return {};
}

}  // namespace

bool has_content(const std::string& data_dir) {
    std::error_code error;
    auto at = fs::directory_iterator(data_dir, error);
    // What cannot be read may hold anything.
    if (error) return error != std::errc::no_such_file_or_directory;
    for (const auto& entry : at)
        if (entry.path().filename() != "lost+found") return true;
    return false;
}

std::string real_data_dir(const std::string& data_dir) { return resolved(data_dir).string(); }

Status put_links_back(const std::string& data_dir, const std::string& suffix, Taken taken) {
    const fs::path directory = resolved(data_dir);
    std::error_code error;
    const auto put_back_one = [&](const fs::path& link) -> Status {
        std::error_code one;
        const fs::path target = fs::read_symlink(link, one);
        if (one || !fs::is_directory(target.string() + suffix, one)) return {};
        if (has_content(target.string()) && taken == Taken::left) return {};
        if (has_content(target.string()))
            return fail(ErrorCode::conflict,
                        fmt::format("{} is to come back as {}, where something stands: move one of "
                                    "them away",
                                    target.string() + suffix, target.string()));
        fs::remove(target, one);
        return rename_to(target.string() + suffix, target, Older::kept);
    };
    RLV_CHECK(put_back_one(directory / "pg_wal"));
    for (auto at = fs::directory_iterator(directory / "pg_tblspc", error);
         !error && at != fs::directory_iterator(); at.increment(error))
        RLV_CHECK(put_back_one(at->path()));
    return {};
}

Result<Moved> move_aside(const std::string& data_dir, const std::string& suffix, Older older) {
    const fs::path from = resolved(data_dir);
    std::vector<fs::path> all = link_targets(from);
    all.push_back(from);
    Moved moved;
    for (const fs::path& path : all) {
        const fs::path to = path.string() + suffix;
        if (auto done = rename_to(path, to, older); !done) {
            for (const auto& [old_path, new_path] : moved | std::views::reverse) {
                std::error_code ignored;
                fs::rename(new_path, old_path, ignored);
            }
            return within(
                "moving the old data aside (the directory above it must be writable and on the "
                "same "
                "file system)",
                done.error());
        }
        moved.emplace_back(path.string(), to.string());
    }
    return moved;
}

Moved moved_earlier(const std::string& data_dir, const std::string& suffix) {
    const fs::path directory = resolved(data_dir);
    const fs::path aside = directory.string() + suffix;
    std::error_code error;
    if (!fs::is_directory(aside, error)) return {};
    Moved moved;
    // Its links still name where their targets were.
    const auto take = [&](const fs::path& link) {
        std::error_code one;
        const fs::path target = fs::read_symlink(link, one);
        if (!one && fs::is_directory(target.string() + suffix, one))
            moved.emplace_back(target.string(), target.string() + suffix);
    };
    take(aside / "pg_wal");
    for (auto at = fs::directory_iterator(aside / "pg_tblspc", error);
         !error && at != fs::directory_iterator(); at.increment(error))
        take(at->path());
    moved.emplace_back(directory.string(), aside.string());
    return moved;
}

// The data directory last: until it is back, moved_earlier() knows what is not.
Status put_back(const Moved& moved) {
    for (const auto& [old_path, new_path] : moved) {
        // Looked for first: what stands in its place is removed only for something else.
        RLV_TRY(const bool there, is_directory(new_path));
        if (there) RLV_CHECK(rename_to(new_path, old_path));
    }
    return {};
}

Status remove_moved(const Moved& moved) {
    for (const auto& [old_path, new_path] : moved) {
        std::error_code error;
        fs::remove_all(new_path, error);
        if (error) return cannot("removing", new_path, error);
    }
    return {};
}

Status wipe(const std::string& data_dir) {
    const fs::path directory = resolved(data_dir);
    for (const fs::path& target : link_targets(directory)) RLV_CHECK(remove_content(target));
    return remove_content(directory);
}

Status wipe_itself(const std::string& data_dir) { return remove_content(resolved(data_dir)); }

Status ensure_directory(const std::string& data_dir) {
    std::error_code error;
    if (fs::is_directory(data_dir, error)) return {};
    fs::create_directories(data_dir, error);
    if (error) return cannot("making", data_dir, error);
    fs::permissions(data_dir, fs::perms::owner_all, error);
    if (error) return cannot("setting the mode of", data_dir, error);
    return {};
}

Status sync_content(const std::string& data_dir) {
    const fs::path directory = resolved(data_dir);
    std::vector<fs::path> all = link_targets(directory);
    all.push_back(directory);
    for (const fs::path& path : all) RLV_CHECK(os::sync_file_system(path.string()));
    return {};
}

std::vector<std::pair<std::string, std::uint64_t>> directory_sizes(const std::string& data_dir) {
    std::vector<std::pair<std::string, std::uint64_t>> sizes;
    const fs::path directory = resolved(data_dir);
    std::vector<fs::path> all = link_targets(directory);
    all.push_back(directory);
    for (const fs::path& top : all) {
        std::uint64_t total = 0;
        std::error_code error;
        for (auto at = fs::recursive_directory_iterator(
                 top, fs::directory_options::skip_permission_denied, error);
             !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
            std::error_code one;
            if (!at->is_symlink(one) && at->is_regular_file(one)) {
                const auto size = at->file_size(one);
                if (!one) total += size;
            }
        }
        sizes.emplace_back(top.string(), total);
    }
    return sizes;
}

std::uint64_t directory_size(const std::string& data_dir) {
    std::uint64_t total = 0;
    for (const auto& [path, bytes] : directory_sizes(data_dir)) total += bytes;
    return total;
}

}  // namespace relevo::postgres
