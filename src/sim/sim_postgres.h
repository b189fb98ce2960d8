// PostgreSQL on one simulated host: a data directory, a server, and streaming between the members.
// It keeps the promises of ports/postgres.h and PostgreSQL's own; see docs/adr about what is
// modelled.
//
// Actions end in a callback, later; at most one long one at a time. kill() ends whichever runs.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cluster/commit_level.h"
#include "cluster/peer.h"
#include "cluster/postgres_plan.h"
#include "cluster/postgres_state.h"
#include "cluster/restoration.h"
#include "cluster/sync_names.h"
#include "sim/wal.h"
#include "sim/world.h"

namespace relevo::sim {

using Finish = std::function<void(Status)>;

inline constexpr Duration status_interval =
    std::chrono::seconds(1);  // wal_receiver_status_interval

// Small files of the agent's in and beside the data directory.
struct Kept {
    bool standby_signal = false;
    std::optional<cluster::Upstream> upstream;
    std::string sync_names;  // as the configuration file has them
    bool refuses_writes = false;
    bool voteless = false;  // beside the data directory
};

struct Data : Kept {
    const Kept& kept() const { return *this; }

    cluster::DataDir kind = cluster::DataDir::empty;
    bool backup_label = false;
    std::string system_id;
    WalEnd end;      // as the files have it: what was written outlives the processes
    WalEnd flushed;  // what outlives a loss of power
    WalEnd needs;    // not consistent before its WAL is there (after a rewind)
    cluster::ControlState control = cluster::ControlState::unknown;
    cluster::Lsn checkpoint;
    cluster::Timeline checkpoint_timeline = 0;
    std::optional<WalEnd> tail;  // of another's WAL: in pg_wal, not replayed yet
    bool unfinished = false;     // half made by a bootstrap
    bool roles = false;          // post_bootstrap was done, here or where it was copied from
    // Restored in place, and not begun yet: this timeline is the one to begin. 0: begun.
    cluster::Timeline to_begin = 0;
    bool closed = false;          // nobody was let in since that; the gate is on the disk
    cluster::Timeline begun = 0;  // its history file is there, though the promotion was cut short
};

class SimPostgres;

// What all servers share, and what checkers want to hear.
struct Postgreses {
    explicit Postgreses(World& in);
    ~Postgreses();

    World& world;
    WalTree wal;
    std::vector<std::unique_ptr<SimPostgres>> servers;
    int systems = 0;
    // What each restore in place is to bring back.
    struct Target {
        WalEnd end;
        std::string system_id;
    };
    std::map<std::string, Target> targets;
    // synchronous_commit of roles and databases: in the catalogs, which every server has. Clients
    // here do not go by it.
    std::vector<cluster::CommitSetting> commit_settings;

    std::function<void(int)> on_primary;  // a server begins to accept writes
    std::function<void(int, WalEnd)>
        on_promoting;                    // and this is where its history leaves the old one
    std::function<void(int)> on_commit;  // at its write, acknowledged or not
    std::function<void(int)> on_acknowledged;
    std::function<void(int)> on_panic;  // no room to write
    std::function<void(int)> on_read;   // what was read counts as acknowledged, and is new
    // Whether what this member acknowledges now is promised to outlive it.
    std::function<bool(int)> promised;
    std::function<void(int)> on_copied;                          // its data was made anew
    std::function<void(int, const Data&, const char*)> on_wipe;  // before data is thrown away
    std::function<void(const std::string&)> on_impossible;

    SimPostgres& at(int member) { return *servers[static_cast<std::size_t>(member)]; }
};

class SimPostgres {
public:
    SimPostgres(Postgreses& all, int member);

