// A name server of our own on loopback answers with the records each test gives it.
#include "etcd/srv.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <map>
#include <sstream>
#include <thread>

namespace relevo::etcd {
namespace {

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

Result<std::vector<EtcdEndpoint>> ask(const NameServer& server, const std::string& suffix = "") {
    const std::atomic<bool> stopping = false;
    return discover({.domain = "example.test", .suffix = suffix, .nameserver = server.at()},
                    stopping);
}

TEST(Srv, the_first_name_with_records_counts_in_order_of_priority) {
    const NameServer server(
        {{"_etcd-client._tcp.example.test",
          {{20, 0, 2379, "etcd-2.example.test"}, {10, 0, 2380, "etcd-1.example.test"}}},
         {"_etcd._tcp.example.test", {{10, 0, 1, "other.example.test"}}}});
    const auto found = ask(server);
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(*found, (std::vector<EtcdEndpoint>{{.host = "etcd-1.example.test", .port = 2380},
                                                 {.host = "etcd-2.example.test", .port = 2379}}));
}

TEST(Srv, ssl_in_the_name_means_https_and_comes_first) {
    const NameServer server(
        {{"_etcd-client-ssl._tcp.example.test", {{0, 0, 2379, "a.example.test"}}},
         {"_etcd-client._tcp.example.test", {{0, 0, 2379, "b.example.test"}}}});
    EXPECT_EQ(ask(server).value(),
              (std::vector<EtcdEndpoint>{{.host = "a.example.test", .port = 2379, .https = true}}));
}

TEST(Srv, the_suffix_is_part_of_the_name) {
    const NameServer server(
        {{"_etcd-client._tcp.example.test", {{0, 0, 1, "plain.example.test"}}},
         {"_etcd-client-blue._tcp.example.test", {{0, 0, 2, "blue.example.test"}}}});
    EXPECT_EQ(ask(server, "blue").value().front().host, "blue.example.test");
}

TEST(Srv, no_records_are_an_error_that_names_the_domain) {
    const NameServer server({});
    const auto found = ask(server);
    ASSERT_FALSE(found);
    EXPECT_EQ(found.error().code, ErrorCode::unavailable);
    EXPECT_NE(found.error().message.find("example.test"), std::string::npos);
}

}  // namespace
}  // namespace relevo::etcd
