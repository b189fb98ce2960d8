#include "backup/replica.h"

#include <fmt/format.h>

#include <ranges>
#include <string>

#include "backup/repositories.h"

namespace relevo::backup {
namespace {

// Empty: it can be.
std::string why_not(const cluster::BackupRecord& backup, const cluster::WalLine& line) {
    if (!backup.system_id.empty() && backup.system_id != line.system_id)
        return fmt::format("is of another cluster (system identifier {}, ours {})",
                           backup.system_id, line.system_id);
    if (backup.page_errors.value_or(false)) return "has pages whose checksum does not hold";
    const auto timeline = backup.timeline();
    if (timeline == 0) return "does not say on which timeline it was made";
    if (!line.knows(timeline))
        return fmt::format("was made on timeline {}, from which the leader's {} does not come",
                           timeline, line.timeline);
    if (timeline == line.timeline) return {};
    if (!backup.lsn_stop) return "does not say where it ended, and another timeline began since";
    if (!line.has(timeline, backup.lsn_stop))
        return fmt::format("ended at {} on timeline {}, after the leader's {} had left it",
                           to_string(backup.lsn_stop), timeline, line.timeline);
    return {};
}

}  // namespace

Result<cluster::BackupRecord> for_replica(const cluster::Repository& repository,
                                          const cluster::WalLine& line) {
    if (repository.backups.empty())
        return fail(ErrorCode::not_found,
                    or_unread("the repository holds no backup yet: make one (relevoctl backup run)",
                              repository));
    constexpr std::size_t most = 2;
    std::string why;
    std::size_t told = 0;
    for (const auto& backup : std::views::reverse(repository.backups)) {
        const auto not_this = why_not(backup, line);
        if (not_this.empty()) return backup;
        if (++told <= most) why += fmt::format("; {} {}", backup.label, not_this);
    }
    if (told > most) why += fmt::format("; and {} older ones", told - most);
    return fail(ErrorCode::not_found,
                "no backup in the repository leads to where the leader is: make one (relevoctl "
                "backup run)" +
                    why);
}

}  // namespace relevo::backup
