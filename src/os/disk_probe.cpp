#include "os/disk_probe.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string_view>

namespace relevo::os {
namespace {

constexpr std::size_t page_size = 8192;  // PostgreSQL's

constexpr std::string_view says =
    "Here the agent of this PostgreSQL sees whether the disk takes writes. Whoever deletes it does "
    "no harm.\n";

using Page = std::array<char, page_size>;
Page make_page() {
    Page page{};
    page.fill('\n');
    std::memcpy(page.data(), says.data(), says.size());
    return page;
}

// What says nothing against the disk must not be taken for its end: a leader that believes that
// its disk has failed gives the lead away.
ErrorCode code_of(int error) {
    switch (error) {
        case ENOENT:
        case ENOTDIR: return ErrorCode::not_found;
        case EACCES:
        case EPERM:
        case EISDIR:
        case ELOOP:  // something else stands in its place
        case ETXTBSY:
        case EINVAL:  // a file system without sync
        case EOPNOTSUPP:
        case ENOSYS:
        case ENAMETOOLONG: return ErrorCode::denied;
        case EMFILE:
        case ENFILE:
        case ENOMEM: return ErrorCode::unavailable;
        default: return ErrorCode::failed;
    }
}

std::unexpected<Error> problem(const char* doing, const std::string& path, int error) {
    const auto code = code_of(error);
    auto message = fmt::format("cannot {} {}: {}", doing, path, std::strerror(error));
    if (code == ErrorCode::denied) message += fmt::format(" (running as uid {})", ::geteuid());
    return fail(code, std::move(message));
}

bool no_room(int error) { return error == ENOSPC || error == EDQUOT; }

// 0, or errno.
int write_page(int fd, const Page& page) {
    std::size_t done = 0;
    while (done < page.size()) {
        const auto wrote =
            ::pwrite(fd, page.data() + done, page.size() - done, static_cast<off_t>(done));
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote < 0) return errno;
        if (wrote == 0) return EIO;  // no file does that
        done += static_cast<std::size_t>(wrote);
    }
    return 0;
}

// What somebody else keeps under this name is not written over. 0, or errno; EPERM: it is
// another's.
int check_ours(int fd) {
    struct stat info{};
    if (::fstat(fd, &info) != 0) return errno;
    if (info.st_nlink > 1) return EPERM;
    if (!S_ISREG(info.st_mode) || info.st_size == 0) return 0;
    if (info.st_size > static_cast<off_t>(page_size)) return EPERM;
    std::array<char, says.size()> begins{};
    const auto got = ::pread(fd, begins.data(), begins.size(), 0);
    if (got < 0) return errno;
    // Zeros: the power was lost before its first page was written.
    const bool ours = begins[0] == 0 || std::string_view(begins.data(), begins.size()) == says;
    return ours ? 0 : EPERM;
}

}  // namespace

Result<DiskProbe> probe_disk(const std::string& path) {
    static const Page page = make_page();
    using clock = std::chrono::steady_clock;
    const auto began = clock::now();
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 && no_room(errno)) return DiskProbe{false, clock::now() - began};
    if (fd < 0) return problem("open", path, errno);
    const char* doing = "read";
    int error = check_ours(fd);
    if (error == 0) {
        doing = "write";
        error = write_page(fd, page);
    }
    if (error == 0) {
        doing = "sync";
        // Not fsync: of a page in place nothing but the page has to be durable, so this waits for
        // no journal, which on a busy disk has all that others write before it.
        if (::fdatasync(fd) != 0) error = errno;
    }
    ::close(fd);
    if (error != 0 && !no_room(error)) return problem(doing, path, error);
    return DiskProbe{error == 0, clock::now() - began};
}

}  // namespace relevo::os
