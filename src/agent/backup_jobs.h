// The shell around the rules of the backup job (backup/keeper.h, docs/adr/0016-backup-jobs.md):
// sees the job's key, reads and writes the DCS, starts and ends pgBackRest, looks into the
// repository. It decides nothing. The core knows nothing of it, and nobody waits for it but who
// asks through the API.
//
// One thread. Without a `backup` section it does nothing but see.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "agent/group.h"
#include "agent/proofs.h"
#include "backup/keeper.h"
#include "os/boot_timer.h"
#include "ports/backup.h"
#include "ports/clock.h"
#include "ports/control.h"
#include "ports/dcs.h"

namespace relevo::agent {

class BackupJobs {
public:
    // backup: null where the program has none; proofs: where it makes none. All outlive this.
    BackupJobs(boost::asio::io_context& io, ports::Clock& clock, ports::Dcs& dcs,
               ports::Backup* backup, Proofs* proofs = nullptr);

    // Before it, everything is only seen: who has our name may be another agent.
    void begin();
    // A tree that the watch or a read of the agent's brought, with what it means.
    void see(const cluster::KeyTree& tree, std::shared_ptr<const cluster::Snapshot> snapshot);
    // The view was replaced; cheap.
    void see(const ports::View& view);
    void repository_ready();  // the stanza is there since now
    // The label of the last backup that was made here since the agent was started; empty: none.
    const std::string& made_here() const { return made_here_; }
    void reloaded();  // the configuration may be another one
    // WAL is missing in the archive behind a backup, or none is: where it may be dropped
    // (backup.archive_queue), a full backup follows at once.
    void archive_has(std::optional<backup::HoleBehind> hole);
    // Called after each look that shows a job that has ended; may be empty.
    void on_ended(std::function<void()> told) { job_ended_ = std::move(told); }
    // As the newest look into the repository showed it. Only a leader looks now and then; nothing:
    // it did not yet, or this member leads not.
    const std::optional<cluster::BackupTimes>& newest() const { return newest_; }
    void ask_stop();  // the agent is about to stop: a run ends now
    // Ends what runs, and awaits it and that its end is written, for a few seconds at most. While
    // the DCS still answers.
    Task<void> stop();
    Task<void> wait();  // for all calls; when nobody else's ends them any more

    // POST /backup, POST /backup/expire, GET /backup/schedule. codes: 200, 202 asked for, 404 no
    // `backup` section, 409 a job is active, 503 the DCS or the repository does not answer.
    Task<ports::Reply> start(ports::BackupOrder order);
    Task<ports::Reply> schedule();
    Task<ports::Reply> proofs();  // GET /backup/proofs, codes as above
    // As last seen, for the view; null: no `backup` section.
    std::shared_ptr<const std::vector<cluster::ProofRecord>> seen_proofs() const;

private:
    bool configured() const { return backup_ != nullptr && backup_->configured(); }
    void act();
    void act_on(const backup::Decision& decision);
    backup::Facts facts();
    void arm(std::optional<Instant> wake_at);
    void take(backup::Look look, cluster::Revision revision);

    Instant next_read() const;
    void begin_read();
    Task<Result<backup::Look>> read(Duration deadline);
    Task<void> read_once();
    Task<void> write(backup::Decision::Write what);
    Task<void> list();
    void begin_run(const backup::Decision::Begin& what);
    Task<void> run(backup::Decision::Begin what);
    Task<backup::Outcome> make(const backup::Decision::Begin& what);
    Task<backup::Outcome> verify();
    Task<backup::Outcome> prove(const backup::Decision::Begin& what);
    Task<ports::Reply> cancel();
    void clean_up();
    Task<void> clean();
    Task<Result<std::string>> expire();
    void end_run(const std::string& why);
    void progress(const cluster::BackupProgress& now);
    void say_waits(const std::string& why);
    void prepare_policy();
    Task<ports::Reply> would_expire();
    cluster::Timeline timeline() const;  // the leader's; 0: not known
    std::optional<ports::Endpoint> server_of(const std::string& member) const;

    static constexpr Duration dcs_deadline = std::chrono::seconds(5);

    boost::asio::io_context& io_;
    ports::Clock& clock_;
    ports::Dcs& dcs_;
    ports::Backup* backup_;
    Proofs* proofs_;
    std::shared_ptr<const std::vector<cluster::ProofRecord>> shown_proofs_;
    bool cleaning_ = false;
    Group tasks_;
    os::BootTimer wake_;
    boost::asio::steady_timer ended_;
    boost::asio::steady_timer pause_;  // before a run tries again
    bool begun_ = false;
    bool stopping_ = false;  // no new run, and none that goes on
    bool stopped_ = false;

    std::string made_here_;
    std::optional<backup::HoleBehind> hole_;
    std::function<void()> job_ended_;
    std::string ended_seen_;  // the last job that it was called for

    // What the agent is, as its last view said.
    std::string self_, scope_;
    bool leading_ = false, paused_ = false;
    Instant lead_until_{};
    cluster::Revision term_ = 0;
    std::chrono::seconds ttl_{30};

    // The DCS.
    cluster::SnapshotReader reader_;  // of our own reads
    std::shared_ptr<const cluster::Snapshot> snapshot_;
    backup::Look look_;
    cluster::Revision look_revision_ = 0;
    bool busy_ = false;  // a write is under way
    bool reading_ = false;
    bool must_read_ = true;     // nothing is decided on what may be older than our last write
    std::uint64_t writes_ = 0;  // that have ended
    Instant read_at_ = Instant::max();
    Instant no_read_before_{};  // the last one failed

    backup::Mind mind_;
    bool policy_ready_ = false;
    bool drops_ = false;  // backup.archive_queue
    backup::Policy policy_;
    std::optional<backup::Run> run_;
    std::string end_reason_;  // why the run that lives was told to end
    Instant end_again_{};     // and when it is told once more
    std::optional<backup::Listing> listing_;
    std::optional<cluster::BackupTimes> newest_;
    bool listing_now_ = false;
    Instant list_again_{};
    std::string list_complained_, waits_;
};

}  // namespace relevo::agent
