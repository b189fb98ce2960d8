#include "os/disk_space.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>

namespace relevo::os {
namespace {

std::string above(const std::string& path) {
    const auto slash = path.find_last_of('/');
    if (slash == std::string::npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

std::unexpected<Error> problem(const std::string& what, const std::string& path, int error) {
    return fail(error == ENOENT ? ErrorCode::not_found : ErrorCode::failed,
                fmt::format("{} {}: {}", what, path, std::strerror(error)));
}

}  // namespace

Result<DiskSpace> disk_space(const std::string& path) {
    std::string at = path;
    struct stat info{};
    while (::stat(at.c_str(), &info) != 0) {
        if (errno != ENOENT || at == "/" || at == ".") return problem("cannot look at", at, errno);
        at = above(at);
    }
    struct statvfs space{};
    if (::statvfs(at.c_str(), &space) != 0) return problem("cannot measure the disk of", at, errno);
    DiskSpace out;
    out.device = info.st_dev;
    out.total = std::uint64_t{space.f_blocks} * space.f_frsize;
    out.free = std::uint64_t{space.f_bavail} * space.f_frsize;
    return out;
}

Status reserve_file(const std::string& path, std::uint64_t bytes) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return problem("cannot make", path, errno);
    // Where the file system cannot allocate, glibc writes a byte into every block instead.
    int error = ::posix_fallocate(fd, 0, static_cast<off_t>(bytes));
    if (error == 0 && ::ftruncate(fd, static_cast<off_t>(bytes)) != 0) error = errno;
    if (error == 0 && ::fsync(fd) != 0) error = errno;
    ::close(fd);
    if (error == 0) return {};
    ::unlink(path.c_str());
    return problem(fmt::format("cannot allocate {} bytes for", bytes), path, error);
}

std::uint64_t reserved_bytes(const std::string& path) {
    constexpr std::uint64_t unit = 512;  // of st_blocks, whatever the file system's own
    struct stat info{};
    if (::lstat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return 0;
    return static_cast<std::uint64_t>(info.st_blocks) * unit;
}

std::string real_path(const std::string& path) {
    char* found = ::realpath(path.c_str(), nullptr);
    if (found == nullptr) return {};
    std::string out(found);
    std::free(found);  // NOLINT(cppcoreguidelines-no-malloc): realpath's
    return out;
}

}  // namespace relevo::os
