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

std::unexpected<Error> cannot(std::string_view what, const fs::path& path,
                              const std::error_code& error) {
    return fail(ErrorCode::failed, fmt::format("{} {}: {}", what, path.string(), error.message()));
}

// Only what is surely not there is no directory.
Result<bool> directory_there(const fs::path& path) {
    std::error_code error;
    const auto status = fs::status(path, error);
    if (status.type() == fs::file_type::none) return cannot("looking at", path, error);
    return fs::is_directory(status);
}

Result<bool> is_link(const fs::path& path) {
    std::error_code error;
    const auto status = fs::symlink_status(path, error);
    if (status.type() == fs::file_type::none) return cannot("looking at", path, error);
    return fs::is_symlink(status);
}

fs::path without_end(fs::path path) {  // no '/' there
    return path.has_filename() ? std::move(path) : path.parent_path();
}

// Where it leads, as fs::canonical() says, also when nothing stands there (any more).
Result<fs::path> leads_to(const fs::path& start) {
    constexpr int links_max = 40;  // as Linux has it
    std::error_code error;
    fs::path path = fs::absolute(start, error);
    for (int links = 0; !error && links <= links_max; ++links) {
        path = without_end(path);
        const fs::path parent = fs::weakly_canonical(path.parent_path(), error);
        if (error) break;
        path = without_end((parent / path.filename()).lexically_normal());
        RLV_TRY(const bool link, is_link(path));
        if (!link) return path;
        path = parent / fs::read_symlink(path, error);
    }
    if (!error) error = std::make_error_code(std::errc::too_many_symbolic_link_levels);
    return cannot("following", start, error);
}

// pg_wal and the tablespaces, where they are links.
Result<std::vector<fs::path>> links_in(const fs::path& data_dir) {
    std::vector<fs::path> all{data_dir / "pg_wal"};
    std::error_code error;
    const fs::path tablespaces = data_dir / "pg_tblspc";
    for (auto at = fs::directory_iterator(tablespaces, error);
         !error && at != fs::directory_iterator(); at.increment(error))
        all.push_back(at->path());
    if (error && error != std::errc::no_such_file_or_directory)
        return cannot("reading", tablespaces, error);
    std::vector<fs::path> links;
    for (auto& path : all) {
        RLV_TRY(const bool link, is_link(path));
        if (link) links.push_back(std::move(path));
    }
    return links;
}

// What pg_wal and the tablespaces point to.
Result<std::vector<fs::path>> link_targets(const fs::path& data_dir) {
    std::vector<fs::path> targets;
    RLV_TRY(const auto links, links_in(data_dir));
    for (const auto& link : links) {
        RLV_TRY(auto target, leads_to(link));
        RLV_TRY(const bool there, directory_there(target));
        if (there) targets.push_back(std::move(target));
    }
    return targets;
}

// The same and the directory itself, which comes last.
Result<std::vector<fs::path>> with_link_targets(const std::string& data_dir) {
    RLV_TRY(auto directory, leads_to(data_dir));
    RLV_TRY(auto all, link_targets(directory));
    all.push_back(std::move(directory));
    return all;
}