    // For the agent.
    std::function<void()> on_exit;  // a postmaster ended
    void observe(cluster::Look look, std::function<void(cluster::LocalPostgres)> done);
    void start(const cluster::StartPlan& plan, Finish done);
    void stop(cluster::StopMode mode, Duration escalate_after, Finish done);
    void kill(Finish done);
    void make_standby(Finish done);
    void promote(const cluster::PromotePlan& plan, Finish done);
    void follow(std::optional<cluster::Upstream> upstream, Finish done);
    void bootstrap(Finish done);
    void post_bootstrap(Finish done);
    // keep: the old data stays, under this name; empty: it goes once the copy is there.
    void clone(std::optional<cluster::Upstream> source, bool replace, const std::string& keep,
               Finish done);
    void check_rebuild(Finish done);
    void compare(const cluster::Upstream& source,
                 std::function<void(Result<cluster::Divergence>)> done);
    void rewind(const cluster::Upstream& source, Finish done);
    void crash_recover(Finish done);
    void checkpoint(Finish done);
    void set_aside(Finish done);
    // sim_in_place.cpp
    void restore(const cluster::Restoration& record, Finish done);
    void keep_aside(const std::string& id, Finish done);
    void put_back(const std::string& id, Finish done);
    void archive_rest(Finish done);
    void sync_slots(const cluster::SlotPlan& plan, Finish done);
    void set_sync_names(const std::optional<std::string>& text,
                        std::function<void(Result<cluster::Lsn>)> done);
    // By a person, past the agent; every process has read it when this returns.
    void set_names_by_hand(const std::string& text);
    void end_walsenders(cluster::Lsn sent_below, Finish done);
    void end_walsender(int pid, Finish done);
    void reset_commit_setting(const cluster::CommitSetting& setting, Finish done);
    void restore_vote(Finish done);
    void find_wal_end(std::function<void(Result<cluster::WalTail>)> done);
    void take_tail(WalEnd upto, Finish done);
    void admit(Finish done);
    void refuse_writes(bool on, Finish done);
    void agent_gone();  // its children (copies, rewinds) die with it

    // For faults.
    void crash();  // kill -9 of the postmaster
    void power_lost();
    void hang(bool hung);
    void stick(Instant until) { stuck_until_ = until; }  // in the kernel: a kill does not work
    bool stuck() const { return world().now() < stuck_until_; }
    void start_outside();  // somebody starts it past the agent
    void fail_next_start() { fail_next_start_ = true; }

    // For clients and checkers.
    bool accepts_writes() const;
    bool hangs() const { return hung_; }
    void write(std::uint64_t bytes);
    // A client that looks at everything. It sees what was acknowledged, and what the server held
    // when it became a primary.
    void read();
    const Data& data() const { return data_; }
    const std::map<std::string, Data>& kept_aside() const { return kept_; }
    Data& data_to_break() { return data_; }
    cluster::Server server() const { return server_; }
    // Backends whose postmaster is dead.
    bool outlived() const { return orphans_; }
    bool is_primary() const { return server_ == cluster::Server::running && !recovering_; }
    bool streams() const { return receiver_.streaming; }
    int upstream() const { return receiver_.from; }
    Instant primary_since() const { return primary_since_; }
    Instant stopped_since() const { return stopped_since_; }
    bool started_outside() const { return started_outside_; }
    bool busy() const { return static_cast<bool>(pending_); }
    cluster::LocalPostgres report() const;
    cluster::LocalPostgres report_of_files() const;
    void empty_it() { data_ = Data{}; }
    void adopt_running(const std::string& system_id);

private:
    struct Receiver {
        int from = -1;
        bool streaming = false;
        bool in_flight = false;
        int session = 0;
    };

    World& world() const { return all_.world; }
    Duration takes(Duration low, Duration high) const;
    bool fails() const;
    // One long action: finish is called once, by itself or by what ends it.
    int begin(Finish done);
    void end(int action, Status status);
    template <class F>
    void later(Duration delay, int action, F what) {
        world().on_host(me_, delay, [this, action, what = std::move(what)]() mutable {
            if (action == action_) what();
        });
    }
    void leave_unfinished();
    void take_back();  // the old data that a copy was to stand beside
    void rewind_now(int action, int from);
    bool recover_alone();
    bool restores(int epoch);
    void panic();
    void begin_restored();
    void leave_orphans();
    void end_orphans();
    void replay_tail();
    void gone(bool tell);  // the postmaster ended, whatever the reason
    void started(int epoch);
    void promotion_fails(int action, Duration after);
    void promoted(int action, cluster::Timeline to);
    void arm_consistency(int epoch, int action);
    void shut_down_cleanly();
    void stop_fast(int action, int epoch);
    Duration walsenders_wait() const;

