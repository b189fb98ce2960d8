#include "os/priority.h"

#include <fmt/core.h>
#include <link.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "base/text.h"
#include "os/file.h"

namespace relevo::os {

namespace {

// The first object is the program itself.
int lock_program(dl_phdr_info* info, std::size_t, void* failed) {
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const auto& part = info->dlpi_phdr[i];
        if (part.p_type != PT_LOAD || (part.p_flags & PF_X) == 0) continue;
        const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
        const auto begin = (info->dlpi_addr + part.p_vaddr) / page * page;
        const auto end = info->dlpi_addr + part.p_vaddr + part.p_memsz;
        // NOLINTNEXTLINE(performance-no-int-to-ptr): the linker tells addresses as numbers
        if (::mlock(reinterpret_cast<const void*>(begin), end - begin) != 0)
            *static_cast<int*>(failed) = errno;
    }
    return 1;
}

struct SchedulingAttributes {  // sched_setattr(2), which glibc does not declare yet
    std::uint32_t size, policy;
    std::uint64_t flags;
    std::int32_t nice;
    std::uint32_t priority;
    std::uint64_t runtime, deadline, period;
};

bool set_scheduling(std::uint32_t policy, std::int32_t nice, std::uint32_t priority) {
    constexpr std::uint64_t reset_on_fork = 1;
    SchedulingAttributes wanted{sizeof wanted, policy, reset_on_fork, nice, priority, 0, 0, 0};
    return ::syscall(SYS_sched_setattr, 0, &wanted, 0U) == 0;
}

}  // namespace

Status lock_memory() {
    // Under a limit the first allocation beyond it would fail, at the worst moment. All or nothing:
    // what is mapped counts, not only what is used.
    rlimit limit{};
    const bool bounded = ::getrlimit(RLIMIT_MEMLOCK, &limit) == 0 &&
                         limit.rlim_cur != RLIM_INFINITY && ::geteuid() != 0;
    if (bounded)
        return fail(
            ErrorCode::denied,
            fmt::format("memory is not locked: RLIMIT_MEMLOCK is {} kB, and would have to be "
                        "unlimited (LimitMEMLOCK=infinity in the unit)",
                        limit.rlim_cur / 1024));
    int failed = 0;
    if (::mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0) failed = errno;
    if (failed == 0) ::dl_iterate_phdr(lock_program, &failed);
    if (failed != 0)
        return fail(ErrorCode::denied,
                    fmt::format("memory is not locked: {}", std::strerror(failed)));
    return {};
}

Result<std::string> raise_priority() {
    if (set_scheduling(SCHED_RR, 0, 1)) return std::string("real-time priority 1");
    const int number = errno;
    constexpr std::int32_t nice = -10;
    if (set_scheduling(SCHED_OTHER, nice, 0)) return fmt::format("nice {}", nice);
    return fail(ErrorCode::denied,
                fmt::format("scheduling priority is not raised: {} (LimitRTPRIO=1 or LimitNICE=-10 "
                            "in the unit)",
                            std::strerror(number)));
}

int oom_score_adjustment() {
    const auto text = read_file("/proc/self/oom_score_adj", 64);
    return text ? static_cast<int>(parse_decimal(trim(*text)).value_or(0)) : 0;
}

}  // namespace relevo::os
