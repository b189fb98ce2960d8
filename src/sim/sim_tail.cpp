// A postmaster that dies leaves backends: they go on for a while, and acknowledge what no walsender
// sends any more. And what of it reaches a standby's pg_wal by another way (docs/adr/0009).
#include <utility>

#include "sim/sim_postgres.h"

namespace relevo::sim {

using std::chrono::milliseconds;

// Measured: 12 to 26 ms until the last one has noticed.
void SimPostgres::leave_orphans() {
    orphans_ = true;
    world().on_host(me_, world().dice.between(milliseconds(12), milliseconds(26)),
                    [this, epoch = epoch_] {
                        if (epoch == epoch_) end_orphans();
                    });
}

void SimPostgres::end_orphans() {
    if (std::exchange(orphans_, false)) waiting_.clear();
}

void SimPostgres::find_wal_end(std::function<void(Result<cluster::WalTail>)> done) {
    world().on_host(me_, world().dice.between(milliseconds(1), milliseconds(10)),
                    [this, done = std::move(done)] {
                        if (data_.kind != cluster::DataDir::initialized)
                            return done(fail(ErrorCode::not_found, "no data directory"));
                        done(cluster::WalTail{all_.wal.timeline(data_.end), data_.end.lsn});
                    });
}

// On the disk, for whoever replays next: a promotion, a start, a standby that looks for more.
void SimPostgres::take_tail(WalEnd upto, Finish done) {
    world().on_host(me_, world().dice.between(milliseconds(2), milliseconds(20)),
                    [this, upto, done = std::move(done)] {
                        if (data_.kind != cluster::DataDir::initialized || fails())
                            return done(fail(ErrorCode::failed, "no room for it"));
                        if (!all_.wal.covers(upto, data_.end))
                            return done(fail(ErrorCode::conflict, "another history"));
                        data_.tail = upto;
                        done({});
                    });
}

// It was made durable when it was taken: nothing of it waits for a flush.
void SimPostgres::replay_tail() {
    const auto tail = std::exchange(data_.tail, std::nullopt);
    if (!tail || !all_.wal.covers(*tail, data_.end)) return;
    data_.end = *tail;
    flush_now();
}

}  // namespace relevo::sim
