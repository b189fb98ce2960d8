#include "backup/proof.h"

#include <algorithm>

namespace relevo::backup {
namespace {

using cluster::ProofRecord;
using std::chrono::hours;

// Clocks of hosts differ by seconds; one that was this far ahead would keep the next proofs from
// being made until its time has come.
constexpr auto ahead = std::chrono::minutes(5);

struct Last {
    WallTime at{};     // when the newest was made, or was to be
    int failures = 0;  // that it and those before it came to
};

std::optional<Last> last_of(const std::vector<ProofRecord>& proofs, WallTime now) {
    std::optional<Last> out;
    for (const auto& proof : proofs) {
        if (proof.begun > now + ahead) continue;
        if (!out) out.emplace();
        out->at = proof.due && *proof.due <= now ? std::max(proof.begun, *proof.due) : proof.begun;
        out->failures = proof.ok ? 0 : out->failures + 1;
    }
    return out;
}

std::optional<WallTime> again_at(const Last& last) {
    if (last.failures == 0) return std::nullopt;
    constexpr int most = 5;  // 32 hours, a day
    const auto pause = hours(1) * (1 << std::min(last.failures - 1, most));
    return last.at + std::min<hours>(pause, hours(24));
}

}  // namespace

std::optional<WallTime> proof_due(const ProofPolicy& policy, const cluster::Zone& zone,
                                  const std::vector<ProofRecord>& proofs, WallTime now) {
    if (!policy.when) return std::nullopt;
    const auto instant = policy.when->last_until(now, zone);
    const auto last = last_of(proofs, now);
    if (!last) return instant.value_or(now);
    if (instant && last->at < *instant) return instant;
    const auto again = again_at(*last);
    return again && *again <= now ? again : std::nullopt;
}

std::optional<WallTime> next_proof(const ProofPolicy& policy, const cluster::Zone& zone,
                                   const std::vector<ProofRecord>& proofs, WallTime now) {
    if (!policy.when) return std::nullopt;
    auto next = policy.when->next_after(now, zone);
    const auto last = last_of(proofs, now);
    const auto again = last ? again_at(*last) : std::nullopt;
    if (again && *again > now && (!next || *again < *next)) next = again;
    return next;
}

bool may_prove(const Look& look, const ProofPolicy& policy, const MemberName& member) {
    if (!policy.on.empty() && policy.on != member) return false;
    return look.leader != member || (policy.on_only_member && look.members.size() == 1);
}

Choice choose_for_proof(const Look& look, const ProofPolicy& policy,
                        const cluster::BackupJob& job) {
    if (look.leader.empty() || !look.members.contains(look.leader))
        return {{}, "nobody leads the cluster"};
    if (!policy.on.empty()) {
        if (!look.members.contains(policy.on))
            return {{}, "backup.proof.on is " + policy.on + ", and no such member is there"};
        if (!may_prove(look, policy, policy.on))
            return {{},
                    "backup.proof.on is " + policy.on +
                        ", which leads now: a proof is not made beside the primary"};
        if (declined(job, policy.on))
            return {{}, policy.on + " did not begin the proof: its log says why"};
        return {policy.on, {}};
    }
    if (auto standby = best_standby(look, job); !standby.empty()) return {std::move(standby), {}};
    if (may_prove(look, policy, look.leader)) return {look.leader, {}};
    return {{},
            look.members.size() == 1
                ? "there is no standby on whose host a proof of restore could be made; beside the "
                  "primary only with backup.proof.on_only_member: true"
                : "no standby is fit to make a proof of restore on its host"};
}

std::optional<cluster::JobWhat> fell_due(const Schedule& schedule, WallTime since, WallTime now) {
    using cluster::JobWhat;
    const struct {
        const std::optional<cluster::Cron>& when;
        JobWhat what;
    } all[] = {{schedule.full, JobWhat::full},
               {schedule.differential, JobWhat::differential},
               {schedule.incremental, JobWhat::incremental}};
    for (const auto& one : all) {
        const auto last = one.when ? one.when->last_until(now, schedule.zone) : std::nullopt;
        if (last && *last > since) return one.what;
    }
    return std::nullopt;
}

}  // namespace relevo::backup
