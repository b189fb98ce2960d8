// Real etcd servers for tests: one or more members on free loopback ports, their data in a
// directory that goes away with them.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace relevo::tests {

bool have_etcd();  // etcd is in the PATH

struct EtcdTls {
    std::string cacert, cert, key;
};

class EtcdServers {
public:
    explicit EtcdServers(int count = 1, const EtcdTls* tls = nullptr);
    ~EtcdServers();
    EtcdServers(const EtcdServers&) = delete;
    EtcdServers& operator=(const EtcdServers&) = delete;

    std::uint16_t port(int member) const { return members_.at(index(member)).client_port; }
    int count() const { return static_cast<int>(members_.size()); }
    const std::filesystem::path& directory() const { return directory_; }
    void freeze(int member);  // SIGSTOP: connections stay open and silent
    void resume(int member);
    void kill(int member);   // SIGKILL, as a power loss leaves the data
    void start(int member);  // after kill()
    // etcdctl with the members' endpoints and the given arguments; its output. Fails the test when
    // it fails.
    std::string ctl(const std::string& arguments) const;
    std::string ctl_one(int member, const std::string& arguments) const;

private:
    struct Member {
        std::uint16_t client_port = 0;
        std::uint16_t peer_port = 0;
        pid_t pid = 0;
    };
    static std::size_t index(int member) { return static_cast<std::size_t>(member); }
    void launch(std::size_t member);
    std::string run_ctl(const std::string& endpoints, const std::string& arguments) const;
    void wait_until_serving() const;

    std::filesystem::path directory_;
    std::vector<Member> members_;
    const EtcdTls* tls_;
};

}  // namespace relevo::tests
