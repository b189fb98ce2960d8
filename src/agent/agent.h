// The shell around the core: events in, effects out. It owns no decision; it carries out what the
// core wants with real parts, feeds the results back, and shows the state to the API
// (ports::Control). One io_context, one thread. Construct, run(), and the program ends with run()'s
// code.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "agent/amchecks.h"
#include "agent/archive_watch.h"
#include "agent/backup_jobs.h"
#include "agent/backups.h"
#include "agent/configuration.h"
#include "agent/copies.h"
#include "agent/corruptions.h"
#include "agent/disks.h"
#include "agent/group.h"
#include "agent/in_place.h"
#include "agent/journal.h"
#include "agent/poolers.h"
#include "agent/proofs.h"
#include "agent/pulses.h"
#include "agent/restores.h"
#include "agent/witness.h"
#include "core/state.h"
#include "os/blocking.h"
#include "os/boot_timer.h"
#include "ports/backup.h"
#include "ports/clock.h"
#include "ports/control.h"
#include "ports/dcs.h"
#include "ports/peers.h"
#include "ports/postgres.h"
#include "ports/watchdog.h"

namespace relevo::agent {

struct Parts {
    ports::Clock& clock;
    ports::Dcs& dcs;
    ports::Postgres& postgres;
    ports::Peers& peers;
    ports::Watchdog& watchdog;
    ports::Backup& backup;
    Configuration& configuration;
    os::Blocking blocking;
    // The local file was read again: log, API and client settings follow.
    std::function<Task<void>()> reloaded;
    // The view was replaced; called after each step, so it must be cheap. May be empty.
    std::function<void()> shown = {};
    const InPlaceWork* in_place = nullptr;  // what is shown of a restore in place on this host
};

class Agent final : public ports::Control {
public:
    Agent(boost::asio::io_context& io, Parts parts);
    ~Agent() override;

    // Waits for the DCS and makes sure that nobody else has our name. An exit code: do not go on.
    Task<std::optional<int>> prepare();
    // Serves until told to stop. The result is the exit code.
    Task<int> run();
    Task<void> stop();  // lets go of the DCS and awaits what runs; PostgreSQL is left alone
    void ask_stop();    // SIGTERM, SIGINT
    void ask_reload();  // SIGHUP

