#include "agent/backup_jobs.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "backup/repositories.h"
#include "base/log.h"
#include "cluster/keys.h"
#include "config/zone.h"

namespace relevo::agent {
namespace asio = boost::asio;

using backup::Decision;
using cluster::JobState;
using ports::BackupConfig;
using std::chrono::seconds;

namespace {

constexpr auto quietly = asio::as_tuple(asio::use_awaitable);
constexpr Duration info_deadline = seconds(60);
// A repository that does not answer is asked again this much later.
constexpr Duration list_pause = seconds(10);
// pgBackRest dies within two seconds, and its end is written within one more; a DCS that does not
// answer keeps nobody from stopping.
constexpr Duration stop_takes = seconds(4);

backup::From from_of(BackupConfig::From from) {
    switch (from) {
        case BackupConfig::From::primary: return backup::From::primary;
        case BackupConfig::From::prefer_standby: return backup::From::prefer_standby;
        case BackupConfig::From::standby: return backup::From::standby;
    }
    return backup::From::prefer_standby;
}

// The configuration was checked when it was loaded: what is wrong here is said, and left out.
std::optional<cluster::Cron> cron_of(const char* key, const std::string& text) {
    if (text.empty()) return std::nullopt;
    auto cron = cluster::Cron::parse(text);
    if (cron) return *std::move(cron);
    log::error("backup.schedule.{}: {}: no such backup is made", key, cron.error().message);
    return std::nullopt;
}

}  // namespace

BackupJobs::BackupJobs(asio::io_context& io, ports::Clock& clock, ports::Dcs& dcs,
                       ports::Backup* backup, Proofs* proofs)
    : io_(io),
      clock_(clock),
      dcs_(dcs),
      backup_(backup),
      proofs_(proofs),
      tasks_(io),
      wake_(io, [this] { act(); }),
      ended_(io),
      pause_(io) {}

void BackupJobs::begin() {
    begun_ = true;
    clean_up();
    act();
}

// Once: what an earlier life of this agent left of a proof.
void BackupJobs::clean_up() {
    if (cleaning_ || !begun_ || proofs_ == nullptr) return;
    cleaning_ = true;
    tasks_.spawn(clean());
}

Task<void> BackupJobs::clean() {
    co_await proofs_->clean();
    // What the listing says of this host is older: a job of the earlier life can be ended now.
    listing_.reset();
    act();
}

// ---- what is seen

void BackupJobs::see(const cluster::KeyTree& tree,
                     std::shared_ptr<const cluster::Snapshot> snapshot) {
    if (!configured() && !run_) return;
    auto look = backup::look_at(tree, *snapshot);
    snapshot_ = std::move(snapshot);
    take(std::move(look), tree.revision);
    act();
}

void BackupJobs::take(backup::Look look, cluster::Revision revision) {
    if (revision < look_revision_) return;
    look_ = std::move(look);
    look_revision_ = revision;
    if (!shown_proofs_ || *shown_proofs_ != look_.proofs)
        shown_proofs_ = std::make_shared<const std::vector<cluster::ProofRecord>>(look_.proofs);
    if (!look_.job || look_.job->active()) return;
    const auto& ended = look_.job->run.empty() ? look_.job->id : look_.job->run;
    if (std::exchange(ended_seen_, ended) != ended && job_ended_) job_ended_();
}

void BackupJobs::archive_has(std::optional<backup::HoleBehind> hole) {
    if (hole == hole_) return;
    hole_ = std::move(hole);
    act();
}

void BackupJobs::see(const ports::View& view) {
    const bool news = view.leading != leading_ || view.term != term_ ||
                      view.settings.pause != paused_ || view.settings.ttl != ttl_;
    self_ = view.name;
    scope_ = view.scope;
    leading_ = view.leading;
    if (!leading_) newest_.reset();
    lead_until_ = view.lead_until;
    term_ = view.term;
    paused_ = view.settings.pause;
    ttl_ = view.settings.ttl;
    if (news) act();
}

// A listing that had no stanza is not waited for to grow old.
void BackupJobs::repository_ready() {
    if (listing_ && listing_->usable) return;
    listing_.reset();
    list_again_ = {};
    act();
}

void BackupJobs::reloaded() {
    policy_ready_ = false;
    listing_.reset();
    list_again_ = {};
    list_complained_.clear();
    waits_.clear();
    must_read_ = true;
    clean_up();
    act();
}

void BackupJobs::prepare_policy() {
    if (policy_ready_) return;
    policy_ready_ = true;
    const auto config = backup_->config();
    drops_ = config.archive_queue == BackupConfig::Queue::drop;
    policy_.schedule.full = cron_of("full", config.full);
    policy_.schedule.differential = cron_of("differential", config.differential);
    policy_.schedule.incremental = cron_of("incremental", config.incremental);
    policy_.schedule.zone = {};
    if (auto zone = config::load_zone(config.timezone))
        policy_.schedule.zone = *std::move(zone);
    else
        log::error("backup.schedule.timezone: {}; the schedule is taken to be in UTC",
                   zone.error().message);
    policy_.proof.when = cron_of("proof", config.proof.schedule);
    policy_.proof.on = config.proof.on;
    policy_.proof.on_only_member = config.proof.on_only_member;
    policy_.from = from_of(config.from);
    const auto why_not = backup_->why_not_from_standby();
    policy_.standbys_reach_primary = why_not.empty();
    if (policy_.from == backup::From::prefer_standby && !why_not.empty())
        log::info("backup: made on the primary: {}", why_not);
}

// ---- what is decided

backup::Facts BackupJobs::facts() {
    prepare_policy();
    backup::Facts out;
    out.now = clock_.now();
    out.wall = clock_.wall();
    out.self = self_;
    out.leads = leading_ && out.now < lead_until_;
    out.term = term_;
    out.paused = paused_;
    out.stopping = stopping_;
    out.policy = policy_;
    out.policy.ttl = ttl_;
    out.look = look_;
    out.run = run_;
    out.listing = listing_;
    if (drops_) out.hole = hole_;
    // Of this life of this agent: two would have to begin within a microsecond.
    out.fresh_token = fmt::format("{}/{}", self_, out.wall.time_since_epoch().count());
    return out;
}

void BackupJobs::act() {
    if (!begun_ || stopped_ || self_.empty() || (!configured() && !run_)) return;
    const bool alive = run_ && !run_->outcome;
    if (next_read() <= clock_.now()) begin_read();
    // Whether a run may go on is asked at any time; all else on what a read has shown since our
    // last write.
    if ((busy_ || must_read_) && !alive) return arm(std::nullopt);
    act_on(backup::decide(mind_, facts()));
}

void BackupJobs::act_on(const Decision& decision) {
    if (decision.read) {
        const Duration every =
            std::max<Duration>(Duration(ttl_) / 6, std::chrono::milliseconds(500));
        read_at_ = std::min(read_at_, clock_.now() + every);
    }
    if (decision.end) end_run(*decision.end);
    if (decision.forget_run) {
        run_.reset();
        end_reason_.clear();
        asio::post(io_, [this] { act(); });
    }
    if (decision.list && !listing_now_ && list_again_ <= clock_.now()) tasks_.spawn(list());
    if (decision.begin) begin_run(*decision.begin);
    if (decision.write && !busy_) {
        busy_ = true;
        tasks_.spawn(write(*decision.write));
    }
    // Until the list is there, what was so is taken to be so.
    if (!decision.list) say_waits(decision.waits);
    arm(decision.wake_at);
}

void BackupJobs::arm(std::optional<Instant> wake_at) {
    Instant at = std::min(wake_at.value_or(Instant::max()), next_read());
    if (run_ && !run_->outcome && !end_reason_.empty()) at = std::min(at, end_again_);
    // A listing that is wanted and may not be asked for yet.
    if (list_again_ > clock_.now()) at = std::min(at, list_again_);
    if (at == Instant::max())
        wake_.cancel();
    else
        wake_.set(at);
}

void BackupJobs::say_waits(const std::string& why) {
    if (why == waits_) return;
    waits_ = why;
    if (!why.empty()) log::warning("backup: one is due, and not begun: {}", why);
}

// ---- the DCS

Instant BackupJobs::next_read() const {
    if (reading_ || busy_) return Instant::max();
    return std::max(must_read_ ? Instant{} : read_at_, no_read_before_);
}

void BackupJobs::begin_read() {
    reading_ = true;
    read_at_ = Instant::max();
    tasks_.spawn(read_once());
}

Task<Result<backup::Look>> BackupJobs::read(Duration deadline) {
    const Instant began = clock_.now();
    auto tree = co_await dcs_.read(deadline);
    if (!tree) co_return std::unexpected(tree.error());
    auto snapshot = reader_.read_shared(*tree);
    reader_.take_problems();  // the agent has said them
    auto look = backup::look_at(*tree, *snapshot);
    backup::heard(mind_, look, self_, began);
    if (tree->revision >= look_revision_) snapshot_ = std::move(snapshot);
    take(look, tree->revision);
    co_return look;
}

Task<void> BackupJobs::read_once() {
    const auto writes = writes_;
    // While a run depends on it, one answer that does not come leaves time for others.
    const Duration deadline =
        run_ ? std::clamp<Duration>(backup::patience(ttl_) / 3, std::chrono::milliseconds(500),
                                    dcs_deadline)
             : dcs_deadline;
    const auto look = co_await read(deadline);
    reading_ = false;
    no_read_before_ = look ? Instant{} : clock_.now() + std::chrono::milliseconds(500);
    if (look && writes == writes_ && !busy_) must_read_ = false;
    if (!look) read_at_ = no_read_before_;
    act();
}

Task<void> BackupJobs::write(Decision::Write what) {
    must_read_ = true;  // whatever comes of it
    auto txn = cluster::keys::put_backup(what.job, what.known, what.term);
    // As they were when that key was read: they are written together with it, and never else.
    if (what.proof)
        txn.writes.push_back({cluster::Write::What::put, cluster::proofs_key,
                              to_json(with_proof(look_.proofs, *what.proof)), false});
    const auto done = co_await dcs_.commit(txn, dcs_deadline);
    if (done && done->succeeded && what.job.state == JobState::failed && what.job.interrupted)
        log::warning("backup: the {} job {} was interrupted: {}", to_string(what.job.what),
                     what.job.id, what.job.result);
    if (done && done->succeeded && what.job.state == JobState::requested &&
        !what.job.member.empty())
        log::info("backup: {} ({}) is for {} to do", to_string(what.job.what),
                  to_string(what.job.asker), what.job.member);
    if (!done) log::debug("backup key: {}", done.error().message);
    busy_ = false;
    ++writes_;
    act();
}

// ---- the repository

Task<void> BackupJobs::list() {
    listing_now_ = true;
    backup::Listing found;
    found.at = clock_.now();
    found.job_revision = look_.job_revision;
    list_again_ = found.at + seconds(1);
    auto repository = co_await backup_->info(info_deadline);
    listing_now_ = false;
    // After pg_upgrade those of the old one are listed as ever, and would be taken for fresh.
    if (repository && snapshot_)
        backup::leave_out_others(*repository, snapshot_->initialize.value_or(""));
    // One of several that cannot be read is not an empty one: a full backup would be made at once,
    // and its retention would remove the oldest one before its time.
    const auto why = repository ? backup::why_unknown(*repository) : repository.error().message;
    if (repository) {
        found.backups = backup::kept(repository->backups);
        if (leading_ && why.empty()) newest_ = repository->times();
        found.usable = repository->has_stanza() && why.empty();
        found.running_here =
            repository->backup_running || (proofs_ != nullptr && proofs_->may_be_at_work());
        listing_ = std::move(found);
    }
    if (!why.empty()) {
        list_again_ = clock_.now() + list_pause;
        if (why != list_complained_ && !stopping_)
            log::error("backup: whether one is due cannot be said: {}", why);
    }
    list_complained_ = why;
    act();
}

cluster::Timeline BackupJobs::timeline() const {
    const auto* leader = snapshot_ ? snapshot_->leader_member() : nullptr;
    return leader != nullptr ? leader->timeline : 0;
}

std::optional<ports::Endpoint> BackupJobs::server_of(const std::string& name) const {
    const auto* member = snapshot_ ? snapshot_->member(name) : nullptr;
    if (member == nullptr) return std::nullopt;
    return ports::Endpoint{member->host(), member->port()};
}

void BackupJobs::ask_stop() {
    stopping_ = true;
    act();
}

Task<void> BackupJobs::stop() {
    ask_stop();
    const Instant end = clock_.now() + stop_takes;
    // Each task acts when it ends, so that one after the other comes to an end.
    while (run_ && clock_.now() < end) {
        ended_.expires_after(std::chrono::milliseconds(50));
        co_await ended_.async_wait(quietly);
        act();
    }
    stopped_ = true;
    wake_.cancel();
    if (run_ && !run_->outcome) {
        backup_->end_job();
        if (proofs_ != nullptr) proofs_->end();
    }
}

Task<void> BackupJobs::wait() { co_await tasks_.wait(); }

}  // namespace relevo::agent
