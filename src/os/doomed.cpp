#include "os/doomed.h"

#include <fmt/core.h>

#include <charconv>
#include <csignal>
#include <cstdint>
#include <string>
#include <string_view>

#include "os/file.h"

namespace relevo::os {
namespace {

// "Name:\tvalue" of /proc's status; empty when it has none.
std::string_view value_of(std::string_view status, std::string_view name) {
    const auto key = "\n" + std::string(name) + ":\t";
    const auto at = status.find(key);
    if (at == std::string_view::npos) return {};
    const auto rest = status.substr(at + key.size());
    return rest.substr(0, rest.find('\n'));
}

bool thread_is_doomed(std::string_view status) {
    const auto pending = value_of(status, "SigPnd");
    std::uint64_t bits = 0;
    constexpr int hex = 16;
    const auto end = pending.data() + pending.size();
    const auto parsed = std::from_chars(pending.data(), end, bits, hex);
    if (pending.empty() || parsed.ec != std::errc() || parsed.ptr != end) return false;
    const bool killed = ((bits >> static_cast<unsigned>(SIGKILL - 1)) & 1U) != 0;
    return killed && value_of(status, "State").starts_with('D');
}

}  // namespace

bool doomed(pid_t pid) {
    const auto tasks = fmt::format("/proc/{}/task", pid);
    const auto threads = list_directory(tasks);
    if (!threads || threads->empty()) return false;
    for (const auto& thread : *threads) {
        // First that it was killed, then where it is, out of one text: once it is killed, it can
        // only sleep on or end.
        const auto status = read_file(tasks + "/" + thread + "/status", 1 << 16);
        if (!status || !thread_is_doomed(*status)) return false;
    }
    return true;
}

}  // namespace relevo::os