    std::shared_ptr<const ports::View> view() const override { return view_; }
    Task<std::shared_ptr<const ports::View>> fresh_view() override;
    Instant now() const override { return parts_.clock.now(); }
    WallTime wall() const override { return parts_.clock.wall(); }
    Task<Result<cluster::Snapshot>> fresh_snapshot() override;
    Task<ports::Reply> switchover(ports::SwitchoverOrder order) override;
    Task<ports::Reply> cancel_switchover() override;
    Task<ports::Reply> restart(ports::RestartOrder order) override;
    Task<ports::Reply> cancel_restart() override;
    Task<ports::Reply> reinitialize(bool force, bool from_leader) override;
    Task<ports::Reply> forget_corruption() override { return corruptions_.forget(); }
    ports::Reply start_amcheck() override { return amchecks_.begin(); }
    ports::Reply end_amcheck() override { return amchecks_.end(); }
    Task<ports::Reply> patch_config(std::string patch_json) override;
    Task<ports::Reply> put_config(std::string json) override;
    Task<ports::Reply> reload() override;
    Task<ports::Reply> failsafe(std::string body_json) override;
    ports::Reply pulse(const cluster::Pulse& from) override { return pulses_.answer(from); }
    Task<Result<cluster::Repository>> backups() override { return backups_.list(); }
    Task<ports::Reply> check_backups() override { return backups_.check(); }
    Task<bool> view_changed(Duration at_most) override;
    void gateway(const cluster::GatewayReport& report) override { poolers_.report(report); }
    Task<ports::Reply> start_backup(ports::BackupOrder order) override {
        return backup_jobs_.start(order);
    }
    Task<ports::Reply> backup_schedule() override { return backup_jobs_.schedule(); }
    Task<ports::Reply> restore(ports::RestoreOrder order) override;
    ports::Reply restore_state() const override {
        return restores_.state(in_place_.shown(view_->snapshot.get()));
    }
    Task<ports::Reply> cancel_restore() override;
    Task<ports::Reply> backup_proofs() override { return backup_jobs_.proofs(); }
    Task<Result<std::string>> wal_tail(cluster::TailAsk ask) override;
    std::string journal(std::uint64_t since, std::size_t limit) const override {
        return journal_.answer(wall(), now(), since, limit);
    }

private:
    // agent.cpp
    void feed(core::Event event);
    void drain();
    void arm(Instant wake_at);
    void see_tree(const cluster::KeyTree& tree);
    void take_config(const cluster::Snapshot& snapshot);
    void show();
    void show_measured();
    Disks::Parts disk_parts();
    Corruptions::Parts corruption_parts();
    Amchecks::Parts amcheck_parts();
    ArchiveWatch::Parts archive_parts();
    void wake_watchers();
    void settle_config();
    bool data_is_ours() const;  // the data directory is known to be this cluster's
    void note_ours();
    Task<void> apply_config();
    Task<Status> wait_for_dcs();
    Task<bool> name_is_taken();
    core::Now clock() const;
    // executor.cpp
    void carry_out(core::Issued issued);
    Task<void> answer(core::EffectId id, core::Effect effect);
    Task<core::EffectDone> execute(core::EffectId id, const core::Effect& effect);
    Task<core::EffectDone> probe(core::ProbePeers effect);
    Task<core::EffectDone> ask_failsafe(core::AskFailsafe effect);
    Task<core::EffectDone> tell_watchdog(const core::Effect& effect);
    Task<core::EffectDone> clone(core::ClonePg effect);
    Task<Status> checkpoint(core::CheckpointPg effect);
    void copied(const cluster::CopyProgress& so_far);
    Task<core::EffectDone> promote(core::PromotePg effect);
    Task<core::EffectDone> hold_poolers(core::EffectId id, core::HoldPoolers effect);
    // tail.cpp
    Task<core::EffectDone> take_tail(core::TakeTail effect);
    std::string tail_proof(const cluster::TailAsk& ask);  // empty: the account has no password
    // orders.cpp
    Task<std::string> infeasible(const ports::SwitchoverOrder& order,
                                 const cluster::Snapshot& snapshot);
    Task<ports::Reply> wait_for_leader(ports::SwitchoverOrder order, std::string old_leader);
    Task<ports::Reply> ask_core(core::OrderId id, core::Event event, Duration deadline);
    Task<void> keep_schedule();
    void reschedule();

    boost::asio::io_context& io_;
    Parts parts_;
    core::State state_;
    Pulses pulses_;
    Witness witness_;
    Journal journal_;
    Poolers poolers_;
    Proofs proofs_;
    BackupJobs backup_jobs_;
    Backups backups_;
    Restores restores_;
    InPlace in_place_;
    Disks disks_;
    ArchiveWatch archive_watch_;
    Copies copies_;
    std::optional<cluster::CopyProgress> copy_;  // while a copy is made
    Instant copy_shown_{};
    std::uint64_t copy_logged_ = 0;
    Corruptions corruptions_;
    Amchecks amchecks_;
    std::list<boost::asio::steady_timer*> watchers_;  // that wait in view_changed
    bool last_view_ = false;
    cluster::SnapshotReader reader_;
    std::shared_ptr<const cluster::Snapshot> first_view_;
    std::deque<core::Event> events_;
    bool draining_ = false;
    boost::asio::steady_timer alarm_;  // while waiting for the DCS
    os::BootTimer wake_;
    Instant due_ = Instant::max();  // when the core wants to be woken at the latest
    Instant woke_at_{};             // when it was last told that it overslept
    Group tasks_;
    std::shared_ptr<const ports::View> view_;
    std::shared_ptr<const ports::View> fresh_view_;  // the last one made for the API
    Instant fresh_at_{};
    std::string seen_config_;
    std::string proof_key_of_, proof_key_;
    std::string failsafe_complained_;  // of whose word for another cluster; each once
    bool config_pending_ = false;      // the files do not have it yet
    bool ours_ = false;                // data_is_ours(), when last asked
    std::map<core::OrderId, std::shared_ptr<Promise<ports::Reply>>> orders_;
    core::OrderId last_order_ = 0;
    std::optional<ports::RestartOrder> scheduled_restart_;
    boost::asio::steady_timer schedule_alarm_;
    boost::asio::steady_timer ended_;
    std::optional<int> exit_code_;
    std::string exit_text_;
};

}  // namespace relevo::agent
