// What is there: the data directory, the postmaster, and what the server says of itself
// (contract 7.1, last paragraph). One script in one round trip on a connection that stays; a fresh
// one that only proves that the server still takes new ones.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cluster/postgres_state.h"
#include "os/blocking.h"
#include "os/process.h"
#include "ports/postgres_config.h"
#include "ports/task.h"
#include "postgres/connection.h"
#include "postgres/control_data.h"
#include "postgres/kept_aside.h"
#include "postgres/probe.h"
#include "postgres/process.h"

namespace relevo::postgres {

// One look at the disk. Made in the pool.
struct DiskView {
    cluster::DataDir data_dir = cluster::DataDir::unusable;
    std::string real_path;  // of the data directory, links resolved
    std::string problem;
    int version = 0;  // PG_VERSION's major
    bool standby_signal = false;
    bool backup_label = false;
    bool voteless = true;  // what was never looked at
    std::optional<AsideMark> aside;
    bool unfinished_cluster = false;
    std::optional<PidFile> pid_file;
    std::shared_ptr<os::PidHandle> postmaster;  // verified to be ours and alive
    std::shared_ptr<const ControlFile> control;
};

// pg_control as of one state of the file: pg_controldata runs again only when it was written since.
struct KnownControl {
    std::int64_t changed_ns = 0;
    std::uint64_t file = 0;
    std::shared_ptr<const ControlFile> control;
};

// Blocks. Reads pg_control only when no postmaster lives; `known` is used and renewed. Null:
// pg_control does not matter.
// `making_cluster`: the mark of a bootstrap is our own, of one that is under way.
DiskView look_at_disk(const ports::PostgresConfig& config, KnownControl* known,
                      bool making_cluster = false);
// Blocks. Null: not readable (why: problem).
std::shared_ptr<const ControlFile> read_control(const ports::PostgresConfig& config,
                                                KnownControl& known, std::string& problem);

// The script and its answer's meaning. Pure.
std::string observing_script();  // the same for 13 to 18
struct ServerFacts {
    std::string config_file, hba_file;
    std::string read_only_by;  // the file that sets default_transaction_read_only on; empty: none
    std::uint64_t segment_size = 0;
    bool timeline_received = false;  // a receiver told the timeline; otherwise it is pg_control's
};
Status read_observation(const std::vector<Rows>& answer, cluster::LocalPostgres& into,
                        ServerFacts& facts);

// The text of NNNNNNNN.history. Pure.
std::vector<cluster::HistoryLine> parse_history(std::string_view text);

class Observer {
public:
    using Config = std::function<const ports::PostgresConfig&()>;
    Observer(os::Blocking& pool, Config config) : pool_(pool), config_(std::move(config)) {}

    struct Seen {
        cluster::LocalPostgres postgres;
        ServerFacts facts;  // meaningful when the script was answered
        bool answered = false;
        std::shared_ptr<os::PidHandle> postmaster;  // as the disk tells
        std::string real_path;
    };
    // `watched_alive`: a postmaster that we hold by its pidfd lives, whatever the files say.
    // One at a time (the caller's business). At most about two seconds.
    Task<Seen> observe(bool watched_alive, cluster::Look look);

    // The server is known to be gone: the next observe() connects anew.
    void forget_server() {
        heartbeat_.reset();
        address_.reset();
    }

    // How to reach the server on this host: where the configuration says, but for what a running
    // one's own postmaster.pid says otherwise.
    ConnectOptions reach(const std::string& application) const;
    void learn_address(const PidFile& file) { address_ = file; }
    void set_making_cluster(bool making) { making_cluster_ = making; }

private:
    struct Sql {
        bool answered = false;
        std::vector<Rows> rows;
        std::string problem;
    };
    Task<DiskView> disk();
    Task<Sql> ask(Duration patience);
    Task<void> look_at_server(Seen& seen, const DiskView& disk);
    Task<void> read_identity(cluster::LocalPostgres& postgres);
    Task<void> read_history(cluster::LocalPostgres& postgres);
    Task<void> read_timeline(cluster::LocalPostgres& postgres, std::uint64_t segment_size);

    os::Blocking& pool_;
    Config config_;
    std::unique_ptr<Connection> heartbeat_;
    std::shared_ptr<const DiskView> last_disk_;
    std::optional<PidFile> address_;  // of the postmaster that is known to live
    KnownControl control_;
    bool making_cluster_ = false;
    bool last_in_recovery_ = true;
    pid_t last_answering_ = 0;  // the postmaster that last answered the script
    int last_version_ = 0;
    cluster::Timeline history_timeline_ = 0;
    std::vector<cluster::HistoryLine> history_;
};

}  // namespace relevo::postgres
