#include "proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <utility>

namespace relevo::client::testing {

namespace {

sockaddr_in loopback(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    return address;
}

bool send_all(int fd, std::string_view data) {
    while (!data.empty()) {
        const auto sent = ::send(fd, data.data(), data.size(), MSG_NOSIGNAL);
        if (sent <= 0) return false;
        data.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
}

std::string receive(int fd) {
    std::array<char, 65536> buffer{};
    const auto size = ::recv(fd, buffer.data(), buffer.size(), 0);
    return size > 0 ? std::string(buffer.data(), static_cast<std::size_t>(size)) : std::string();
}

void close_hard(int& fd) {
    if (fd >= 0) ::close(fd);
    fd = -1;
}

}  // namespace

struct Proxy::Pair {
    int client = -1, server = -1;
    bool doomed = false;  // at the server's next answer
    std::function<void()> when;
    ~Pair() {
        close_hard(client);
        close_hard(server);
    }
};

Proxy::Proxy(int server_port) : server_port_(server_port) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    auto address = loopback(0);
    socklen_t size = sizeof address;
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the sockets API is made so
    auto* plain = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listener_, plain, size) == 0 && ::listen(listener_, 64) == 0 &&
        ::getsockname(listener_, plain, &size) == 0 && ::pipe(wake_) == 0)
        port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { run(); });
}

Proxy::~Proxy() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
    }
    if (::write(wake_[1], "x", 1) != 1) std::abort();
    thread_.join();
    close_hard(listener_);
    close_hard(wake_[0]);
    close_hard(wake_[1]);
}

void Proxy::next(Fault fault, std::string text, std::function<void()> when) {
    const std::lock_guard lock(mutex_);
    fault_ = fault;
    text_ = std::move(text);
    when_ = std::move(when);
    happened_ = false;
}

void Proxy::refuse(bool all) {
    const std::lock_guard lock(mutex_);
    refuse_ = all;
}

void Proxy::redirect(int server_port) {
    const std::lock_guard lock(mutex_);
    server_port_ = server_port;
}

bool Proxy::happened() {
    const std::lock_guard lock(mutex_);
    return happened_;
}

void Proxy::accept_one() {
    int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    std::unique_lock lock(mutex_);
    auto address = loopback(server_port_);
    const bool refuse = refuse_;
    lock.unlock();
    int server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast)
    if (refuse || ::connect(server, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
        close_hard(client);
        close_hard(server);
        return;
    }
    auto pair = std::make_unique<Pair>();
    pair->client = client;
    pair->server = server;
    pairs_.push_back(std::move(pair));
}

bool Proxy::forward_up(Pair& pair) {
    const auto data = receive(pair.client);
    if (data.empty()) return false;
    auto fault = Fault::none;
    std::function<void()> when;
    {
        const std::lock_guard lock(mutex_);
        if (fault_ != Fault::none && data.find(text_) != std::string::npos) {
            fault = std::exchange(fault_, Fault::none);
            when = std::move(when_);
        }
    }
    if (fault != Fault::none && fault != Fault::cut_answer && when) when();
    if (fault != Fault::none && fault != Fault::cut_answer) {
        const std::lock_guard lock(mutex_);
        happened_ = true;
    }
    switch (fault) {
        case Fault::cut_before: return false;
        case Fault::half_open: close_hard(pair.client); return true;
        case Fault::cut_answer:
            pair.doomed = true;
            pair.when = std::move(when);
            break;
        case Fault::none:
        case Fault::only_tell: break;
    }
    return send_all(pair.server, data);
}

bool Proxy::forward_down(Pair& pair) {
    const auto data = receive(pair.server);
    if (pair.doomed) {
        if (pair.when) pair.when();
        const std::lock_guard lock(mutex_);
        happened_ = true;
        return false;
    }
    if (data.empty()) return false;
    return pair.client < 0 || send_all(pair.client, data);
}

void Proxy::run() {
    for (;;) {
        std::vector<pollfd> fds{{wake_[0], POLLIN, 0}, {listener_, POLLIN, 0}};
        for (const auto& pair : pairs_) {
            fds.push_back({pair->client, POLLIN, 0});  // a negative one is left out by poll
            fds.push_back({pair->server, POLLIN, 0});
        }
        if (::poll(fds.data(), fds.size(), -1) < 0) continue;
        if (fds[0].revents != 0) break;
        const auto known = pairs_.size();
        for (std::size_t i = 0; i < known; ++i) {
            bool open = true;
            if (fds[2 + 2 * i].revents != 0) open = forward_up(*pairs_[i]);
            if (open && fds[3 + 2 * i].revents != 0) open = forward_down(*pairs_[i]);
            if (!open) pairs_[i].reset();
        }
        if (fds[1].revents != 0) accept_one();
        std::erase(pairs_, nullptr);
    }
    pairs_.clear();
}

}  // namespace relevo::client::testing
