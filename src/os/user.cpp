#include "os/user.h"

#include <fmt/core.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "os/file.h"

namespace relevo::os {
namespace {

Result<passwd> find(const std::string& name) {
    errno = 0;
    const passwd* const found = ::getpwnam(name.c_str());
    if (found == nullptr)
        return fail(ErrorCode::not_found, fmt::format("there is no user {} on this host", name));
    return *found;
}

std::unexpected<Error> failed(const std::string& doing) {
    return fail(ErrorCode::failed, fmt::format("{}: {}", doing, std::strerror(errno)));
}

bool capabilities(__u32 wanted) {
    __user_cap_header_struct header{};
    header.version = _LINUX_CAPABILITY_VERSION_3;
    __user_cap_data_struct data[2]{};
    data[0].effective = data[0].permitted = wanted;
    return ::syscall(SYS_capset, &header, data) == 0;
}

}  // namespace

Status become_user(const std::string& name) {
    RLV_TRY(const auto user, find(name));
    if (user.pw_uid == 0) return fail(ErrorCode::invalid, name + " is root again");
    const uid_t uid = user.pw_uid;
    const gid_t gid = user.pw_gid;
    if (::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return failed("keeping CAP_NET_ADMIN");
    if (::initgroups(name.c_str(), gid) != 0 || ::setresgid(gid, gid, gid) != 0 ||
        ::setresuid(uid, uid, uid) != 0)
        return failed("becoming " + name);
    // Where root itself lacks it (a container) there is nothing to keep.
    if (!capabilities(1U << CAP_NET_ADMIN) && !capabilities(0))
        return failed("letting go of root's rights");
    return {};
}

void keep_rights_to_oneself() { (void)::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); }

Status make_directory_for(const std::string& path, const std::string& user) {
    RLV_TRY(const auto found, find(user));
    const uid_t uid = found.pw_uid;
    const gid_t gid = found.pw_gid;
    if (exists(path)) return {};
    RLV_CHECK(make_directory(path, 0755));
    if (::chown(path.c_str(), uid, gid) != 0) return failed("giving " + path + " to " + user);
    return {};
}

}  // namespace relevo::os
