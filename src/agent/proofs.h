// Proves that a backup restores (docs/adr/0021-proof-of-restore.md): restores the newest one and
// all WAL there is into a directory of its own on this host, starts a server on it that can reach
// nothing and nobody (backup/proof_server.h), waits for the end of its recovery, has it checked,
// and removes all of it. When that is to be done, and that nobody else does it, is
// backup/keeper.h's.
//
// One thread, one proof at a time.
#pragma once

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "agent/group.h"
#include "agent/proof_site.h"
#include "backup/proof_server.h"
#include "cluster/archive_gaps.h"
#include "cluster/backup_proof.h"
#include "os/blocking.h"
#include "os/process.h"
#include "ports/backup.h"
#include "ports/clock.h"
#include "ports/postgres_config.h"

namespace relevo::agent {

class Proofs {
public:
    // postgres: this member's, as it is configured now. ends_within: what was told to end and has
    // not by then waits for a disk or a server that does not answer, and nobody waits for it.
    Proofs(boost::asio::io_context& io, ports::Clock& clock, ports::Backup& backup,
           os::Blocking pool, std::function<const ports::PostgresConfig&()> postgres,
           Duration ends_within = std::chrono::seconds(60));

    struct Ask {
        std::string id;
        std::optional<WallTime> due;
        cluster::Timeline timeline = 0;  // the cluster's; 0: not known
        std::function<void(const cluster::BackupProgress&)> progress;  // of the restore
    };
    // The verdict, good or bad; nothing of it is left then, but for one that does not end: that one
    // goes on for itself, and those after it fail until it is over. cancelled: by end(), and so no
    // verdict.
    Task<Result<cluster::ProofRecord>> prove(Ask ask);
    void end();                                // what goes on; nothing happens when nothing does
    bool at_work() const { return at_work_; }  // one goes on, or was left to itself

    // What an earlier life of this agent left is ended and removed. Once, before anything else.
    Task<void> clean();
    // Whether something of an earlier life may still be at work here.
    bool may_be_at_work() const { return !clean_; }

private:
    using Signal = std::shared_ptr<boost::asio::cancellation_signal>;

    Task<void> begin(Ask ask);
    Task<Result<cluster::ProofRecord>> whole(const Ask& ask);
    Result<cluster::ProofRecord> left_to_itself();
    std::string stuck() const;
    Task<Status> work(const Ask& ask, cluster::ProofRecord& record);
    Task<Status> restore(const Ask& ask, cluster::ProofRecord& record);
    Task<Result<cluster::ArchiveReach>> look_at_archive(const cluster::ArchiveRange& range,
                                                        const cluster::BackupRecord& backup,
                                                        cluster::Timeline line);
    Task<Status> find_reach(const cluster::Repository& repository,
                            const cluster::BackupRecord& backup, cluster::Timeline line);
    Task<Status> recover(cluster::ProofRecord& record);
    Task<Status> look(cluster::ProofRecord& record);
    Task<Status> check_indexes(cluster::ProofRecord& record);
    Task<Status> check_rows(cluster::ProofRecord& record);
    Task<Status> configure();
    Task<void> serve(os::Command command);
    Task<void> stop_server();
    Task<Result<os::Finished>> child(os::Command command);
    Task<Result<std::string>> sql(const std::string& database, const char* option,
                                  const std::string& what);
    std::string program(const char* name) const;
    os::Command command(std::vector<std::string> arguments) const;
    void end_all();
    Status still_wanted() const;

    boost::asio::io_context& io_;
    ports::Clock& clock_;
    ports::Backup& backup_;
    os::Blocking pool_;
    std::function<const ports::PostgresConfig&()> postgres_;
    Group tasks_;
    bool clean_ = false;

    // Of the proof that goes on.
    ProofSite site_;
    backup::ProofServer server_;
    cluster::Lsn reach_;  // the end of the last segment that the archive had at the start
    bool has_amcheck_ = false;
    bool proving_ = false, ending_ = false, timed_out_ = false;
    Group wholes_;
    Duration ends_within_;
    bool at_work_ = false;
    cluster::ProofRecord record_;  // as far as it is known
    std::optional<Result<cluster::ProofRecord>> result_;
    std::optional<boost::asio::steady_timer::time_point> given_up_at_;  // once it was told to end
    boost::asio::steady_timer over_;
    std::set<Signal> children_;
    boost::asio::steady_timer deadline_;

    // Its server.
    boost::asio::steady_timer event_;
    bool serving_ = false;
    backup::ServerLog log_;
    std::string ended_;  // what became of it
};

}  // namespace relevo::agent
