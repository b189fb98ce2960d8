// Stories with synchronous replication.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "cluster/sync_names.h"
#include "sim/story.h"

namespace relevo::sim {

using cluster::SyncMode;

inline Plan sync_plan(SyncMode mode, std::chrono::seconds ttl = std::chrono::seconds(5)) {
    auto plan = calm_plan(ttl, std::chrono::seconds(300));
    plan.settings.synchronous_mode = mode;
    plan.config_json = config_of(plan.settings);
    return plan;
}

class SyncStory : public Story {
public:
    using Story::Story;

    const cluster::SyncState& key() { return c.dcs.truth()->sync; }
    std::string votes() {
        std::string text = std::to_string(key().quorum) + "(";
        for (const auto& name : key().voters) text += (text.back() == '(' ? "" : ",") + name;
        return text + ")";
    }
    cluster::SyncNames names(int member) {
        return cluster::parse_sync_names(c.postgres.at(member).report().sync_names).value();
    }
    std::vector<int> others(int leader) const {
        std::vector<int> out;
        for (int m = 0; m < c.plan.members; ++m)
            if (m != leader) out.push_back(m);
        return out;
    }
    // Commits that this member acknowledged since.
    std::size_t acknowledged(int member, Instant since) const {
        std::size_t count = 0;
        for (BranchId b = 0; b < c.postgres.wal.size(); ++b)
            if (c.postgres.wal.at(b).writer == member)
                count += static_cast<std::size_t>(std::ranges::count_if(
                    c.postgres.wal.at(b).acked,
                    [&](const Acked& one) { return one.at >= since && !one.read; }));
        return count;
    }
};

}  // namespace relevo::sim
