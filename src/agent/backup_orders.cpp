// What may be asked of the backup job through the API.
#include "agent/backup_jobs.h"
#include "backup/show.h"
#include "base/log.h"
#include "cluster/keys.h"

namespace relevo::agent {

using ports::Reply;

namespace {

const char* word(backup::From from) {
    switch (from) {
        case backup::From::primary: return "primary";
        case backup::From::prefer_standby: return "prefer-standby";
        case backup::From::standby: return "standby";
    }
    return "?";
}

Reply not_configured() { return {404, "this member has no `backup` section in its configuration"}; }

}  // namespace

Task<Reply> BackupJobs::start(ports::BackupOrder order) {
    if (!configured()) co_return not_configured();
    if (order.cancel) {
        auto cancelled = co_await cancel();
        co_return cancelled;
    }
    if (order.dry_run) {
        auto lines = co_await would_expire();
        co_return lines;
    }
    const auto look = co_await read(dcs_deadline);
    if (!look) co_return Reply{503, "the DCS cannot be read: " + look.error().message};
    prepare_policy();
    const auto job = backup::request(*look, order.what, policy_.proof, clock_.wall());
    if (!job) co_return Reply{409, job.error().message};
    const auto done = co_await dcs_.commit(
        cluster::keys::put_backup(*job, look->job_revision, std::nullopt), dcs_deadline);
    ++writes_;
    must_read_ = true;
    act();
    if (!done)
        co_return Reply{503,
                        "it is not known whether the request was written, look at "
                        "`relevoctl backup schedule`: " +
                            done.error().message};
    if (!done->succeeded)
        co_return Reply{409, "somebody else was faster: look at `relevoctl backup schedule`"};
    if (look->leader.empty())
        log::info("backup: {} was asked for; it begins when the cluster has a leader",
                  to_string(order.what));
    co_return Reply{202, to_json(*job)};
}

Task<Reply> BackupJobs::cancel() {
    const auto look = co_await read(dcs_deadline);
    if (!look) co_return Reply{503, "the DCS cannot be read: " + look.error().message};
    const auto job = backup::cancel_proof(*look, clock_.wall());
    if (!job) co_return Reply{409, job.error().message};
    const auto done = co_await dcs_.commit(
        cluster::keys::put_backup(*job, look->job_revision, std::nullopt), dcs_deadline);
    ++writes_;
    must_read_ = true;
    act();
    if (!done) co_return Reply{503, "it is not known whether that was written: ask again"};
    if (!done->succeeded) co_return Reply{409, "the job has just changed: ask again"};
    co_return Reply{202, to_json(*job)};
}

Task<Reply> BackupJobs::would_expire() {
    const auto lines = co_await backup_->expire(true);
    if (!lines) co_return Reply{503, lines.error().message};
    std::string text;
    for (const auto& line : *lines) text += line + "\n";
    co_return Reply{200, text.empty() ? "nothing would be expired\n" : text};
}

Task<Reply> BackupJobs::schedule() {
    if (!configured()) co_return not_configured();
    const auto look = co_await read(dcs_deadline);
    if (!look) co_return Reply{503, "the DCS cannot be read: " + look.error().message};
    prepare_policy();
    backup::Shown shown;
    shown.scope = scope_;
    shown.schedule = policy_.schedule;
    shown.from = word(policy_.from);
    shown.job = look->job;
    // The key has it every ten seconds; who runs it knows it now.
    if (shown.job && run_ && shown.job->run == run_->token && !run_->outcome)
        shown.job->progress = run_->progress;
    shown.waits = waits_;
    shown.now = clock_.wall();
    co_return Reply{200, schedule_json(shown)};
}

Task<Reply> BackupJobs::proofs() {
    if (!configured()) co_return not_configured();
    const auto look = co_await read(dcs_deadline);
    if (!look) co_return Reply{503, "the DCS cannot be read: " + look.error().message};
    prepare_policy();
    co_return Reply{200, proofs_json(scope_, policy_.proof, policy_.schedule.zone, look->proofs,
                                     clock_.wall())};
}

std::shared_ptr<const std::vector<cluster::ProofRecord>> BackupJobs::seen_proofs() const {
    return configured() ? shown_proofs_ : nullptr;
}

}  // namespace relevo::agent
