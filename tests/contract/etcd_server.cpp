#include "tests/contract/etcd_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <thread>

namespace relevo::tests {

namespace {

// Bound by us until all ports are chosen, so that no two are the same.
class FreePorts {
public:
    ~FreePorts() {
        for (const int fd : held_) close(fd);
    }
    std::uint16_t take() {
        const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        if (fd < 0 || bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
            getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0)
            throw std::runtime_error("no free port");
        held_.push_back(fd);
        return ntohs(address.sin_port);
    }

private:
    std::vector<int> held_;
};

std::filesystem::path make_directory() {
    const char* chosen = std::getenv("TMPDIR");
    const std::filesystem::path parent =
        access("/dev/shm", W_OK) == 0 ? "/dev/shm" : (chosen != nullptr ? chosen : "/tmp");
    std::string name = parent / "relevo-etcd-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp " + name);
    return name;
}

}  // namespace

bool have_etcd() { return std::system("command -v etcd etcdctl >/dev/null 2>&1") == 0; }

EtcdServers::EtcdServers(int count, const EtcdTls* tls) : directory_(make_directory()), tls_(tls) {
    {
        FreePorts ports;
        for (int i = 0; i < count; ++i)
            members_.push_back({.client_port = ports.take(), .peer_port = ports.take()});
    }
    for (std::size_t i = 0; i < members_.size(); ++i) launch(i);
    wait_until_serving();
}

EtcdServers::~EtcdServers() {
    for (int i = 0; i < count(); ++i) kill(i);
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
}

void EtcdServers::launch(std::size_t member) {
    auto& self = members_[member];
    const auto scheme = tls_ != nullptr ? "https" : "http";
    std::string cluster;
    for (std::size_t i = 0; i < members_.size(); ++i)
        cluster +=
            fmt::format("{}m{}=http://127.0.0.1:{}", i == 0 ? "" : ",", i, members_[i].peer_port);
    const auto client = fmt::format("{}://127.0.0.1:{}", scheme, self.client_port);
    const auto peer = fmt::format("http://127.0.0.1:{}", self.peer_port);
    std::vector<std::string> words = {"etcd",
                                      "--name",
                                      fmt::format("m{}", member),
                                      "--data-dir",
                                      directory_ / fmt::format("m{}", member),
                                      "--listen-client-urls",
                                      client,
                                      "--advertise-client-urls",
                                      client,
                                      "--listen-peer-urls",
                                      peer,
                                      "--initial-advertise-peer-urls",
                                      peer,
                                      "--initial-cluster",
                                      cluster,
                                      "--initial-cluster-state",
                                      "new",
                                      "--logger",
                                      "zap",
                                      "--log-level",
                                      "warn"};
    if (tls_ != nullptr)
        for (const auto& word :
             {std::string("--cert-file"), tls_->cert, std::string("--key-file"), tls_->key})
            words.push_back(word);
    std::vector<char*> arguments;
    for (auto& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    const auto log = directory_ / fmt::format("m{}.log", member);

    const pid_t parent = getpid();
    const pid_t pid = fork();
    if (pid < 0) throw std::runtime_error("fork");
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);  // etcd must not outlive a test that crashed
        if (getppid() != parent) _exit(1);
        const int fd = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
        execvp("etcd", arguments.data());
        _exit(127);
    }
    self.pid = pid;
}

void EtcdServers::wait_until_serving() const {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    std::string endpoints;
    for (const auto& member : members_)
        endpoints += fmt::format("{}{}://127.0.0.1:{}", endpoints.empty() ? "" : ",",
                                 tls_ != nullptr ? "https" : "http", member.client_port);
    const auto command = fmt::format(
        "ETCDCTL_API=3 etcdctl --endpoints={} {} --command-timeout=2s endpoint health >/dev/null "
        "2>&1",
        endpoints, tls_ != nullptr ? "--cacert=" + tls_->cacert : "");
    while (std::system(command.c_str()) != 0) {
        if (std::chrono::steady_clock::now() > give_up)
            throw std::runtime_error("etcd does not start; see " + directory_.string());
        std::this_thread::sleep_for(
            std::chrono::milliseconds(50));  // etcd has no event to tell it by
    }
}

void EtcdServers::freeze(int member) {
    const pid_t pid = members_.at(index(member)).pid;
    ::kill(pid, SIGSTOP);
    waitpid(pid, nullptr, WUNTRACED);  // until its last thread has stopped
}

void EtcdServers::resume(int member) { ::kill(members_.at(index(member)).pid, SIGCONT); }

void EtcdServers::kill(int member) {
    auto& self = members_.at(index(member));
    if (self.pid == 0) return;
    ::kill(self.pid, SIGKILL);
    waitpid(self.pid, nullptr, 0);
    self.pid = 0;
}

void EtcdServers::start(int member) { launch(index(member)); }

std::string EtcdServers::ctl(const std::string& arguments) const {
    std::string endpoints;
    for (const auto& member : members_)
        if (member.pid != 0)
            endpoints += fmt::format("{}{}://127.0.0.1:{}", endpoints.empty() ? "" : ",",
                                     tls_ != nullptr ? "https" : "http", member.client_port);
    return run_ctl(endpoints, arguments);
}

std::string EtcdServers::ctl_one(int member, const std::string& arguments) const {
    return run_ctl(
        fmt::format("{}://127.0.0.1:{}", tls_ != nullptr ? "https" : "http", port(member)),
        arguments);
}

std::string EtcdServers::run_ctl(const std::string& endpoints, const std::string& arguments) const {
    const auto command = fmt::format("ETCDCTL_API=3 etcdctl --endpoints={} {} {} 2>&1", endpoints,
                                     tls_ != nullptr ? "--cacert=" + tls_->cacert : "", arguments);
    std::string output;
    FILE* pipe = popen(command.c_str(), "r");
    std::array<char, 4096> buffer{};
    while (const auto got = fread(buffer.data(), 1, buffer.size(), pipe))
        output.append(buffer.data(), got);
    EXPECT_EQ(pclose(pipe), 0) << command << "\n" << output;
    return output;
}

}  // namespace relevo::tests
