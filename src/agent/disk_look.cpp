#include "agent/disk_look.h"

#include <sys/stat.h>

#include <algorithm>

#include "os/disk_space.h"
#include "os/file.h"

namespace relevo::agent {
namespace {

// -> whether it is on a file system that none of the others is on.
bool add(DiskSeen& seen, const std::string& path, const char* what, bool vital) {
    const auto space = os::disk_space(path);
    if (!space) {
        if (seen.problem.empty()) seen.problem = space.error().message;
        seen.vital_unseen = seen.vital_unseen || vital;
        return false;
    }
    const auto same = std::ranges::find(seen.places, space->device, &DiskSeen::Place::device);
    if (same == seen.places.end()) {
        seen.places.push_back({.what = what,
                               .vital = vital,
                               .device = space->device,
                               .total = space->total,
                               .free = space->free});
        return true;
    }
    if (vital) same->what += std::string(" and ") + what;
    return false;
}

bool same_device(const std::string& path, std::uint64_t device) {
    const auto space = os::disk_space(path);
    return space && space->device == device;
}

std::string directory_of(const std::string& path) {
    const auto slash = path.find_last_of('/');
    return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

std::string name_of(const std::string& path) { return path.substr(path.find_last_of('/') + 1); }

// The place of WAL has what is free beside the ballast: so it stands the same whether that was
// given back or not.
void keep_ballast(const DiskAsk& ask, DiskSeen& seen) {
    const auto path = ballast_path(ask.data_dir);
    const auto space = os::disk_space(ask.data_dir + "/pg_wal");
    if (path.empty() || !space) return;
    auto has = os::reserved_bytes(path);
    switch (what_of_ballast(ask.settings, space->total, space->free, has)) {
        case Ballast::leave: break;
        case Ballast::make: {
            const auto made = os::reserve_file(path, ballast_size(ask.settings, space->total));
            if (!made) seen.ballast_problem = made.error().message;
            break;
        }
        case Ballast::give: {
            const auto given = os::remove_file(path);
            if (!given) seen.ballast_problem = given.error().message;
            break;
        }
    }
    seen.ballast = os::reserved_bytes(path);
    const auto wanted = ballast_size(ask.settings, space->total);
    const auto missing = wanted > seen.ballast ? wanted - seen.ballast : 0;
    const auto now = os::disk_space(ask.data_dir + "/pg_wal");
    for (auto& place : seen.places)
        if (now && place.device == now->device)
            place.free = now->free > missing ? now->free - missing : 0;
}

std::uint64_t size_of(const std::string& path) {
    struct stat info{};
    return ::lstat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode)
               ? static_cast<std::uint64_t>(info.st_size)
               : 0;
}

void look_at_wal(const std::string& wal, DiskSeen& seen) {
    const auto files = os::list_directory(wal);
    for (const auto& name : files ? *files : std::vector<std::string>{})
        seen.wal_bytes += size_of(wal + "/" + name);
    const auto marks = os::list_directory(wal + "/archive_status");
    for (const auto& mark : marks ? *marks : std::vector<std::string>{}) {
        constexpr std::string_view ready = ".ready";
        if (!mark.ends_with(ready)) continue;
        ++seen.queue_segments;
        seen.queue_bytes += size_of(wal + "/" + mark.substr(0, mark.size() - ready.size()));
    }
}

}  // namespace

std::string ballast_path(const std::string& data_dir) {
    if (!os::exists(data_dir + "/PG_VERSION")) return {};
    const auto wal = os::real_path(data_dir + "/pg_wal");
    const auto data = os::real_path(data_dir);
    const auto space = os::disk_space(wal);
    if (wal.empty() || data.empty() || !space) return {};
    for (const auto& beside : {data, wal})
        if (same_device(directory_of(beside), space->device) && directory_of(beside) != data)
            return beside + ".ballast";
    return wal + "/pgsql_tmp.relevo_ballast";
}

std::vector<std::string> probe_paths(const std::string& directory, const std::string& name_inside,
                                     bool ours) {
    const auto space = os::disk_space(directory);
    auto real = os::real_path(directory);
    // It does not exist yet: only the directory that it will be made in does.
    const bool there = !real.empty();
    if (!there) real = directory;
    const auto above = os::real_path(directory_of(real));
    if (!space || above.empty() || real == "/") return {};
    std::vector<std::string> out;
    if (same_device(above, space->device))
        out.push_back((above == "/" ? "" : above) + "/" + name_of(real) + ".probe");
    if (there && ours) out.push_back(real + "/" + name_inside);
    return out;
}

std::uint64_t ballast_size(const cluster::DiskSettings& settings, std::uint64_t total) {
    constexpr std::uint64_t segment = std::uint64_t{16} << 20U;
    constexpr std::uint64_t share = 20;
    return std::min(settings.ballast, std::max(total / share, segment));
}

Ballast what_of_ballast(const cluster::DiskSettings& settings, std::uint64_t total,
                        std::uint64_t free, std::uint64_t has) {
    const auto wanted = ballast_size(settings, total);
    const auto hold = cluster::limits(settings, total).hold;
    if (has > 0 && (wanted == 0 || free < hold / 2)) return Ballast::give;
    if (has >= wanted) return Ballast::leave;
    // Making it must not be what the next hold begins with.
    return free + has >= wanted + 2 * hold ? Ballast::make : Ballast::leave;
}

void give_ballast(const DiskAsk& ask) {
    const auto path = ask.ours ? ballast_path(ask.data_dir) : std::string();
    const auto space = os::disk_space(ask.data_dir + "/pg_wal");
    if (path.empty() || !space) return;
    const auto without = space->free + os::reserved_bytes(path);
    if (what_of_ballast(ask.settings, space->total, without, 0) == Ballast::make) return;
    (void)os::remove_file(path);  // what comes of it the next look tells
}

DiskSeen look_at_disks(const DiskAsk& ask) {
    DiskSeen seen;
    const std::string wal = ask.data_dir + "/pg_wal";
    // Names that neither pg_basebackup nor pg_rewind nor pgBackRest copies, nor PostgreSQL removes:
    // in a directory below the data directory, and beginning so.
    if (add(seen, ask.data_dir, "data", true))
        seen.places.back().probe_paths =
            probe_paths(ask.data_dir, "base/pgsql_tmp.relevo_probe", ask.ours);
    if (add(seen, wal, "WAL", true))  // a link to another file system
        seen.places.back().probe_paths = probe_paths(wal, "pgsql_tmp.relevo_probe", ask.ours);
    if (ask.ours) keep_ballast(ask, seen);
    if (ask.in_detail) look_at_wal(wal, seen);
    if (ask.past_vital) *ask.past_vital = true;
    if (!ask.spool.empty()) (void)add(seen, ask.spool, "archive spool", false);
    return seen;
}

}  // namespace relevo::agent
