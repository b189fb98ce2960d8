#include "backup/show.h"

#include <fmt/core.h>

#include <algorithm>

#include "cluster/plain_json.h"

namespace relevo::backup {
namespace {

using cluster::BackupJob;
using cluster::JobState;
using cluster::plain_json::Object;
using std::chrono::seconds;

void set_time(Object& out, const char* key, const std::optional<WallTime>& time) {
    if (time) out.text(key, to_iso(*time));
}
void set_text(Object& out, const char* key, const std::string& text) {
    if (!text.empty()) out.text(key, text);
}

std::string entry_json(const char* type, const cluster::Cron& when, const Shown& shown) {
    Object out;
    out.text("type", type);
    out.text("cron", when.text());
    set_time(out, "last", when.last_until(shown.now, shown.schedule.zone));
    set_time(out, "next", when.next_after(shown.now, shown.schedule.zone));
    return out.take();
}

std::string job_json(const BackupJob& job, WallTime now) {
    Object out;
    out.text("id", job.id);
    out.text("what", to_string(job.what));
    out.text("state", to_string(job.state));
    out.text("requested_by", to_string(job.asker));
    out.text("requested", to_iso(job.requested));
    set_time(out, "due", job.due);
    set_text(out, "member", job.member);
    set_text(out, "primary", job.primary);
    if (job.attempts > 0) out.number("attempts", static_cast<std::uint64_t>(job.attempts));
    set_time(out, "begun", job.begun);
    set_time(out, "ended", job.ended);
    const auto& progress = job.progress;
    if (progress.done_bytes > 0) out.number("done_bytes", progress.done_bytes);
    if (progress.total_bytes > 0) out.number("total_bytes", progress.total_bytes);
    if (progress.percent_x100 >= 0)
        out.json("percent", fmt::format("{:.2f}", progress.percent_x100 / 100.0));
    const auto end = job.state == JobState::running ? std::optional(now) : job.ended;
    if (job.begun && end && *end > *job.begun)
        out.number("elapsed_s", static_cast<std::uint64_t>(
                                    std::chrono::floor<seconds>(*end - *job.begun).count()));
    if (const auto left = left_to_run(job, now))
        out.number("eta_s", static_cast<std::uint64_t>(left->count()));
    if (job.state == JobState::failed) out.flag("interrupted", job.interrupted);
    set_text(out, "stop", job.stop);
    set_text(out, "label", job.label);
    set_text(out, "result", job.result);
    return out.take();
}

}  // namespace

std::optional<seconds> left_to_run(const BackupJob& job, WallTime now) {
    const auto& progress = job.progress;
    if (job.state != JobState::running || !job.begun || progress.percent_x100 < 100)
        return std::nullopt;
    // The share is as of then; by another host's clock, where this one did not ask the runner.
    const auto spent = progress.at.value_or(now) - *job.begun;
    if (spent <= seconds(0)) return std::nullopt;
    const double share = progress.percent_x100 / 10'000.0;
    const double all = std::chrono::duration<double>(spent).count() / share;
    const double gone = std::chrono::duration<double>(now - *job.begun).count();
    constexpr double most = 366.0 * 86'400;
    return seconds(static_cast<std::int64_t>(std::clamp(all - gone, 0.0, most)));
}

namespace {

std::string proof_json(const cluster::ProofRecord& proof) {
    Object out;
    const auto set_number = [&](const char* key, const std::optional<std::int64_t>& number) {
        if (number && *number >= 0) out.number(key, static_cast<std::uint64_t>(*number));
    };
    out.text("id", proof.id);
    out.text("begun", to_iso(proof.begun));
    set_time(out, "due", proof.due);
    out.text("member", proof.member);
    set_text(out, "backup", proof.backup);
    out.flag("ok", proof.ok);
    set_text(out, "step", proof.step);
    set_text(out, "result", proof.result);
    set_text(out, "unchecked", proof.unchecked);
    if (proof.bytes > 0) out.number("bytes", proof.bytes);
    set_number("restore_ms", proof.restore_ms);
    set_number("recovery_ms", proof.recovery_ms);
    set_number("checks_ms", proof.checks_ms);
    set_number("took_ms", proof.took_ms());
    if (proof.restored_to) out.text("restored_to", to_string(proof.restored_to));
    set_time(out, "newest", proof.newest);
    if (const auto age = proof.newest_age()) set_number("newest_age_s", age->count());
    return out.take();
}

}  // namespace

std::string proofs_json(const std::string& scope, const ProofPolicy& policy,
                        const cluster::Zone& zone, const std::vector<cluster::ProofRecord>& proofs,
                        WallTime now) {
    Object out;
    out.text("cluster", scope);
    out.text("now", to_iso(now));
    if (policy.when) out.text("schedule", policy.when->text());
    set_time(out, "next", next_proof(policy, zone, proofs, now));
    std::string list;
    for (auto proof = proofs.rbegin(); proof != proofs.rend(); ++proof)
        list += (list.empty() ? "" : ",") + proof_json(*proof);
    out.json("proofs", '[' + list + ']');
    return out.take();
}

std::string schedule_json(const Shown& shown) {
    Object out;
    out.text("cluster", shown.scope);
    out.text("now", to_iso(shown.now));
    out.text("timezone", shown.schedule.zone.name());
    out.text("from", shown.from);
    std::string entries;
    const struct {
        const char* type;
        const std::optional<cluster::Cron>& when;
    } all[] = {{"full", shown.schedule.full},
               {"differential", shown.schedule.differential},
               {"incremental", shown.schedule.incremental}};
    for (const auto& one : all) {
        if (!one.when) continue;
        if (!entries.empty()) entries += ',';
        entries += entry_json(one.type, *one.when, shown);
    }
    out.json("schedule", '[' + entries + ']');
    if (shown.job) out.json("job", job_json(*shown.job, shown.now));
    set_text(out, "waits", shown.waits);
    return out.take();
}

}  // namespace relevo::backup
