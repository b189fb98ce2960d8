#include "backup/choose.h"

#include <algorithm>
#include <tuple>
#include <vector>

namespace relevo::backup {

bool declined(const cluster::BackupJob& job, const MemberName& name) {
    return std::ranges::find(job.declined, name) != job.declined.end();
}

MemberName best_standby(const Look& look, const cluster::BackupJob& job) {
    using Rank = std::tuple<bool, std::uint64_t, MemberName>;
    std::vector<Rank> fit;
    for (const auto& [name, member] : look.members)
        if (member.standby && !declined(job, name))
            fit.emplace_back(member.synchronous, member.lag, name);
    return fit.empty() ? MemberName() : std::get<MemberName>(*std::ranges::min_element(fit));
}

Choice choose(const Look& look, From from, bool standbys_reach_primary,
              const cluster::BackupJob& job) {
    if (look.leader.empty() || !look.members.contains(look.leader))
        return {{}, "nobody leads the cluster"};
    if (cluster::reads_only(job.what)) {
        const auto standby = best_standby(look, job);
        return {standby.empty() ? look.leader : standby, {}};
    }
    // Only who leads may remove what others still need, and it reaches the repository as well.
    const bool primary = from == From::primary || job.what == cluster::JobWhat::expire ||
                         (from == From::prefer_standby && !standbys_reach_primary);
    if (!primary && !standbys_reach_primary)
        return {{},
                "backup.from is standby, and pgBackRest on a standby has no way to the primary's "
                "host: set backup.primary_host, or from: prefer-standby"};
    if (!primary) {
        if (auto standby = best_standby(look, job); !standby.empty())
            return {std::move(standby), {}};
        if (from == From::standby)
            return {{}, "backup.from is standby, and no standby is fit to make one"};
    }
    return {look.leader, {}};
}

}  // namespace relevo::backup
