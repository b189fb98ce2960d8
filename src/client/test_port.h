// For tests: a port of loopback.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "relevo/types.h"

namespace relevo::client::testing {

// One that is ours and where nobody listens (refused), or listens and never says a word.
class Port {
public:
    explicit Port(bool listens) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
        if (listens) EXPECT_EQ(::listen(fd_, 16), 0);
        EXPECT_EQ(::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size), 0);
        number_ = ntohs(address.sin_port);
    }
    Port(const Port&) = delete;
    Port& operator=(const Port&) = delete;
    ~Port() { ::close(fd_); }
    int number() const { return number_; }
    std::string url() const { return "http://127.0.0.1:" + std::to_string(number_); }
    Options options() const {
        return {.conninfo = "host=127.0.0.1 user=u dbname=d port=" + std::to_string(number_),
                .size = 2};
    }

private:
    int fd_;
    int number_ = 0;
};

}  // namespace relevo::client::testing
