#include "sim/wal.h"

#include <algorithm>
#include <utility>

namespace relevo::sim {

using cluster::Lsn;

BranchId WalTree::root(int writer) {
    Branch branch;
    branch.begins = Lsn{0x1000000};
    branch.writer = writer;
    branches_.push_back(std::move(branch));
    return static_cast<BranchId>(branches_.size()) - 1;
}

BranchId WalTree::fork(WalEnd from, int writer, cluster::Timeline wanted) {
    Branch branch;
    branch.timeline = std::max(timeline(from) + 1, wanted);
    branch.parent = from.branch;
    branch.begins = from.lsn;
    branch.writer = writer;
    branches_.push_back(std::move(branch));
    return static_cast<BranchId>(branches_.size()) - 1;
}

bool WalTree::covers(WalEnd holder, WalEnd what) const {
    if (what.branch < 0) return true;
    Lsn limit = holder.lsn;
    BranchId at_branch = holder.branch;
    while (at_branch >= 0 && at_branch != what.branch) {
        limit = at(at_branch).begins;
        at_branch = at(at_branch).parent;
    }
    return at_branch >= 0 && what.lsn <= limit;
}

WalEnd WalTree::common(WalEnd a, WalEnd b) const {
    Lsn limit_a = a.lsn;
    for (BranchId in_a = a.branch; in_a >= 0; limit_a = at(in_a).begins, in_a = at(in_a).parent) {
        Lsn limit_b = b.lsn;
        for (BranchId in_b = b.branch; in_b >= 0; limit_b = at(in_b).begins, in_b = at(in_b).parent)
            if (in_a == in_b) return {in_a, std::min(limit_a, limit_b)};
    }
    return {};
}

WalEnd WalTree::last_acked(WalEnd line) const {
    Lsn limit = line.lsn;
    for (BranchId b = line.branch; b >= 0; limit = at(b).begins, b = at(b).parent) {
        const auto& acked = at(b).acked;
        const auto end = std::ranges::upper_bound(acked, limit, {}, &Acked::lsn);
        if (end != acked.begin()) return {b, std::prev(end)->lsn};
    }
    return {};
}

bool WalTree::show(WalEnd seen, Instant now) {
    bool any = false;
    Lsn limit = seen.lsn;
    for (BranchId b = seen.branch; b >= 0; limit = at(b).begins, b = at(b).parent) {
        auto& open = at(b).open;
        auto& acked = at(b).acked;
        const auto end = std::ranges::upper_bound(open, limit);
        for (auto one = open.begin(); one != end; ++one) {
            const auto place = std::ranges::upper_bound(acked, *one, {}, &Acked::lsn);
            acked.insert(place, Acked{*one, now, true, false, true});
            any = true;
        }
        open.erase(open.begin(), end);
    }
    return any;
}

WalTree::Lost WalTree::lost(WalEnd line, WalEnd holder) const {
    Lost result;
    const WalEnd shared = common(line, holder);
    Lsn limit = line.lsn;
    for (BranchId b = line.branch; b >= 0; limit = at(b).begins, b = at(b).parent) {
        const auto& acked = at(b).acked;
        const auto end = std::ranges::upper_bound(acked, limit, {}, &Acked::lsn);
        const auto begin = b == shared.branch
                               ? std::ranges::upper_bound(acked, shared.lsn, {}, &Acked::lsn)
                               : acked.begin();
        if (begin < end) {
            result.count += static_cast<std::size_t>(end - begin);
            result.promised += static_cast<std::size_t>(
                std::ranges::count_if(begin, end, [](const Acked& one) { return one.promised; }));
            result.first = begin->at;
        }
        if (b == shared.branch) break;
    }
    return result;
}

std::size_t WalTree::count_lost(WalEnd line, WalEnd holder) {
    std::size_t count = 0;
    const WalEnd shared = common(line, holder);
    Lsn limit = line.lsn;
    for (BranchId b = line.branch; b >= 0; limit = at(b).begins, b = at(b).parent) {
        for (Acked& acked : at(b).acked)
            if (acked.lsn <= limit && (b != shared.branch || acked.lsn > shared.lsn) &&
                !std::exchange(acked.lost, true))
                ++count;
        if (b == shared.branch) break;
    }
    return count;
}

bool WalTree::has_twin(BranchId id) const {
    const auto root = [this](BranchId b) {
        while (at(b).parent >= 0) b = at(b).parent;
        return b;
    };
    for (BranchId other = 0; other < static_cast<BranchId>(branches_.size()); ++other)
        if (other != id && at(other).timeline == at(id).timeline && root(other) == root(id))
            return true;
    return false;
}

cluster::Timeline WalTree::twin(WalEnd a, WalEnd b) const {
    for (BranchId in_a = a.branch; in_a >= 0; in_a = at(in_a).parent)
        for (BranchId in_b = b.branch; in_b >= 0; in_b = at(in_b).parent)
            if (at(in_a).timeline == at(in_b).timeline) return in_a == in_b ? 0 : at(in_a).timeline;
    return 0;
}

std::vector<cluster::HistoryLine> WalTree::history(BranchId id) const {
    std::vector<cluster::HistoryLine> lines;
    for (BranchId b = id; b >= 0 && at(b).parent >= 0; b = at(b).parent)
        lines.push_back(
            {at(at(b).parent).timeline, at(b).begins, "no recovery target specified", {}, {}});
    std::ranges::reverse(lines);
    return lines;
}

}  // namespace relevo::sim
