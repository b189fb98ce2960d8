#include "config/probe.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

namespace relevo::config {
namespace {

class Descriptor {
public:
    explicit Descriptor(int fd) : fd_(fd) {}
    ~Descriptor() {
        if (fd_ >= 0) ::close(fd_);
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    int get() const { return fd_; }

private:
    int fd_;
};

using Addresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

// host empty or "*": all addresses of this host.
std::pair<Addresses, std::string> lookup(const std::string& host, int port, bool to_listen) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = (to_listen ? AI_PASSIVE : 0) | AI_NUMERICSERV;
    addrinfo* found = nullptr;
    const bool any = host.empty() || host == "*";
    const int error =
        getaddrinfo(any ? nullptr : host.c_str(), std::to_string(port).c_str(), &hints, &found);
    return {Addresses(found, &freeaddrinfo), error == 0 ? "" : gai_strerror(error)};
}

std::string why(int error) { return std::strerror(error); }

// 0, or the errno of why not.
int try_connect(const addrinfo& address, std::chrono::steady_clock::time_point deadline) {
    const Descriptor socket(
        ::socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (socket.get() < 0) return errno;
    if (::connect(socket.get(), address.ai_addr, address.ai_addrlen) == 0) return 0;
    if (errno != EINPROGRESS) return errno;
    pollfd wait{.fd = socket.get(), .events = POLLOUT, .revents = 0};
    while (true) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            deadline - std::chrono::steady_clock::now());
        if (left.count() <= 0) return ETIMEDOUT;
        const int ready = ::poll(&wait, 1, static_cast<int>(left.count()));
        if (ready == 0) return ETIMEDOUT;
        if (ready > 0) break;
        if (errno != EINTR) return errno;
    }
    int error = 0;
    socklen_t size = sizeof error;
    if (::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) return errno;
    return error;
}

}  // namespace

std::optional<std::string> why_not_listen(const Address& address) {
    const auto [found, problem] = lookup(address.host, address.port, true);
    if (!problem.empty()) return fmt::format("{} cannot be resolved: {}", address.host, problem);
    for (const addrinfo* each = found.get(); each != nullptr; each = each->ai_next) {
        const Descriptor socket(::socket(each->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (socket.get() < 0) continue;  // a host without IPv6
        const int on = 1;
        // As servers do: what is left of closed connections is no hindrance, a listener is.
        (void)::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (each->ai_family == AF_INET6)
            (void)::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
        if (::bind(socket.get(), each->ai_addr, each->ai_addrlen) == 0 &&
            ::listen(socket.get(), 1) == 0)
            continue;
        if (errno == EADDRINUSE) return fmt::format("port {} is already in use", address.port);
        if (errno == EADDRNOTAVAIL)
            return fmt::format("{} is no address of this host", address.host);
        if (errno == EACCES)
            return fmt::format("port {} needs more rights than this user has", address.port);
        if (each->ai_family == AF_INET6 && errno == EAFNOSUPPORT) continue;
        return why(errno);
    }
    return std::nullopt;
}

std::optional<std::string> why_not_connect(const Address& address,
                                           std::chrono::milliseconds timeout) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    const auto [found, problem] = lookup(address.host, address.port, false);
    if (!problem.empty()) return fmt::format("the name cannot be resolved: {}", problem);
    int last = EHOSTUNREACH;
    for (const addrinfo* each = found.get(); each != nullptr; each = each->ai_next) {
        last = try_connect(*each, deadline);
        if (last == 0) return std::nullopt;
    }
    return fmt::format("does not accept a connection: {}", why(last));
}

std::optional<std::string> first_line_of(const std::string& program, const std::string& argument) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return std::nullopt;
    const Descriptor read_end(ends[0]);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    std::string name = program, option = argument;
    std::array<char*, 3> arguments{name.data(), option.data(), nullptr};
    pid_t child = 0;
    const int error =
        ::posix_spawnp(&child, name.c_str(), &actions, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    if (error != 0) return std::nullopt;
    std::string out;
    std::array<char, 512> buffer{};
    pollfd wait{.fd = read_end.get(), .events = POLLIN, .revents = 0};
    // A program that says nothing for that long is not asked further.
    while (out.size() < 4096 && ::poll(&wait, 1, 5000) > 0) {
        const ssize_t got = ::read(read_end.get(), buffer.data(), buffer.size());
        if (got <= 0) break;
        out.append(buffer.data(), static_cast<std::size_t>(got));
    }
    if (out.find('\n') == std::string::npos) (void)::kill(child, SIGKILL);
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return std::nullopt;
    return out.substr(0, out.find('\n'));
}

}  // namespace relevo::config
