#include "pgbouncer/sockets.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace relevo::pgbouncer {
namespace {

struct Message {
    nlmsghdr header;
    inet_diag_req_v2 request;
};

// False: not two addresses of one family.
bool fill(Message& message, const TcpPair& pair) {
    message = {};
    auto& id = message.request.id;
    const bool v4 = inet_pton(AF_INET, pair.local.c_str(), id.idiag_src) == 1 &&
                    inet_pton(AF_INET, pair.remote.c_str(), id.idiag_dst) == 1;
    if (!v4 && (inet_pton(AF_INET6, pair.local.c_str(), id.idiag_src) != 1 ||
                inet_pton(AF_INET6, pair.remote.c_str(), id.idiag_dst) != 1))
        return false;
    message.header.nlmsg_len = sizeof(message);
    message.header.nlmsg_type = SOCK_DESTROY;
    message.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    message.request.sdiag_family = v4 ? AF_INET : AF_INET6;
    message.request.sdiag_protocol = IPPROTO_TCP;
    message.request.idiag_states = ~0U;
    id.idiag_sport = htons(static_cast<std::uint16_t>(pair.local_port));
    id.idiag_dport = htons(static_cast<std::uint16_t>(pair.remote_port));
    id.idiag_cookie[0] = id.idiag_cookie[1] = static_cast<std::uint32_t>(INET_DIAG_NOCOOKIE);
    return true;
}

// What the kernel says to one request: an errno, 0: done.
int ask(int socket, const Message& message) {
    if (send(socket, &message, sizeof(message), 0) < 0) return errno;
    struct {
        nlmsghdr header;
        nlmsgerr error;
        char rest[512];
    } answer{};
    if (recv(socket, &answer, sizeof(answer), 0) < 0) return errno;
    return answer.header.nlmsg_type == NLMSG_ERROR ? -answer.error.error : EPROTO;
}

}  // namespace

Result<int> destroy(const std::vector<TcpPair>& pairs) {
    const int socket = ::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (socket < 0)
        return fail(ErrorCode::unavailable,
                    fmt::format("no netlink for sockets: {}", std::strerror(errno)));
    // The kernel answers within the call that sends; this only bounds a surprise.
    const timeval patience{.tv_sec = 0, .tv_usec = 200'000};
    (void)setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    int done = 0, refused = 0;
    for (const auto& pair : pairs) {
        Message message;
        if (!fill(message, pair)) continue;
        const int error = ask(socket, message);
        if (error == 0)
            ++done;
        else if (error != ENOENT)
            refused = error;  // ENOENT: it has ended by itself
    }
    ::close(socket);
    if (refused == EPERM || refused == EACCES)
        return fail(ErrorCode::denied,
                    "connections cannot be ended from outside: CAP_NET_ADMIN is missing "
                    "(systemd: AmbientCapabilities=CAP_NET_ADMIN)");
    if (refused != 0 && done == 0)
        return fail(ErrorCode::unavailable,
                    fmt::format("the kernel does not end connections: {}", std::strerror(refused)));
    return done;
}

}  // namespace relevo::pgbouncer
