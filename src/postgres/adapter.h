// The class behind make_postgres(). Private to the room.
#pragma once

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "os/aside.h"
#include "os/blocking.h"
#include "os/clock.h"
#include "os/turn.h"
#include "ports/postgres.h"
#include "postgres/bootstrap.h"
#include "postgres/config_files.h"
#include "postgres/connection.h"
#include "postgres/hooks.h"
#include "postgres/log_follower.h"
#include "postgres/reconfigure.h"
#include "postgres/server.h"
#include "postgres/sync_names.h"

namespace relevo::postgres {

class Adapter final : public ports::Postgres {
public:
    Adapter(boost::asio::io_context& loop, boost::asio::thread_pool& pool, Server::Config config,
            Restorer restorer);

    Task<cluster::LocalPostgres> observe(cluster::Look look) override;
    void on_exit(std::function<void(ports::ExitInfo)> handler) override;
    Task<Status> start(cluster::StartPlan plan) override;
    Task<Status> stop(ports::StopPlan plan) override;
    Task<Status> restart(ports::StopPlan stop, cluster::StartPlan start) override;
    Task<Status> kill() override;
    Task<Status> promote(cluster::PromotePlan plan) override;
    Task<Status> checkpoint() override;
    Task<Status> follow(std::optional<cluster::Upstream> upstream, cluster::Role role) override;
    Task<Status> bootstrap(std::optional<cluster::Restoration> restore) override;
    Task<Status> post_bootstrap() override;
    Task<Status> clone(ClonePlan plan) override;
    Task<Status> check_rebuild(cluster::DiskSettings disk) override;
    Task<Result<cluster::Divergence>> compare(const cluster::Upstream& source) override;
    Task<Status> rewind(const cluster::Upstream& source) override;
    Task<Status> crash_recover() override;
    Task<Status> set_aside() override;
    Task<Status> keep_aside(std::string id) override;
    Task<Status> put_back(std::string id) override;
    Task<Status> archive_rest() override;
    Task<Status> sync_slots(cluster::SlotPlan plan) override;
    Task<Result<cluster::Lsn>> set_synchronous_standby_names(
        std::optional<std::string> value) override;
    Task<Status> end_walsenders(cluster::Lsn sent_below) override;
    Task<Status> end_walsender(int pid, std::string application_name) override;
    Task<Result<std::vector<cluster::CommitSetting>>> commit_settings() override;
    Task<Status> reset_commit_setting(cluster::CommitSetting setting) override;
    Task<Status> refuse_writes(bool on) override;
    Task<Result<CorruptionLook>> look_for_corruption(cluster::CorruptionNews news) override;
    Task<Status> amcheck(AmcheckPlan plan) override;
    Task<Status> forget_corruption() override;
    Task<std::map<int, std::string>> queries_of(std::vector<int> pids) override;
    Task<Result<cluster::ArchiverState>> archiver() override;
    Task<Status> restore_vote() override;
    Task<Result<cluster::WalTail>> find_wal_end(cluster::Timeline timeline) override;
    Task<Result<std::string>> read_wal_tail(cluster::Timeline timeline, cluster::Lsn at) override;
    Task<Result<cluster::Lsn>> write_wal_tail(cluster::Timeline timeline, cluster::Lsn at,
                                              cluster::Lsn known, std::string pages) override;
    Task<Status> admit() override;
    Task<Status> make_standby_by_default() override;
    Task<Status> reconfigure(bool force_reload) override;
    void run_callback(const std::string& action, cluster::Role role) override;
    Task<void> finish_callbacks(Duration within) override;
    Task<Status> run_hook(const std::string& which) override;

private:
    // The same without taking the turn: what the long actions are made of.
    Task<void> remove_placeholders();
    Task<Status> start_now(cluster::StartPlan plan);
    Task<Status> stop_now(ports::StopPlan plan);
    Task<Status> crash_recover_now();
    Task<Status> rewind_now(cluster::Upstream source);
    Task<Status> reconfigure_now(bool force_reload);
    // What was there before, and the session that the server made afterwards and that shows the new
    // value.
    struct Told {
        NamesSeen seen;
        std::unique_ptr<Connection> connection;
    };
    Task<Result<Told>> tell_names(std::optional<std::string> value);
    Task<Status> tell_names_before_promotion(std::string value);
    Task<void> names_for_start(const cluster::StartPlan& plan);
    // adapter_writes.cpp
    bool configured_read_only() const;
    Task<Status> tell_refusal(Connection& connection, bool changed);
    void forget_waiting();
    void remember_names(std::optional<std::string> value);
    std::optional<std::string> names_in_force();
    Task<std::optional<std::vector<cluster::ChecksumCount>>> checksum_counts();
    Task<std::optional<LogFollower::News>> logged();
    // adapter_gate.cpp
    Task<void> gate_for_start(bool hold, std::string hba_file);
    Task<void> gate_for_promotion();
    Task<Status> close_gate_at(std::string hba_file);
    Task<void> look_for_gate();
    Task<Result<std::string>> begin_putting_away();
    Task<void> look_for_vote();
    Task<Result<FilesWritten>> write_durably(const FilesRequest& request);
    Task<Status> stop_receiving();
    Task<Status> stop_for_work();  // fast, and harder after pg_ctl_timeout

