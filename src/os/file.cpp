#include "os/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace relevo::os {

namespace {

std::unexpected<Error> system_error(const std::string& doing, int error) {
    const auto code = error == ENOENT                     ? ErrorCode::not_found
                      : error == EACCES || error == EPERM ? ErrorCode::denied
                                                          : ErrorCode::failed;
    auto message = fmt::format("{}: {}", doing, std::strerror(error));
    if (code == ErrorCode::denied) message += fmt::format(" (running as uid {})", geteuid());
    return fail(code, std::move(message));
}

class Fd {
public:
    explicit Fd(int fd) : fd_(fd) {}
    ~Fd() {
        if (fd_ >= 0) ::close(fd_);
    }
    Fd(const Fd&) = delete;
    Fd& operator=(const Fd&) = delete;
    int get() const { return fd_; }
    int close() { return ::close(std::exchange(fd_, -1)); }

private:
    int fd_;
};

std::string directory_of(const std::string& path) {
    const auto slash = path.rfind('/');
    if (slash == std::string::npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

bool write_all(int fd, std::string_view content) {
    while (!content.empty()) {
        const auto written = ::write(fd, content.data(), content.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return false;
        content.remove_prefix(static_cast<std::size_t>(written));
    }
    return true;
}

// Unique beside other threads and other processes that write the same file.
std::string temporary_name(const std::string& path) {
    static std::atomic<unsigned> counter{0};
    return fmt::format("{}.{}.{}.tmp", path, ::getpid(), counter.fetch_add(1));
}

Status remove_entries(int parent, const char* name, const std::string& shown) {
    const int fd = ::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return system_error("cannot open " + shown + " to remove it", errno);
    DIR* dir = ::fdopendir(fd);
    if (dir == nullptr) {
        const int error = errno;
        ::close(fd);
        return system_error("cannot list " + shown, error);
    }
    Status status;
    while (const auto* entry = ::readdir(dir)) {
        const std::string_view child = entry->d_name;
        if (child == "." || child == "..") continue;
        const auto child_shown = fmt::format("{}/{}", shown, child);
        struct stat info{};
        if (::fstatat(fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
            if (errno == ENOENT) continue;  // somebody else was faster
            status = system_error("cannot look at " + child_shown, errno);
            break;
        }
        const bool directory = S_ISDIR(info.st_mode);
        if (directory) status = remove_entries(fd, entry->d_name, child_shown);
        if (!status) break;
        if (::unlinkat(fd, entry->d_name, directory ? AT_REMOVEDIR : 0) != 0 && errno != ENOENT) {
            status = system_error("cannot remove " + child_shown, errno);
            break;
        }
    }
    ::closedir(dir);
    return status;
}

}  // namespace

Result<std::string> read_file(const std::string& path, std::size_t limit) {
    const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (fd.get() < 0) return system_error("cannot read " + path, errno);
    std::string content;
    char buffer[16384];
    for (;;) {
        const auto got = ::read(fd.get(), buffer, sizeof buffer);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return system_error("cannot read " + path, errno);
        if (got == 0) return content;
        content.append(buffer, static_cast<std::size_t>(got));
        if (content.size() > limit) {
            return fail(
                ErrorCode::invalid,
                fmt::format("{} is longer than {} bytes; is it the right file?", path, limit));
        }
    }
}

namespace {

Status put(const std::string& path, std::string_view content, mode_t mode, bool durable) {
    const auto temporary = temporary_name(path);
    const auto broken = [&](int error) {
        ::unlink(temporary.c_str());
        return system_error("cannot write " + path, error);
    };
    Fd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (fd.get() < 0) return system_error("cannot write " + path, errno);
    // The umask is the daemon's; the mode is meant as it is given.
    if (::fchmod(fd.get(), mode) != 0) return broken(errno);
    if (!write_all(fd.get(), content)) return broken(errno);
    if (durable && ::fsync(fd.get()) != 0) return broken(errno);
    if (fd.close() != 0) return broken(errno);
    if (::rename(temporary.c_str(), path.c_str()) != 0) return broken(errno);
    return durable ? sync_directory(directory_of(path)) : Status{};
}

}  // namespace

Status write_file(const std::string& path, std::string_view content, mode_t mode) {
    return put(path, content, mode, true);
}

Status replace_file(const std::string& path, std::string_view content, mode_t mode) {
    return put(path, content, mode, false);
}

Status write_at(const std::string& path, std::uint64_t offset, std::string_view content) {
    Fd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
    if (fd.get() < 0 || ::lseek(fd.get(), static_cast<off_t>(offset), SEEK_SET) < 0 ||
        !write_all(fd.get(), content) || ::fsync(fd.get()) != 0 || fd.close() != 0)
        return system_error("cannot write " + path, errno);
    return {};
}

Result<std::uint64_t> append_file(const std::string& path, std::string_view content, mode_t mode) {
    Fd fd(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode));
    struct stat info{};
    if (fd.get() < 0 || !write_all(fd.get(), content) || ::fstat(fd.get(), &info) != 0)
        return system_error("cannot write " + path, errno);
    if (fd.close() != 0) return system_error("cannot write " + path, errno);
    return static_cast<std::uint64_t>(info.st_size);
}

Status remove_file(const std::string& path) {
    if (::unlink(path.c_str()) != 0) {
        if (errno == ENOENT) return {};
        return system_error("cannot remove " + path, errno);
    }
    return sync_directory(directory_of(path));
}

Status rename_path(const std::string& from, const std::string& to) {
    if (::rename(from.c_str(), to.c_str()) != 0)
        return system_error(fmt::format("cannot rename {} to {}", from, to), errno);
    RLV_CHECK(sync_directory(directory_of(to)));
    if (directory_of(from) != directory_of(to)) RLV_CHECK(sync_directory(directory_of(from)));
    return {};
}

Status make_directory(const std::string& path, mode_t mode) {
    if (::mkdir(path.c_str(), mode) == 0) {
        // mkdir's mode goes through the umask; what was asked for is meant.
        if (::chmod(path.c_str(), mode) != 0)
            return system_error("cannot set the mode of " + path, errno);
        return sync_directory(directory_of(path));
    }
    if (errno == EEXIST) {
        struct stat info{};
        if (::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return {};
        return fail(ErrorCode::failed, path + " exists and is no directory");
    }
    const auto parent = directory_of(path);
    if (errno != ENOENT || parent == path || parent == ".")
        return system_error("cannot make the directory " + path, errno);
    RLV_CHECK(make_directory(parent, mode));
    return make_directory(path, mode);
}

Status remove_tree(const std::string& path) {
    struct stat info{};
    if (::lstat(path.c_str(), &info) != 0) {
        if (errno == ENOENT) return {};
        return system_error("cannot look at " + path, errno);
    }
    if (!S_ISDIR(info.st_mode)) return remove_file(path);
    RLV_CHECK(remove_entries(AT_FDCWD, path.c_str(), path));
    if (::rmdir(path.c_str()) != 0 && errno != ENOENT)
        return system_error("cannot remove " + path, errno);
    return sync_directory(directory_of(path));
}

Status sync_file_system(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail(ErrorCode::failed, path + ": " + std::strerror(errno));
    const int result = ::syncfs(fd);
    const int error = errno;
    ::close(fd);
    if (result != 0)
        return fail(ErrorCode::failed, "syncfs of " + path + ": " + std::strerror(error));
    return {};
}

Status sync_directory(const std::string& path) {
    const Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd.get() < 0) return system_error("cannot open the directory " + path, errno);
    // Some file systems know no fsync of a directory; they say EINVAL.
    if (::fsync(fd.get()) != 0 && errno != EINVAL)
        return system_error("cannot sync the directory " + path, errno);
    return {};
}

Result<DirectoryState> directory_state(const std::string& path) {
    DIR* dir = ::opendir(path.c_str());
    if (dir == nullptr) {
        if (errno == ENOENT) return DirectoryState::absent;
        if (errno == ENOTDIR) return DirectoryState::not_a_directory;
        return system_error("cannot read the directory " + path, errno);
    }
    auto state = DirectoryState::empty;
    while (const auto* entry = ::readdir(dir)) {
        const std::string_view name = entry->d_name;
        if (name == "." || name == "..") continue;
        state = DirectoryState::filled;
        break;
    }
    ::closedir(dir);
    return state;
}

Result<std::vector<std::string>> list_directory(const std::string& path) {
    DIR* dir = ::opendir(path.c_str());
    if (dir == nullptr) return system_error("cannot read the directory " + path, errno);
    std::vector<std::string> names;
    while (const auto* entry = ::readdir(dir)) {
        const std::string_view name = entry->d_name;
        if (name != "." && name != "..") names.emplace_back(name);
    }
    ::closedir(dir);
    std::ranges::sort(names);
    return names;
}

std::optional<std::string> link_target(const std::string& path) {
    char buffer[4096];
    const auto length = ::readlink(path.c_str(), buffer, sizeof buffer);
    if (length <= 0) return std::nullopt;
    std::string target(buffer, static_cast<std::size_t>(length));
    if (target.front() != '/') target = directory_of(path) + "/" + target;
    return target;
}

bool exists(const std::string& path) {
    struct stat info{};
    return ::lstat(path.c_str(), &info) == 0;
}

Status replace_link(const std::string& path, const std::string& target) {
    const auto temporary = temporary_name(path);
    if (::symlink(target.c_str(), temporary.c_str()) != 0)
        return system_error("cannot make the symbolic link " + path, errno);
    if (::rename(temporary.c_str(), path.c_str()) != 0) {
        const int error = errno;
        ::unlink(temporary.c_str());
        return system_error("cannot make the symbolic link " + path, error);
    }
    return sync_directory(directory_of(path));
}

Result<std::string> make_temporary_directory(const std::string& prefix) {
    const char* base = std::getenv("TMPDIR");
    std::string path = fmt::format("{}/{}XXXXXX", base && *base ? base : "/tmp", prefix);
    if (::mkdtemp(path.data()) == nullptr)
        return system_error("cannot make a directory like " + path, errno);
    return path;
}

}  // namespace relevo::os
