// What must hold of a restore in place (docs/adr/0020): never are two sets of data written to, what
// was acknowledged before is kept, and who comes with data from before is no part of the cluster.
#include <fmt/core.h>

#include <algorithm>

#include "sim/checkers.h"

namespace relevo::sim {

using cluster::Restoration;
using Phase = Restoration::Phase;

bool Checkers::descends(WalEnd end, BranchId from) const {
    const auto& wal = parts_.postgres.wal;
    for (BranchId b = end.branch; b >= 0; b = wal.at(b).parent)
        if (b == from) return true;
    return false;
}

// What the record says now, looked at before anything else is judged.
void Checkers::note_restore() {
    if (!parts_.world.plan.in_place) return;
    const auto truth = parts_.dcs.truth();
    const auto& r = truth->restoration;
    if (!r || r->revision == place_.seen) return;
    const bool new_one = r->id != place_.id;
    place_.seen = r->revision;
    place_.id = r->id;
    if (new_one) place_.before = {};
    if (r->phase == Phase::restoring && place_.before.branch < 0 && line_ >= 0) {
        // The leader gave way: whoever wrote its line stopped with all of it.
        const WalEnd line{line_, cluster::Lsn{~std::uint64_t{0} >> 1U}};
        place_.before = parts_.postgres.wal.last_acked(line);
        for (int m = 0; m < parts_.world.size(); ++m)
            if (parts_.postgres.at(m).accepts_writes() && data(m).end.branch == line_)
                fail(name(m) + " gives way to a restore and goes on taking writes");
    }
    if (r->phase == Phase::cancelled) ++findings.cancelled;
    if (r->phase == Phase::restored && place_.swapped != r->id) restored(*r);
}

// The swap.
void Checkers::restored(const Restoration& record) {
    ++findings.restored;
    place_.swapped = record.id;
    const int by = parts_.world.index_of(record.member);
    const auto& wal = parts_.postgres.wal;
    const Data& there = data(by);
    const auto target = parts_.postgres.targets.at(record.id).end;
    const auto& branch = wal.at(there.end.branch);
    if (branch.parent != target.branch || branch.begins != target.lsn)
        return fail(fmt::format("{} restored something else than was asked for", name(by)));
    for (BranchId b = 0; b < wal.size(); ++b)
        if (b != there.end.branch && wal.at(b).timeline >= branch.timeline)
            return fail(fmt::format("{} restored to timeline {}, and another has {}", name(by),
                                    branch.timeline, wal.at(b).timeline));
    if (branch.timeline != record.timeline)
        return fail(fmt::format("{} restored to timeline {}, and its record says {}", name(by),
                                branch.timeline, record.timeline));
    place_.kept.push_back(place_.before);
    place_.root = there.end.branch;
    check_kept();
    // What the operator gave up is no loss; and nobody is measured by it any more.
    if (line_ >= 0) overridden_.push_back(line_);
    overriding_.reset();
    line_ = there.end.branch;
    handed_over_ = {};
    probes_.assign(probes_.size(), {});
}

void Checkers::check_kept() {
    const auto& wal = parts_.postgres.wal;
    for (const auto& acked : place_.kept) {
        bool found = acked.branch < 0;
        for (int m = 0; m < parts_.world.size() && !found; ++m) {
            const auto& pg = parts_.postgres.at(m);
            found =
                pg.data().kind == cluster::DataDir::initialized && wal.covers(pg.data().end, acked);
            for (const auto& [id, kept] : pg.kept_aside())
                found = found || wal.covers(kept.end, acked);
        }
        if (!found)
            return fail("what was acknowledged before a restore in place is nowhere any more");
    }
}

// Leads, or writes, with data that the cluster does not have any more, or not yet.
void Checkers::check_is_restored(int index, const char* what) {
    if (!parts_.world.plan.in_place) return;
    const auto truth = parts_.dcs.truth();
    const auto& r = truth->restoration;
    if (!r || data(index).system_id != truth->initialize) return;
    const auto excuse_text = [&] { return why_excused(index); };
    if (r->phase == Phase::restoring && excuse_text().empty())
        return fail(fmt::format("{} {} while the cluster is restored in place", name(index), what));
    if (place_.root < 0) return;
    if (!descends(data(index).end, place_.root) && (leader() == index || excuse_text().empty()))
        fail(fmt::format("{} {} with data from before the restore in place", name(index), what));
}

}  // namespace relevo::sim
