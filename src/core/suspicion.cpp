#include "core/suspicion.h"

#include <algorithm>

namespace relevo::core {
namespace {

constexpr Duration remembers = std::chrono::minutes(1);
// A leader that was never heard in its term: the network between us may have been cut before.
constexpr Duration first_pulse_within = std::chrono::seconds(3);
// A silence of seconds is no jitter: from one cut to the next it would raise itself to the lease.
constexpr Duration patience_max = std::chrono::seconds(2);
constexpr Duration probe_gets_at_least = std::chrono::milliseconds(100);

}  // namespace

void Suspicion::set_patience(Duration base, Duration most) {
    base_ = base;
    most_ = std::max(base, most);
}

Duration Suspicion::patience() const {
    Duration longest{};
    for (const auto& [at, gap] : gaps_) longest = std::max(longest, gap);
    return std::clamp(2 * longest, base_, std::max(base_, std::min(most_, patience_max)));
}

Duration Suspicion::own(Instant now) const {
    return own_ + std::clamp<Duration>(now - ticked_, Duration{}, tick_max);
}

void Suspicion::listen(cluster::Revision term, Instant now) {
    if (term == term_) return;
    term_ = term;
    own_ = own(now);
    ticked_ = now;
    began_ = heard_at_ = connected_at_ = dcs_at_ = own_;
    pulse_at_ = own_ - period;
    heard_ = probing_ = dcs_seen_ = suspects_ = false;
}

Suspicion::Due Suspicion::tick(Instant now) {
    own_ = own(now);
    ticked_ = now;
    Due due;
    if (term_ == 0) return due;
    if (own_ - pulse_at_ >= period) {
        due.pulse = true;
        pulse_at_ = own_;
    }
    const bool silent = own_ - heard_at_ >= 2 * period;
    if (!silent) probing_ = false;
    if (silent && (!probing_ || own_ - probe_at_ >= period)) {
        if (!probing_) first_probe_at_ = own_;
        probing_ = true;
        probe_at_ = own_;
        due.probe = true;
    }
    judge();
    return due;
}

void Suspicion::judge() {
    const Duration wait = patience();
    const Duration quiet = heard_ ? own_ - heard_at_ : own_ - began_ - first_pulse_within;
    const Duration probed = own_ - std::max(first_probe_at_, connected_at_);
    suspects_ = quiet >= wait && probing_ &&
                probed >= std::max<Duration>(wait - 2 * period, probe_gets_at_least);
}

void Suspicion::heard(Instant now) {
    const Duration at = own(now);
    const Duration gap = at - heard_at_;
    while (!gaps_.empty() && at - gaps_.front().first > remembers) gaps_.pop_front();
    if (heard_ && gap > 2 * period) gaps_.emplace_back(at, gap);
    heard_ = true;
    heard_at_ = at;
    probing_ = suspects_ = false;
}

void Suspicion::connected(Instant now) {
    connected_at_ = own(now);
    suspects_ = false;
}

void Suspicion::seen_in_dcs(Instant now) {
    dcs_seen_ = true;
    dcs_at_ = own(now);
}

}  // namespace relevo::core
