// The run of a backup job on this member: pgBackRest, or a proof, from its start to its end.
#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cmath>
#include <utility>

#include "agent/backup_jobs.h"
#include "base/log.h"
#include "base/text.h"

namespace relevo::agent {
namespace asio = boost::asio;

using backup::Decision;
using backup::Outcome;
using cluster::JobWhat;

namespace {

constexpr auto quietly = asio::as_tuple(asio::use_awaitable);

std::optional<cluster::BackupType> backup_type(JobWhat what) {
    switch (what) {
        case JobWhat::full: return cluster::BackupType::full;
        case JobWhat::differential: return cluster::BackupType::differential;
        case JobWhat::incremental: return cluster::BackupType::incremental;
        case JobWhat::expire:
        case JobWhat::verify:
        case JobWhat::proof: return std::nullopt;
    }
    return std::nullopt;
}

bool locked(const Result<std::string>& label) {
    return !label && label.error().code == ErrorCode::conflict;
}
constexpr int lock_tries = 10;
constexpr auto lock_pause = std::chrono::seconds(1);

}  // namespace

void BackupJobs::begin_run(const Decision::Begin& what) {
    run_ = backup::Run{what.token, std::nullopt, {}};
    end_reason_.clear();
    log::info("backup: {} begins here{}", to_string(what.what),
              what.from_standby && !cluster::reads_only(what.what)
                  ? ", from this standby; " + what.primary + " is the primary"
                  : "");
    tasks_.spawn(run(what));
}

Task<void> BackupJobs::run(Decision::Begin what) {
    auto outcome = co_await make(what);
    if (!end_reason_.empty() && !outcome.ok) {
        outcome.interrupted = true;
        outcome.proof.reset();
        outcome.text = "ended by its agent: " + end_reason_;
    }
    if (outcome.ok)
        log::info("backup: {} is done{}: {}", to_string(what.what),
                  outcome.label.empty() ? "" : ", " + outcome.label, outcome.text);
    else if (!outcome.proof)  // else it has been said, with what to do
        log::error("backup: {} {}: {}", to_string(what.what),
                   outcome.interrupted ? "was interrupted" : "failed", outcome.text);
    if (run_ && run_->token == what.token) run_->outcome = std::move(outcome);
    ended_.cancel();
    act();
}

Task<Outcome> BackupJobs::verify() {
    const auto report = co_await backup_->verify();
    co_return Outcome{.ok = report.has_value(),
                      .interrupted = !report && report.error().code == ErrorCode::cancelled,
                      .label = {},
                      .text = report ? *report : report.error().message};
}

Task<Outcome> BackupJobs::prove(const Decision::Begin& what) {
    Outcome out;
    if (proofs_ == nullptr) {
        out.text = "this agent makes no proofs of restore";
        co_return out;
    }
    Proofs::Ask ask{.id = what.id, .due = what.due, .timeline = timeline(), .progress = {}};
    ask.progress = [this](const cluster::BackupProgress& now) { progress(now); };
    auto proof = co_await proofs_->prove(std::move(ask));
    out.interrupted = !proof;
    out.ok = proof && proof->ok;
    out.text = proof ? proof->result : proof.error().message;
    if (!proof) co_return out;
    out.label = proof->backup;
    out.proof = *std::move(proof);
    co_return out;
}

Task<Outcome> BackupJobs::make(const Decision::Begin& what) {
    if (cluster::reads_only(what.what)) {
        const bool proof = what.what == JobWhat::proof;
        auto read = co_await (proof ? prove(what) : verify());
        co_return read;
    }
    Outcome out;
    if (const auto type = backup_type(what.what)) {
        ports::Backup::Plan plan;
        plan.type = *type;
        if (what.from_standby) {
            plan.primary = server_of(what.primary);
            if (!plan.primary) {
                out.text = "where the primary's server listens is not known";
                co_return out;
            }
        }
        plan.progress = [this](const cluster::BackupProgress& now) { progress(now); };
        auto label = co_await backup_->run(plan);
        // Somebody has pgBackRest's lock on this host for a moment: the stanza is made and checked
        // after each promotion.
        for (int tries = 1; locked(label) && tries < lock_tries && end_reason_.empty(); ++tries) {
            pause_.expires_after(lock_pause);
            co_await pause_.async_wait(quietly);
            if (end_reason_.empty()) label = co_await backup_->run(plan);
        }
        if (!label) {
            out.interrupted = label.error().code == ErrorCode::cancelled;
            out.text = label.error().message;
            co_return out;
        }
        out.label = made_here_ = *label;
        run_->progress.percent_x100 = 10'000;
    }
    // Under the same run, so that nothing is removed while somebody makes a backup.
    const auto removed = co_await expire();
    // A backup that was made is made, whatever became of older ones.
    out.ok = removed || !out.label.empty();
    out.interrupted = !removed && removed.error().code == ErrorCode::cancelled;
    out.text = removed ? *removed : "retention: " + removed.error().message;
    co_return out;
}

Task<Result<std::string>> BackupJobs::expire() {
    if (!end_reason_.empty()) co_return fail(ErrorCode::cancelled, "there was no time left for it");
    const auto lines = co_await backup_->expire(false);
    if (!lines) co_return std::unexpected(lines.error());
    co_return lines->empty() ? std::string("nothing to expire") : join(*lines, "; ");
}

void BackupJobs::progress(const cluster::BackupProgress& now) {
    if (!run_) return;
    auto& shown = run_->progress;
    shown.done_bytes = now.done_bytes;
    shown.total_bytes = now.total_bytes;
    if (now.percent) shown.percent_x100 = static_cast<int>(std::lround(*now.percent * 100));
    shown.at = clock_.wall();
}

// Said until it is dead: it may have been told before it was there.
void BackupJobs::end_run(const std::string& why) {
    if (end_reason_.empty()) {
        end_reason_ = why;
        log::warning("backup: the run is ended: {}", why);
    }
    backup_->end_job();
    if (proofs_ != nullptr) proofs_->end();
    pause_.cancel();
    // Once more soon: between its two parts there was nothing to end.
    end_again_ = clock_.now() + std::chrono::milliseconds(200);
}

}  // namespace relevo::agent
