// What is on the platter and what only seems so. WAL that was written outlives its processes; only
// what was flushed outlives a loss of power. A standby reports what it has flushed, a primary sends
// what it has flushed, so a slow disk delays commits and never shows more than is safe.
#include <algorithm>

#include "sim/sim_postgres.h"

namespace relevo::sim {

// One flush at a time; what is written meanwhile is the next one's.
void SimPostgres::flush_soon() {
    if (flushing_ || data_.flushed == data_.end) return;
    const Duration takes = world().disk(me_);
    if (takes == Duration{}) return flushed_upto(data_.end);
    flushing_ = true;
    world().on_host(me_, takes, [this, epoch = epoch_, upto = data_.end] {
        if (epoch != epoch_) return;
        flushing_ = false;
        if (all_.wal.covers(upto, data_.flushed)) flushed_upto(upto);
        flush_soon();
    });
}

void SimPostgres::flushed_upto(WalEnd upto) {
    data_.flushed = upto;
    if (recovering_)
        report_flush();
    else if (!commits_wait_)
        acknowledge(upto.lsn);
    deliver();
    if (recovering_) receiver_sync();
}

void SimPostgres::deliver() {
    for (auto& other : all_.servers)
        if (other->receiver_.from == me_) other->receiver_sync();
}

void SimPostgres::being_written(const Kept& before, Duration takes) {
    if (unsynced_ && unsynced_->only_vote) return;  // that is another file
    const int writing = ++writing_;
    unsynced_.reset();
    if (takes == Duration{}) return;
    unsynced_ = Unsynced{before};
    world().on_host(me_, takes, [this, writing] {
        if (writing == writing_) unsynced_.reset();
    });
}

void SimPostgres::never_durable(const Kept& before, bool only_vote) {
    ++writing_;
    if (!unsynced_) unsynced_ = Unsynced{before, true, only_vote};
}

// Nor do commits wait in it: what is written next begins where they were.
void SimPostgres::forget_unflushed() {
    data_.end = data_.flushed;
    if (data_.end.branch < 0) return;
    Branch& branch = all_.wal.at(data_.end.branch);
    if (branch.writer == me_)
        branch.open.erase(std::ranges::upper_bound(branch.open, data_.end.lsn), branch.open.end());
}

// Fixed times: nothing else depends on when.
void SimPostgres::refuse_writes(bool on, Finish done) {
    const Duration writes = world().disk(me_);
    world().on_host(me_, writes + std::chrono::milliseconds(5),
                    [this, on, writes, done = std::move(done)] {
                        if (!is_primary() || hung_)
                            return done(fail(ErrorCode::failed, "no primary that answers"));
                        if (full()) return done(fail(ErrorCode::failed, "no space left"));
                        const Kept before = data_.kept();
                        data_.refuses_writes = on;
                        being_written(before, writes);
                        done({});
                    });
}

void SimPostgres::power_lost() {
    leave_unfinished();
    if (touched_ && pending_) data_.kind = cluster::DataDir::half_made;
    const bool copying = pending_ && !keeps_.empty();
    pending_ = nullptr;
    ++action_;
    end_orphans();
    gone(false);
    if (copying) return take_back();
    forget_unflushed();
    if (unsynced_ && unsynced_->only_vote)
        data_.voteless = unsynced_->before.voteless;
    else if (unsynced_ && (unsynced_->surely || world().dice.chance(0.5)))
        static_cast<Kept&>(data_) = unsynced_->before;
    unsynced_.reset();
}

}  // namespace relevo::sim
