#include "agent/restore_site.h"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>

#include "backup/stand_alone.h"
#include "base/text.h"
#include "os/file.h"
#include "ports/postgres.h"

namespace relevo::agent {
namespace fs = std::filesystem;

namespace {

constexpr const char* by_restore = "restore";

std::string mark_of(const RestoreSite& site) { return site.into + ports::half_made_suffix; }

bool is_left_by_us(const RestoreSite& site) {
    const auto text = os::read_file(mark_of(site));
    return text && trim(*text) == by_restore;
}

// Where it really is, whatever links lead there; what does not exist yet is taken as it is written.
Result<fs::path> real(const std::string& path) {
    std::error_code error;
    auto found = fs::weakly_canonical(path, error);
    if (error)
        return fail(ErrorCode::failed,
                    fmt::format("{} cannot be looked at: {}", path, error.message()));
    return found;
}

bool holds(const fs::path& outer, const fs::path& inner) {
    auto at = inner.begin();
    for (const auto& part : outer)
        if (at == inner.end() || *at++ != part) return false;
    return true;
}

Status judge_place(const RestoreSite& site, const std::string& data_dir) {
    RLV_TRY(const auto there, real(site.into));
    RLV_TRY(const auto data, real(data_dir));
    if (holds(data, there) || holds(there, data))
        return fail(ErrorCode::conflict,
                    fmt::format("{} is, holds or lies in this member's data directory {}: name "
                                "another",
                                site.into, data_dir));
    for (auto above = there.parent_path(); above.has_relative_path(); above = above.parent_path())
        if (os::exists(above.string() + "/PG_VERSION"))
            return fail(ErrorCode::conflict,
                        fmt::format("{} lies in the data directory {}: name another", site.into,
                                    above.string()));
    std::error_code error;
    if (!fs::is_directory(there.parent_path(), error))
        return fail(ErrorCode::not_found,
                    fmt::format("there is no directory {} on this host: make it, for the user that "
                                "PostgreSQL runs as",
                                there.parent_path().string()));
    return {};
}

Status judge_empty(const RestoreSite& site) {
    if (is_left_by_us(site)) return {};
    for (const auto& path : {site.into, site.tablespaces}) {
        RLV_TRY(const auto state, os::directory_state(path));
        if (state == os::DirectoryState::not_a_directory)
            return fail(ErrorCode::conflict, path + " is no directory: name another");
        if (state == os::DirectoryState::filled)
            return fail(ErrorCode::conflict,
                        path +
                            " is not empty: nothing is restored over what is there; name "
                            "another, or empty it");
    }
    if (os::exists(mark_of(site)))
        return fail(ErrorCode::conflict,
                    fmt::format("{} is there: somebody else is at {}, or was; remove it when "
                                "nobody is",
                                mark_of(site), site.into));
    return {};
}

Status judge_room(const RestoreSite& site, std::uint64_t needed_bytes) {
    std::error_code error;
    auto at = fs::path(site.into);
    while (!fs::exists(at, error) && at.has_relative_path()) at = at.parent_path();
    const auto space = fs::space(at, error);
    if (error)
        return fail(ErrorCode::failed,
                    fmt::format("how much room there is for {} cannot be told: {}", site.into,
                                error.message()));
    if (space.available >= needed_bytes) return {};
    return fail(ErrorCode::failed,
                fmt::format("there is not enough room for {}: the backup restores to {} MB with "
                            "the WAL that recovery needs at a time, and {} MB are free; name a "
                            "larger disk",
                            site.into, (needed_bytes >> 20U) + 1, space.available >> 20U));
}

Status copy_if_missing(const std::string& from, const std::string& to) {
    if (os::exists(to) || !os::exists(from)) return {};
    RLV_TRY(const auto text, os::read_file(from));
    return os::write_file(to, text, 0600);
}

}  // namespace

Result<RestoreSite> judge_site(const std::string& into, const std::string& data_dir,
                               std::uint64_t needed_bytes) {
    auto plain = fs::path(into).lexically_normal().string();
    while (plain.size() > 1 && plain.back() == '/') plain.pop_back();
    if (!plain.starts_with('/') || plain == "/")
        return fail(ErrorCode::invalid,
                    "where to restore to is an absolute path on the member's host, as in "
                    "/srv/restored");
    for (const char c : plain)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
            return fail(ErrorCode::invalid, "a path with control characters is not restored into");
    RestoreSite site{.into = plain, .tablespaces = plain + ".tablespaces"};
    RLV_CHECK(judge_place(site, data_dir));
    RLV_CHECK(judge_empty(site));
    RLV_CHECK(judge_room(site, needed_bytes));
    return site;
}

Status begin_site(const RestoreSite& site) {
    RLV_CHECK(os::write_file(mark_of(site), std::string(by_restore) + "\n", 0600));
    RLV_CHECK(os::remove_tree(site.tablespaces));
    // A directory that its owner made (perhaps a mount point) is emptied, not replaced.
    if (os::exists(site.into)) {
        RLV_TRY(const auto names, os::list_directory(site.into));
        for (const auto& name : names) RLV_CHECK(os::remove_tree(site.into + "/" + name));
        return {};
    }
    return os::make_directory(site.into, 0700);
}

Status finish_site(const RestoreSite& site) {
    const auto file = [&](const char* name) { return site.into + "/" + name; };
    // A member whose configuration is elsewhere keeps copies of it here (Patroni's *.backup).
    for (const char* name :
         {"postgresql.conf", "postgresql.base.conf", "pg_hba.conf", "pg_ident.conf"})
        RLV_CHECK(copy_if_missing(file(name) + ".backup", file(name)));
    if (const auto config = os::read_file(file("postgresql.conf"))) {
        const auto kept = backup::without_data_directory(*config);
        if (kept != *config) RLV_CHECK(os::write_file(file("postgresql.conf"), kept, 0600));
    }
    RLV_TRY(const auto settings, os::read_file(file("postgresql.auto.conf")));
    RLV_CHECK(os::write_file(
        file("postgresql.auto.conf"),
        settings + backup::stand_alone_settings(site.into, os::exists(file("pg_hba.conf")),
                                                os::exists(file("pg_ident.conf"))),
        0600));
    return os::remove_file(mark_of(site));
}

Status clear_site(const RestoreSite& site) {
    RLV_CHECK(os::remove_tree(site.tablespaces));
    RLV_TRY(const auto names, os::list_directory(site.into));
    for (const auto& name : names) RLV_CHECK(os::remove_tree(site.into + "/" + name));
    return os::remove_file(mark_of(site));
}

}  // namespace relevo::agent
