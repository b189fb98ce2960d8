#include "os/watchdog.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/watchdog.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "os/file.h"

namespace relevo::os {

namespace {

bool is_device(const std::string& path) {
    struct stat info{};
    return ::stat(path.c_str(), &info) == 0 && S_ISCHR(info.st_mode);
}

std::string sysfs_attribute(const std::string& path, const char* name) {
    struct stat info{};
    if (::stat(path.c_str(), &info) != 0) return {};
    const auto text = read_file(
        fmt::format("/sys/dev/char/{}:{}/{}", ::major(info.st_rdev), ::minor(info.st_rdev), name),
        4096);
    return text ? std::string(trim(*text)) : std::string();
}

}  // namespace

WatchdogCalls kernel_watchdog() {
    return {.open =
                [](const std::string& path) {
                    if (!is_device(path)) {
                        errno = ::access(path.c_str(), F_OK) == 0 ? ENODEV : ENOENT;
                        return -1;
                    }
                    return ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
                },
            .ioctl = [](int fd, unsigned long request,
                        void* argument) { return ::ioctl(fd, request, argument); },
            .write = [](int fd, const void* bytes,
                        std::size_t count) { return ::write(fd, bytes, count); },
            .close = [](int fd) { return ::close(fd); },
            .attribute = sysfs_attribute};
}

WatchdogCalls testing_watchdog() {
    const auto timeout = std::make_shared<int>(60);
    WatchdogCalls calls = kernel_watchdog();
    calls.open = [](const std::string& path) {
        if (is_device(path)) {
            errno = EPERM;  // what is only tried must not reset this host
            return -1;
        }
        return ::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_APPEND);
    };
    calls.ioctl = [timeout](int fd, unsigned long request, void* argument) {
        if (request == WDIOC_GETSUPPORT) {
            auto& info = *static_cast<watchdog_info*>(argument);
            info = {};
            info.options = WDIOF_SETTIMEOUT | WDIOF_KEEPALIVEPING | WDIOF_MAGICCLOSE;
            return 0;
        }
        if (request == WDIOC_SETTIMEOUT) {
            *timeout = *static_cast<int*>(argument);
            const auto text = fmt::format("T{}\n", *timeout);
            return ::write(fd, text.data(), text.size()) < 0 ? -1 : 0;
        }
        *static_cast<int*>(argument) = *timeout;
        return 0;
    };
    calls.attribute = [](const std::string&, const char*) { return std::string(); };
    return calls;
}

Watchdog::Watchdog(std::string path, WatchdogCalls calls)
    : path_(std::move(path)), calls_(std::move(calls)) {}

Watchdog::~Watchdog() {
    if (fd_ >= 0) calls_.close(fd_);
}

std::unexpected<Error> Watchdog::problem(const std::string& what) const {
    const int number = errno;
    const auto code = number == ENOENT || number == ENODEV || number == ENXIO ? ErrorCode::not_found
                      : number == EACCES || number == EPERM                   ? ErrorCode::denied
                                                                              : ErrorCode::failed;
    const char* hint = "";
    if (number == EACCES || number == EPERM)
        hint = " (give the device to the agent's user: a udev rule, or chown in the unit)";
    else if (number == EBUSY)
        hint = " (another program holds it: RuntimeWatchdogSec of systemd, the watchdog daemon?)";
    else if (number == ENOENT || number == ENODEV)
        hint = " (is a driver loaded, softdog at the least?)";
    return fail(code, fmt::format("{} {}: {}{}", what, path_, std::strerror(number), hint));
}

Status Watchdog::usable() const {
    if (fd_ >= 0 || ::access(path_.c_str(), W_OK) == 0) return {};
    return problem("cannot use the watchdog device");
}

// Once: what an operator should know before the first switchover.
void Watchdog::tell_limits() {
    if (std::exchange(limits_told_, true)) return;
    watchdog_info info{};
    const bool told = calls_.ioctl(fd_, WDIOC_GETSUPPORT, &info) == 0;
    const bool stops = !told || (info.options & WDIOF_MAGICCLOSE) != 0;
    if (stops && calls_.attribute(path_, "nowayout") != "1") return;
    log::warning(
        "the watchdog device {} cannot be disarmed (no magic close, or nowayout): this host will "
        "be reset when this member stops to be the leader",
        path_);
}

Result<Duration> Watchdog::timeout_in_force() {
    int timeout = 0;
    if (calls_.ioctl(fd_, WDIOC_GETTIMEOUT, &timeout) != 0)
        return problem("the timeout cannot be read from");
    return Duration(std::chrono::seconds(timeout));
}

Result<Duration> Watchdog::arm(Duration timeout) {
    if (fd_ < 0) fd_ = calls_.open(path_);
    if (fd_ < 0) return problem("cannot open the watchdog device");
    tell_limits();
    int wanted =
        static_cast<int>(std::chrono::duration_cast<std::chrono::seconds>(timeout).count());
    // A device that cannot be set counts what it counts: the caller judges.
    if (calls_.ioctl(fd_, WDIOC_SETTIMEOUT, &wanted) != 0)
        log::warning("{}", problem(fmt::format("a timeout of {} s cannot be set on", to_s(timeout)))
                               .error()
                               .message);
    auto in_force = timeout_in_force();
    if (in_force) {
        if (const auto fed = feed(); !fed) in_force = std::unexpected(fed.error());
    }
    // Whoever does without it must not be reset by it.
    if (!in_force) (void)disarm();
    return in_force;
}

Status Watchdog::feed() {
    if (fd_ < 0) return fail(ErrorCode::failed, "the watchdog device is not open");
    if (calls_.write(fd_, "1", 1) != 1) return problem("cannot feed the watchdog device");
    return {};
}

Status Watchdog::disarm() {
    if (fd_ < 0) {
        if (calls_.attribute(path_, "state") != "active") return {};
        fd_ = calls_.open(path_);
        // Held by another program: then it is that one's.
        if (fd_ < 0 && errno == EBUSY) return {};
        if (fd_ < 0) return problem("cannot stop the watchdog device that counts,");
        log::info("watchdog: {} was left counting; it is stopped", path_);
    }
    const bool told = calls_.write(fd_, "V", 1) == 1;
    const auto failed = told ? Status{} : Status(problem("cannot disarm the watchdog device"));
    if (!told) return failed;  // it stays open, to be fed or tried again
    calls_.close(std::exchange(fd_, -1));
    return {};
}

}  // namespace relevo::os