// Within one directory. Durable: marks that tell of it may go afterwards.
Status rename_to(const fs::path& from, const fs::path& to, Older older = Older::removed) {
    std::error_code error;
    if (older == Older::kept && fs::exists(fs::symlink_status(to, error)))
        return fail(ErrorCode::conflict, to.string() + " is there already: nothing is put over it");
    if (older == Older::removed) fs::remove_all(to, error);
    if (error && error != std::errc::no_such_file_or_directory)
        return cannot("removing", to, error);
    fs::rename(from, to, error);
    if (error) return cannot("renaming", from, error);
    auto durable = os::sync_directory(to.parent_path().string());
    if (!durable) fs::rename(to, from, error);  // an error leaves all as it was
    return durable;
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

Result<bool> holds_content(const std::string& data_dir) {
    std::error_code error;
    for (auto at = fs::directory_iterator(data_dir, error);
         !error && at != fs::directory_iterator(); at.increment(error))
        if (at->path().filename() != "lost+found") return true;
    if (error && error != std::errc::no_such_file_or_directory)
        return cannot("reading", data_dir, error);
    return false;
}

bool has_content(const std::string& data_dir) { return holds_content(data_dir).value_or(true); }

std::string real_data_dir(const std::string& data_dir) {
    return leads_to(data_dir).value_or(without_end(data_dir)).string();
}

Status put_links_back(const std::string& data_dir, const std::string& suffix, Taken taken) {
    RLV_TRY(const auto directory, leads_to(data_dir));
    RLV_TRY(const auto links, links_in(directory));
    for (const auto& link : links) {
        RLV_TRY(const auto target, leads_to(link));
        const fs::path aside = target.string() + suffix;
        RLV_TRY(const bool there, directory_there(aside));
        if (!there) continue;
        if (has_content(target.string())) {
            if (taken == Taken::left) continue;
            return fail(ErrorCode::conflict,
                        fmt::format("{} is to come back as {}, where something stands: move one of "
                                    "them away",
                                    aside.string(), target.string()));
        }
        std::error_code ignored;
        fs::remove(target, ignored);
        RLV_CHECK(rename_to(aside, target, Older::kept));
    }
    return {};
}

namespace {

Status roll_back(const Moved& moved) {
    Status first;
    for (const auto& [old_path, new_path] : moved | std::views::reverse)
        if (auto done = rename_to(new_path, old_path, Older::kept); !done && first) first = done;
    return first;
}

}  // namespace

Result<Moved> move_aside(const std::string& data_dir, const std::string& suffix, Older older) {
    RLV_TRY(const auto all, with_link_targets(data_dir));
    Moved moved;
    for (const fs::path& path : all) {
        const fs::path to = path.string() + suffix;
        if (auto done = rename_to(path, to, older); !done) {
            if (const auto back = roll_back(moved); !back)
                done.error().message += "; and what was moved is not back: " + back.error().message;
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

Result<Moved> moved_earlier(const std::string& data_dir, const std::string& suffix) {
    RLV_TRY(const auto directory, leads_to(data_dir));
    const fs::path aside = directory.string() + suffix;
    RLV_TRY(const bool there, directory_there(aside));
    Moved moved;
    if (!there) return moved;
    // Its links still name where their targets were, as seen from the directory's own place.
    RLV_TRY(const auto links, links_in(aside));
    for (const auto& link : links) {
        std::error_code error;
        const fs::path named = fs::read_symlink(link, error);
        if (error) return cannot("reading", link, error);
        const fs::path parent = directory / link.parent_path().lexically_relative(aside);
        RLV_TRY(const auto target, leads_to(parent / named));
        const std::string waits = target.string() + suffix;
        RLV_TRY(const bool one, directory_there(waits));
        if (one) moved.emplace_back(target.string(), waits);
    }
    moved.emplace_back(directory.string(), aside.string());
    return moved;
}

// The data directory last: until it is back, moved_earlier() knows what is not.
Status put_back(const Moved& moved) {
    for (const auto& [old_path, new_path] : moved) {
        // Looked for first: what stands in its place is removed only for something else.
        RLV_TRY(const bool there, directory_there(new_path));
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
    RLV_TRY(const auto all, with_link_targets(data_dir));
    for (const fs::path& path : all) RLV_CHECK(remove_content(path));
    return {};
}

Status wipe_itself(const std::string& data_dir) {
    RLV_TRY(const auto directory, leads_to(data_dir));
    return remove_content(directory);
}

Status ensure_directory(const std::string& data_dir) {
    std::error_code error;
    if (fs::is_directory(data_dir, error)) return {};
    // Behind a link nothing may stand any more: what did was moved aside.
    RLV_TRY(const auto directory, leads_to(data_dir));
    fs::create_directories(directory, error);
    if (error) return cannot("making", directory, error);
    fs::permissions(directory, fs::perms::owner_all, error);
    if (error) return cannot("setting the mode of", directory, error);
    return {};
}

Status sync_content(const std::string& data_dir) {
    RLV_TRY(const auto all, with_link_targets(data_dir));
    for (const fs::path& path : all) RLV_CHECK(os::sync_file_system(path.string()));
    return {};
}

std::vector<std::pair<std::string, std::uint64_t>> directory_sizes(const std::string& data_dir) {
    std::vector<std::pair<std::string, std::uint64_t>> sizes;
    const auto all = with_link_targets(data_dir).value_or(std::vector<fs::path>{data_dir});
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
