// For tests: a name server on loopback that answers SRV questions with the records given.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "etcd/etcd_dcs.h"

namespace relevo::etcd {

struct Srv {
    std::uint16_t priority, weight, port;
    std::string target;
};

class NameServer {
public:
    explicit NameServer(std::map<std::string, std::vector<Srv>> records)
        : records_(std::move(records)) {
        fd_ = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
        EXPECT_EQ(getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size), 0);
        port_ = ntohs(address.sin_port);
        thread_ = std::thread([this] { serve(); });
    }
    ~NameServer() {
        shutdown(fd_, SHUT_RDWR);  // wakes the thread
        thread_.join();
        close(fd_);
    }
    EtcdEndpoint at() const { return {.host = "127.0.0.1", .port = port_}; }

private:
    static void put16(std::string& out, unsigned value) {
        out += static_cast<char>(value >> 8);
        out += static_cast<char>(value & 0xff);
    }
    static std::string encode(const std::string& name) {
        std::string out;
        std::stringstream labels(name);
        for (std::string label; std::getline(labels, label, '.');)
            out += static_cast<char>(label.size()) + label;
        return out + '\0';
    }
    void serve() {
        std::array<char, 512> buffer{};
        while (true) {
            sockaddr_in from{};
            socklen_t size = sizeof from;
            const auto got = recvfrom(fd_, buffer.data(), buffer.size(), 0,
                                      reinterpret_cast<sockaddr*>(&from), &size);
            if (got <= 12) return;
            const std::string query(buffer.data(), static_cast<std::size_t>(got));
            std::string name;
            std::size_t at = 12;
            while (query[at] != 0) {
                const auto length = static_cast<std::size_t>(query[at]);
                name += (name.empty() ? "" : ".") + query.substr(at + 1, length);
                at += 1 + length;
            }
            const auto question = query.substr(12, at + 5 - 12);
            const auto found = records_.find(name);
            const auto count = found == records_.end() ? 0 : found->second.size();
            std::string answer = query.substr(0, 2);
            put16(answer, found == records_.end() ? 0x8183 : 0x8180);
            put16(answer, 1);
            put16(answer, static_cast<unsigned>(count));
            put16(answer, 0);
            put16(answer, 0);
            answer += question;
            for (std::size_t i = 0; i < count; ++i) {
                const auto& record = found->second[i];
                const auto target = encode(record.target);
                put16(answer, 0xc00c);
                put16(answer, 33);
                put16(answer, 1);
                put16(answer, 0);
                put16(answer, 60);
                put16(answer, static_cast<unsigned>(6 + target.size()));
                put16(answer, record.priority);
                put16(answer, record.weight);
                put16(answer, record.port);
                answer += target;
            }
            sendto(fd_, answer.data(), answer.size(), 0, reinterpret_cast<sockaddr*>(&from), size);
        }
    }

    std::map<std::string, std::vector<Srv>> records_;
    int fd_ = -1;
    std::uint16_t port_ = 0;
    std::thread thread_;
};

}  // namespace relevo::etcd