    void change_receiver();
    void receiver_try(int session);
    void receiver_stopped(bool told);
    bool begins_to_stream(SimPostgres& up, int session);
    bool is_ahead_of(const SimPostgres& up) const;
    void report_beyond(SimPostgres& up, int session, WalEnd shared);
    void receiver_soon(Duration delay);
    void receiver_sync();
    void receiver_arrived(int session, WalEnd upto);
    void receiver_lost(Duration retry);
    void receiver_reset();
    void network_changed();
    bool source_answers(int from) const;
    void deliver();  // to those who stream from here

    // sim_disk.cpp: what a loss of power leaves.
    bool full() const { return world().host(me_).disk_full; }
    void flush_soon();
    void flushed_upto(WalEnd upto);
    void flush_now() { data_.flushed = data_.end; }
    void forget_unflushed();
    // A change of small files that is durable after `takes`: until then power decides.
    void being_written(const Kept& before, Duration takes);
    void lose_vote();
    // Deliberate bugs: nothing makes it durable.
    void never_durable(const Kept& before, bool only_vote = false);

    // sim_sync.cpp: who waits for whose flush.
    struct Walsender {
        int session = -1;  // of the standby's receiver
        cluster::SyncNames names;
        bool reads_later = false;  // it was told of newer names and has not read them
        cluster::Lsn sent, flushed;
    };
    Walsender& walsender(int standby) { return walsenders_[static_cast<std::size_t>(standby)]; }
    bool counts(int standby) const;  // by what its walsender has read
    void connected(int standby, int session, cluster::Lsn at);
    void disconnected(int standby, int session);
    void report_flush();
    void flush_reported(int standby, int session, cluster::Lsn flushed);
    void read_names();
    void walsender_reads(int standby, int session);
    void release(int by);
    void release_all();
    void acknowledge(cluster::Lsn upto);

    cluster::Divergence judge(const SimPostgres& source) const;

    Postgreses& all_;
    int me_;
    Data data_;
    std::optional<Data> aside_;
    std::string keeps_;                 // a copy that goes on: ClonePg's keep
    std::map<std::string, Data> kept_;  // by what they were set aside for
    struct Mark {                       // beside the data directory
        std::string id;
        bool done = false;
    };
    Mark mark_;
    struct Unsynced {
        Kept before;
        bool surely = false, only_vote = false;
    };
    std::optional<Unsynced> unsynced_;  // what a loss of power may bring back
    int writing_ = 0;
    bool flushing_ = false;
    cluster::Server server_ = cluster::Server::stopped;
    bool hung_ = false;
    bool recovering_ = true;
    bool orphans_ = false;
    bool checkpointed_ = true;  // since the promotion
    bool started_outside_ = false;
    bool fail_next_start_ = false;
    bool gated_ = false;  // clients are kept out
    WalEnd held_;         // when it became a primary, until somebody has seen it
    int epoch_ = 0;       // of the postmaster
    Instant primary_since_, stopped_since_, stuck_until_;
    Receiver receiver_;
    std::vector<cluster::Slot> slots_;

    cluster::SyncNames names_;   // the postmaster's, and every new process's
    bool commits_wait_ = false;  // as backends know it
    int names_told_ = 0;
    // Whoever asks second renames the file second: what a dead agent left on its way, behind a slow
    // disk, does not come over what the next one wrote.
    int names_asked_ = 0, names_written_ = 0;
    std::vector<Walsender> walsenders_;  // by standby
    std::vector<cluster::Lsn> waiting_;  // commits of the present server

    int action_ = 0;
    Finish pending_;
    bool child_of_agent_ = false;  // the running action is done by the agent's child
    bool stopping_ = false;        // the running action is a stop
    bool touched_ = false;         // it has begun to change the data directory
    bool making_ = false;          // a cluster: from bootstrap to the end of post_bootstrap
};

}  // namespace relevo::sim