    // Runs a long action so that kill() can end it.
    template <class T>
    Task<Result<T>> interruptible(Task<Result<T>> action);

    Task<Result<DiskView>> usable_disk();
    Task<Result<RecoverySettings>> recovery_for(std::optional<cluster::Upstream> upstream,
                                                int version);
    // For a server that runs, as it was last started or seen. In a hurry: with pg_control's
    // minimums as last read.
    Task<Status> follow_unopened(cluster::Upstream upstream, cluster::Role role);
    Task<Result<FilesRequest>> running_request(bool hurry = false);
    Task<Result<int>> program_version();  // of the installed server, major * 10000
    Task<void> learn_pending(cluster::LocalPostgres& postgres);
    Task<void> undo_clone();
    Task<Status> copies_undone();
    void learn(const Observer::Seen& seen);
    void wrote(const FilesWritten& files);

    boost::asio::io_context& loop_;
    os::Blocking pool_;
    Server::Config config_;
    Restorer restorer_;
    Server server_;
    Callbacks callbacks_;
    os::Turn acting_;
    // From the decision what the files say until they say it and the server was told: what an older
    // decision would write must not come last.
    os::Turn writing_;
    std::shared_ptr<boost::asio::cancellation_signal> interruption_;

    std::optional<cluster::Role>
        role_;  // whose parameters are written; nothing before the first look
    std::optional<cluster::Upstream> upstream_;
    bool in_recovery_ = true;  // as last started, seen or promoted
    int version_ = 0;
    std::optional<std::map<std::string, int>> minimums_;  // pg_control's
    std::optional<std::string> synchronous_standby_names_;
    bool names_told_ = false;       // or learnt; before that a file from before us may know them
    bool refuses_writes_ = false;   // adapter_writes.cpp; what an agent before us said is learnt
    std::string commits_wait_in_;   // the postmaster whose commits are known to wait for names
    std::string idle_since_in_;     // whose checkpointer was idle since names were set
    bool nobody_written_ = false;   // that nobody is followed stands in the file, by our own hand
    std::optional<bool> voteless_;  // as it is since a copy or rewind; the disk may answer late
    std::string adopted_config_file_;
    BootstrapOverrides bootstrap_;
    bool gated_ = false;  // the server has read a gate, or may have
    bool gate_looked_for_ = false;
    std::string gate_file_, hba_file_;  // where a gate was last put; the running server's
    bool making_cluster_ = false;       // from bootstrap() to the end of post_bootstrap()
    void set_making_cluster(bool making);
    void data_replaced() {
        ++directories_;
        never_started_ = true;
    }
    Parameters effective_;
    std::vector<std::string> raised_;
    PendingRestart pending_;
    bool pending_known_ = false;
    std::string version_program_;  // whose version version_of_program_ is
    int version_of_program_ = 0;
    bool clone_undone_ = false;  // or there was nothing to undo
    bool undoing_clone_ = false;
    std::string undo_problem_;
    unsigned directories_ = 0;  // counts what replaces the data directory
    // A server of this member was first started there then, or this agent was.
    WallTime data_since_ = os::wall_now();
    bool never_started_ = false;  // since it was replaced
    os::Aside corruption_aside_;  // on a dead disk a look hangs for ever, every few seconds
    os::Aside log_aside_;         // and the log may be on another one
    std::shared_ptr<LogFollower> log_ = std::make_shared<LogFollower>();
    std::uint64_t logged_ = 0;  // News::last of what is kept
};

}  // namespace relevo::postgres
