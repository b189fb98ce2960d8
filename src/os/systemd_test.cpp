#include "os/systemd.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <string>

namespace relevo::os {
namespace {

// The socket that systemd would listen on.
class Systemd : public testing::Test {
protected:
    void SetUp() override {
        directory_ = testing::TempDir() + "relevo-systemd-XXXXXX";
        ASSERT_NE(::mkdtemp(directory_.data()), nullptr);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        const auto path = directory_ + "/notify";
        ASSERT_LT(path.size(), sizeof address.sun_path);
        std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
        socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        ASSERT_EQ(::bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
        ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
    }
    void TearDown() override {
        ::unsetenv("NOTIFY_SOCKET");
        ::close(socket_);
        ::unlink((directory_ + "/notify").c_str());
        ::rmdir(directory_.c_str());
    }
    std::string heard() const {
        std::array<char, 256> text{};
        const auto size = ::recv(socket_, text.data(), text.size(), 0);
        return size < 0 ? "" : std::string(text.data(), static_cast<std::size_t>(size));
    }

private:
    std::string directory_;
    int socket_ = -1;
};

TEST_F(Systemd, hears_when_the_agent_is_ready_and_when_it_stops) {
    notify_ready();
    EXPECT_EQ(heard(), "READY=1");
    notify_stopping();
    EXPECT_EQ(heard(), "STOPPING=1");
}

TEST_F(Systemd, hears_since_when_the_agent_reloads) {
    notify_reloading();
    const auto text = heard();
    ASSERT_EQ(text.find("RELOADING=1\nMONOTONIC_USEC="), 0U) << text;
    EXPECT_GT(std::stoll(text.substr(text.rfind('=') + 1)), 0);
}

TEST_F(Systemd, is_not_told_where_nobody_listens) {
    ::unsetenv("NOTIFY_SOCKET");
    notify_ready();
    EXPECT_EQ(heard(), "");
}

}  // namespace
}  // namespace relevo::os
