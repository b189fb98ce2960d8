// What an agent sees of its simulated PostgreSQL.
#include <algorithm>
#include <utility>

#include "sim/sim_postgres.h"

namespace relevo::sim {

using cluster::ControlState;
using cluster::Server;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

// What the files tell: that a postmaster lives, and the role it was started in or promoted to.
cluster::LocalPostgres SimPostgres::report_of_files() const {
    cluster::LocalPostgres pg = report();
    if (server_ == Server::stopped) return pg;
    cluster::LocalPostgres files;
    files.data_dir = pg.data_dir;
    files.server = Server::starting;
    files.standby_signal = files.in_recovery = data_.standby_signal;
    files.backup_label = pg.backup_label;
    files.voteless = pg.voteless;
    files.unfinished_cluster = pg.unfinished_cluster;
    files.aside_for = pg.aside_for;
    files.aside_done = pg.aside_done;
    files.data_version = pg.data_version;
    files.system_id = pg.system_id;
    return files;
}

void SimPostgres::observe(cluster::Look look, std::function<void(cluster::LocalPostgres)> done) {
    if (look == cluster::Look::files) {
        world().on_host(me_, takes(microseconds(200), milliseconds(5)),
                        [this, done = std::move(done)] { done(report_of_files()); });
        return;
    }
    if (hung_) {
        world().on_host(me_, seconds(2), [this, done = std::move(done)] { done(report()); });
        return;
    }
    world().on_host(
        me_, takes(microseconds(500), milliseconds(10)), [this, done = std::move(done)]() mutable {
            world().on_host(
                me_, world().dice.between(microseconds(100), milliseconds(10)),
                [done = std::move(done), seen = report()]() mutable { done(std::move(seen)); });
        });
}

cluster::LocalPostgres SimPostgres::report() const {
    cluster::LocalPostgres pg;
    pg.data_dir = data_.kind;
    pg.server = hung_ ? Server::hung : server_;
    pg.standby_signal = data_.standby_signal;
    pg.backup_label = data_.backup_label;
    pg.version = 150020;
    pg.data_version = 15;
    pg.voteless = data_.voteless;
    pg.unfinished_cluster = data_.unfinished;
    pg.aside_for = mark_.id;
    pg.aside_done = mark_.done;
    const bool up = server_ == Server::running || server_ == Server::stopping;
    pg.in_recovery = up && !hung_ ? recovering_ : data_.standby_signal;
    if (data_.kind != cluster::DataDir::initialized) return pg;
    pg.system_id = data_.system_id;
    if (!up) {
        cluster::ControlData control;
        control.state = data_.control;
        control.system_id = data_.system_id;
        control.checkpoint = data_.checkpoint;
        control.checkpoint_timeline = data_.checkpoint_timeline;
        if (data_.control == ControlState::shut_down_in_recovery ||
            data_.control == ControlState::in_archive_recovery) {
            const WalEnd end = data_.needs.branch >= 0 ? data_.needs : data_.end;
            control.min_recovery_end = end.lsn;
            control.min_recovery_end_timeline = all_.wal.timeline(end);
        }
        control.wal_log_hints = world().plan.wal_log_hints;
        pg.control = control;
        return pg;
    }
    if (hung_) {
        pg.problem = "a new connection got no answer in time";
        return pg;
    }
    pg.timeline = all_.wal.timeline(data_.flushed);
    pg.slots = slots_;
    pg.gated = gated_;
    pg.sync_names = to_text(names_);
    for (const auto& other : all_.servers) {
        const auto& sender = walsenders_[static_cast<std::size_t>(other->me_)];
        if (sender.session < 0) continue;
        cluster::Sender row;
        row.application_name = world().name(other->me_);
        row.state = "streaming";
        row.sync_priority = counts(other->me_) ? 1 : 0;
        row.sent = sender.sent;
        row.flush = sender.flushed;
        row.pid = sender.session + 1;
        pg.senders.push_back(std::move(row));
    }
    if (!recovering_) {
        pg.refuses_writes = data_.refuses_writes;
        pg.wal = data_.flushed.lsn;
        pg.checkpoint_after_promote = checkpointed_;
        pg.history = all_.wal.history(data_.end.branch);
        return pg;
    }
    pg.replay = data_.flushed.lsn;
    pg.received_all = true;
    // A walreceiver that is told to end flushes first, and shows what it has written all the while.
    pg.receiving = receiver_.streaming || data_.end != data_.flushed;
    if (pg.receiving) {
        pg.receive = data_.end.lsn;
        pg.timeline = all_.wal.timeline(data_.end);
    }
    if (receiver_.streaming) pg.replication_state = "streaming";
    if (data_.upstream) {
        pg.upstream_host = data_.upstream->host;
        pg.upstream_port = data_.upstream->port;
    }
    return pg;
}

}  // namespace relevo::sim
