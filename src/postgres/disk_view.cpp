#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>

#include "os/file.h"
#include "postgres/config_files.h"
#include "postgres/half_made.h"
#include "postgres/kept_aside.h"
#include "postgres/observer.h"
#include "postgres/voteless.h"

namespace relevo::postgres {

std::shared_ptr<const ControlFile> read_control(const ports::PostgresConfig& config,
                                                KnownControl& known, std::string& problem) {
    const auto path = config.data_dir + "/global/pg_control";
    struct stat info{};
    if (::stat(path.c_str(), &info) != 0) {
        problem = fmt::format("cannot read {}: {}", path, std::strerror(errno));
        return nullptr;
    }
    const auto changed_ns = info.st_mtim.tv_sec * 1'000'000'000LL + info.st_mtim.tv_nsec;
    if (known.control && known.changed_ns == changed_ns && known.file == info.st_ino)
        return known.control;
    auto read = read_control_file(config);
    if (!read) {
        problem = read.error().message;
        return nullptr;
    }
    known = {changed_ns, info.st_ino, std::make_shared<const ControlFile>(*std::move(read))};
    return known.control;
}

namespace {

void find_postmaster(const ports::PostgresConfig& config, DiskView& view) {
    auto file = read_pid_file(config.data_dir);
    if (!file) {
        view.problem = file.error().message;
        return;
    }
    if (!*file) return;
    view.pid_file = **file;
    // Held first, looked at afterwards: the number cannot change its meaning in between.
    auto handle = os::PidHandle::open(view.pid_file->pid);
    if (!handle) {
        if (handle.error().code != ErrorCode::not_found) view.problem = handle.error().message;
        return;
    }
    const auto info = os::process_info(view.pid_file->pid);
    if (!info || !handle->alive()) return;
    if (!is_our_postmaster(*view.pid_file, *info, view.real_path, program_path(config, "postgres"),
                           ::getpid(), ::getppid()))
        return;
    view.postmaster = std::make_shared<os::PidHandle>(*std::move(handle));
}

// What the directory is, short of pg_control. A problem makes it unusable.
cluster::DataDir judge(const ports::PostgresConfig& config, DiskView& view, bool making_cluster) {
    using cluster::DataDir;
    const auto& path = config.data_dir;
    const auto state = os::directory_state(path);
    if (!state) {
        view.problem = state.error().message;
        return DataDir::unusable;
    }
    switch (*state) {
        case os::DirectoryState::absent:
        case os::DirectoryState::empty: return DataDir::empty;
        case os::DirectoryState::not_a_directory:
            view.problem = path + " is no directory";
            return DataDir::unusable;
        case os::DirectoryState::filled: break;
    }
    const auto mark = read_half_made(path);
    if (!mark) {
        view.problem = mark.error().message;
        return DataDir::unusable;
    }
    if (const auto& by = *mark; by && !(making_cluster && *by == by_bootstrap)) {
        view.unfinished_cluster = *by == by_bootstrap;
        return DataDir::half_made;
    }
    struct stat info{};
    if (::stat(path.c_str(), &info) == 0 && ::geteuid() != 0 && info.st_uid != ::geteuid()) {
        view.problem = fmt::format(
            "the data directory {} belongs to uid {}, we run as uid {}: run relevo as its owner",
            path, info.st_uid, ::geteuid());
        return DataDir::unusable;
    }
    const auto version = read_data_version(path);
    if (!version) {
        view.problem = fmt::format("{} is not empty and no data directory of PostgreSQL: {}", path,
                                   version.error().message);
        return DataDir::unusable;
    }
    view.version = *version;
    if (!os::exists(path + "/global/pg_control")) {
        view.problem = path + " has no global/pg_control";
        return DataDir::unusable;
    }
    return DataDir::initialized;
}

}  // namespace

DiskView look_at_disk(const ports::PostgresConfig& config, KnownControl* known,
                      bool making_cluster) {
    DiskView view;
    char resolved[PATH_MAX];
    view.real_path = ::realpath(config.data_dir.c_str(), resolved) ? resolved : config.data_dir;
    view.data_dir = judge(config, view, making_cluster);
    view.voteless = is_voteless(config.data_dir);
    view.aside = read_aside_mark(config.data_dir);
    if (view.data_dir == cluster::DataDir::empty) return view;
    find_postmaster(config, view);
    view.standby_signal = os::exists(config.data_dir + "/standby.signal");
    view.backup_label = os::exists(config.data_dir + "/backup_label");
    if (view.postmaster || view.data_dir != cluster::DataDir::initialized) return view;
    if (known) view.control = read_control(config, *known, view.problem);
    return view;
}

}  // namespace relevo::postgres
